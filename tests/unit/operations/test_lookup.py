"""What both vendors are asked for, by what a person typed."""

import pytest

from bridge.operations.lookup import Wanted, wanted


@pytest.mark.parametrize("text", ["PD1391279/1", "#PD1391279/1", " pd1391279/1 ", "PD1391279/1…"])
def test_every_spelling_of_a_reference_asks_for_both_that_vendors_store(text: str) -> None:
    assert wanted(text).order_numbers == ("PD1391279/1", "#PD1391279/1")


def test_reference_without_its_index_is_asked_for_with_the_first_as_well() -> None:
    assert wanted("#PD1391279").order_numbers == (
        "PD1391279",
        "#PD1391279",
        "PD1391279/1",
        "#PD1391279/1",
    )


def test_reference_is_no_tracking_number() -> None:
    assert wanted("PD1391279/1").tracking == ()


def test_tracking_number_is_asked_for_without_blanks_and_as_it_was_typed() -> None:
    want = wanted("1Z B7X 041 036 666 6666")

    assert want.tracking == ("1ZB7X0410366666666", "1Z B7X 041 036 666 6666")


def test_short_number_is_an_order_number_alone() -> None:
    want = wanted("1042")

    assert (want.order_numbers, want.tracking) == (("1042", "#1042"), ())


def test_text_without_a_digit_is_asked_for_nowhere() -> None:
    assert wanted("wool-scarf") == Wanted()


def test_id_of_a_fulfillment_order_is_asked_for_as_that() -> None:
    order_id = "9084de1f-0de8-5636-b10e-d77e3dc811e0"

    assert wanted(order_id.upper()).order_id == order_id
    assert wanted(order_id).order_numbers == ()
