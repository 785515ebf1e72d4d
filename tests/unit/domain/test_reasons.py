"""The reasons are a closed list, the same as in the contract, and each tells a person what is so
and what to do."""

import pytest

from bridge.domain import errors
from bridge.domain.events import DeliveryStatus, EventStatus
from bridge.domain.reasons import MEANINGS, Reason

CONTRACT = {
    "ignored": "not_a_purple_dot_order return_label voided nothing_shipped event_type_not_handled already_delivered",
    "held": "ambiguous_order order_not_found order_voided already_fulfilled_elsewhere nothing_left unknown_line no_items over_quantity "
    "no_tracking_number unconfirmed_partial voided_after_delivery tracking_changed_after_delivery rejected_by_provider",
    "dead": "schedule_exhausted rejected_by_purple_dot credentials_refused",
    "rejected": "bad_json bad_shape foreign_url",
}


@pytest.mark.parametrize("verdict", CONTRACT)
def test_list_is_the_contracts(verdict: str) -> None:
    assert [
        reason for reason, meaning in MEANINGS.items() if meaning.verdict == verdict
    ] == CONTRACT[verdict].split()


def test_every_reason_has_a_meaning_and_no_meaning_is_without() -> None:
    assert list(MEANINGS) == list(Reason)
    assert (
        {meaning.verdict for meaning in MEANINGS.values()}
        == set(CONTRACT)
        <= {*EventStatus, *DeliveryStatus}
    )


@pytest.mark.parametrize("reason", list(Reason))
def test_each_says_in_sentences_what_is_so_and_what_to_do(reason: Reason) -> None:
    meaning = MEANINGS[reason]

    for sentence in (meaning.sentence, meaning.next_step):
        assert sentence[0].isupper()
        assert sentence.endswith(".")


def test_no_two_reasons_say_the_same() -> None:
    assert len({meaning.sentence for meaning in MEANINGS.values()}) == len(Reason)


def test_errors_lead_to_reasons_of_the_list() -> None:
    told = {
        error.reason
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.PermanentError)
    }

    assert told <= set(Reason)
    assert errors.PermanentError("no", reason=Reason.VOIDED).reason is Reason.VOIDED
