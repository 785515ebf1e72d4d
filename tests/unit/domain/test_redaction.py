"""What may be stored of a text from outside: shape, and values under names that we read."""

from bridge.domain.redaction import LEFT_OUT, redact


def test_only_values_under_our_names_stay() -> None:
    body = {"id": "1", "name": "Ada", "phone": 5550117, "ok": True, "gone": None}

    assert redact(body, {"id"}) == {
        "id": "1",
        "name": LEFT_OUT,
        "phone": LEFT_OUT,
        "ok": True,
        "gone": None,
    }


def test_shape_stays_and_a_list_is_under_the_name_that_holds_it() -> None:
    body = {"rows": [{"id": "1", "to": {"name": "Ada"}}], "ids": ["1", "2"], "notes": ["Ada"]}

    assert redact(body, {"id", "ids"}) == {
        "rows": [{"id": "1", "to": {"name": LEFT_OUT}}],
        "ids": ["1", "2"],
        "notes": [LEFT_OUT],
    }


def test_object_under_our_name_is_looked_into_as_any_other() -> None:
    assert redact({"id": {"name": "Ada"}}, {"id"}) == {"id": {"name": LEFT_OUT}}


def test_name_that_is_no_field_name_may_be_a_person() -> None:
    assert redact({"Ada Quillmark": 1}, {"id"}) == {LEFT_OUT: LEFT_OUT}


def test_what_lies_too_deep_is_not_ours() -> None:
    node: object = {"id": "1"}
    for _ in range(12):
        node = {"a": node}

    assert "'1'" not in repr(redact(node, {"id"}))


def test_plain_text_is_left_out() -> None:
    assert redact("Ada", {"id"}) == LEFT_OUT
