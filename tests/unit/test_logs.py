"""Logs: one JSON line for each event, ours and the libraries' alike, and never a secret in it."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bridge.logs import StderrHandler, configure_logs, mask_secrets, masked_text


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.setLevel(level)
    for ours in [handler for handler in root.handlers if isinstance(handler, StderrHandler)]:
        root.removeHandler(ours)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What was logged, and that nothing went to stdout, where commands print their one JSON
    document."""
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_event_is_one_json_line_with_its_fields_and_utc_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json", "INFO")

    structlog.get_logger().info("delivery_retried", delivery_id="d1", attempt=2)

    (line,) = lines(capsys)
    written = datetime.fromisoformat(str(line.pop("timestamp")))
    assert written.utcoffset() == timedelta(0)
    assert line == {"event": "delivery_retried", "level": "info", "delivery_id": "d1", "attempt": 2}


def test_bound_ids_stand_on_every_line_of_the_work_libraries_included(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json", "INFO")

    with structlog.contextvars.bound_contextvars(event_id="e1"):
        structlog.get_logger().info("event_claimed")
        logging.getLogger("urllib3").warning("Retrying %s", "soon")

    ours, theirs = lines(capsys)
    assert (ours["event_id"], theirs["event_id"]) == ("e1", "e1")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == (
        "Retrying soon",
        "warning",
        "urllib3",
    )


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "WARNING")

    structlog.get_logger().info("quiet")
    logging.getLogger("alembic").info("quiet")
    structlog.get_logger().warning("loud")

    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_configuring_again_replaces_and_never_doubles(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console", "DEBUG")
    configure_logs("json", "INFO")

    structlog.get_logger().info("once")

    assert [line["event"] for line in lines(capsys)] == ["once"]


def test_other_handlers_stay() -> None:
    theirs = logging.NullHandler()
    logging.getLogger().addHandler(theirs)

    configure_logs("json", "INFO")

    assert theirs in logging.getLogger().handlers
    logging.getLogger().removeHandler(theirs)


def test_line_break_in_a_value_cannot_forge_a_second_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json", "INFO")

    structlog.get_logger().info("event_rejected", detail='x\n{"event": "forged"}')

    assert len(lines(capsys)) == 1


@pytest.mark.parametrize("format", ["json", "console"])
def test_nothing_in_a_text_from_outside_moves_the_cursor_or_begins_a_line(
    format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(format, "INFO")  # type: ignore[arg-type]

    structlog.get_logger().info("event_rejected", detail="x\x1b[2J\ny")
    logging.getLogger("gunicorn.error").warning("Invalid request: %s", "x\x1b[2J\r\nforged line")

    told = capsys.readouterr().err
    assert told.count("\n") == 2
    assert "\x1b" not in told
    assert "\r" not in told


@pytest.mark.parametrize("format", ["json", "console"])
def test_traceback_is_written_without_variables_and_without_secrets(
    format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(format, "INFO")
    local_secret = "hunter2"

    try:
        raise ValueError(f"POST /webhooks/shipstation/{local_secret}")
    except ValueError:
        structlog.get_logger().exception("request_failed")

    err = capsys.readouterr().err
    assert "ValueError" in err
    assert "/webhooks/shipstation/***" in err
    assert "hunter2" not in err


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "webhook_tokens",
        "Authorization",
        "api-key",
        "API_KEY",
        "apikey",
        "client_secret",
        "console_password",
        "Set-Cookie",
    ],
)
def test_field_that_is_named_like_a_secret_is_masked_at_any_depth(name: str) -> None:
    event = mask_secrets(
        None,
        "info",
        {
            "event": "x",
            name: "hunter2",
            "headers": {name: ["hunter2"]},
            "rows": [{name: {"a": "hunter2"}}],
        },
    )

    assert "hunter2" not in repr(event)


def test_counts_and_modes_under_such_a_name_are_kept() -> None:
    event = mask_secrets(
        None, "info", {"event": "x", "tokens": 2, "password": None, "secret_given": True}
    )

    assert event == {"event": "x", "tokens": 2, "password": None, "secret_given": True}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("POST /webhooks/shipstation/hunter2?x=1", "POST /webhooks/shipstation/***?x=1"),
        (
            '"https://b.example/webhooks/shipstation/hunter2"',
            '"https://b.example/webhooks/shipstation/***"',
        ),
        ("postgresql+psycopg://u:hunter2@h/d", "postgresql+psycopg://***@h/d"),
        ("Authorization: Basic aHVudGVyMg==", "Authorization: Basic ***"),
        ("Bearer hunter2", "Bearer ***"),
        ("{'API-Key': 'hunter2'}", "{'API-Key': '***'}"),
        ("x-purple-dot-access-token: hunter2", "x-purple-dot-access-token: ***"),
        ("https://h/?api_key=hunter2&page=2", "https://h/?api_key=***&page=2"),
    ],
)
def test_secret_inside_a_text_is_masked_and_the_rest_stays(text: str, masked: str) -> None:
    assert masked_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Basic authentication was refused",
        "BRIDGE_PURPLE_DOT_ACCESS_TOKEN: is missing; copy the store's token",
        "GET https://api.shipstation.com/v2/labels?batch_id=se-1&page=2",
        "mail to ops@shop.example",
    ],
)
def test_sentence_without_a_secret_stays_as_it_is(text: str) -> None:
    assert masked_text(text) == text


def test_object_is_written_as_its_text_so_a_secret_value_masks_itself() -> None:
    event = mask_secrets(
        None,
        "info",
        {"event": "x", "given": SecretStr("hunter2"), "at": datetime(2026, 5, 4), "ids": {"a"}},  # noqa: DTZ001  # any object does
    )

    assert event == {"event": "x", "given": "**********", "at": "2026-05-04 00:00:00", "ids": ["a"]}


@given(
    st.text(
        alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#\"'"),
        min_size=1,
        max_size=60,
    )
)
def test_whatever_stands_in_the_token_place_of_the_path_is_masked(token: str) -> None:
    assert (
        masked_text(f"GET /webhooks/shipstation/{token} HTTP/1.1")
        == "GET /webhooks/shipstation/*** HTTP/1.1"
    )


@given(st.text(max_size=200))
def test_masking_twice_is_masking_once(text: str) -> None:
    assert masked_text(masked_text(text)) == masked_text(text)
