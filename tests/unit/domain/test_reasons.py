"""The reasons are a closed list, the same as in the contract, and each tells a person what is so
and what to do."""

import pytest

from bridge.domain import errors
from bridge.domain.events import DeliveryStatus, EventStatus
from bridge.domain.reasons import MEANINGS, PersonAction, Reason

CONTRACT = {
    "ignored": "not_a_purple_dot_order return_label voided nothing_shipped event_type_not_handled "
    "already_delivered",
    "held": "ambiguous_order order_not_found order_voided already_fulfilled_elsewhere nothing_left "
    "unknown_line no_items over_quantity combined_parcel no_tracking_number "
    "unconfirmed_partial voided_after_delivery tracking_changed_after_delivery "
    "rejected_by_provider",
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

    for sentence in (meaning.sentence, meaning.console_step, meaning.shell_step):
        assert sentence[0].isupper()
        assert sentence.endswith(".")


@pytest.mark.parametrize("reason", list(Reason))
def test_each_has_a_short_title_for_people(reason: Reason) -> None:
    title = MEANINGS[reason].title

    assert title[0].isupper()
    assert "_" not in title
    assert len(title) <= 40
    assert not title.endswith(".")


@pytest.mark.parametrize("reason", list(Reason))
def test_step_in_the_console_names_no_command(reason: Reason) -> None:
    assert "`bridge" not in MEANINGS[reason].console_step


def test_no_two_reasons_say_the_same() -> None:
    assert len({meaning.sentence for meaning in MEANINGS.values()}) == len(Reason)
    assert len({meaning.title for meaning in MEANINGS.values()}) == len(Reason)


def test_every_exception_has_a_primary_action_and_nothing_else_is_offered_one() -> None:
    with_action = {reason for reason, meaning in MEANINGS.items() if meaning.primary_action}

    exceptions = {r for r, meaning in MEANINGS.items() if meaning.verdict in ("held", "dead")}
    assert with_action == exceptions | {Reason.NOT_A_PURPLE_DOT_ORDER}


def test_what_purple_dot_may_have_is_never_sent_again_in_bulk_or_by_one_click() -> None:
    perhaps_posted = {
        Reason.UNCONFIRMED_PARTIAL,
        Reason.VOIDED_AFTER_DELIVERY,
        Reason.TRACKING_CHANGED_AFTER_DELIVERY,
    }

    for reason in perhaps_posted:
        assert PersonAction.RETRY not in MEANINGS[reason].bulk_actions
        assert MEANINGS[reason].primary_action is not PersonAction.RETRY
    assert MEANINGS[Reason.UNCONFIRMED_PARTIAL].primary_action is PersonAction.CONFIRM
    assert MEANINGS[Reason.UNCONFIRMED_PARTIAL].bulk_actions == ()


def test_what_needs_a_form_of_its_own_is_never_offered_in_bulk() -> None:
    one_at_a_time = {PersonAction.LINK, PersonAction.CHOOSE_LINES, PersonAction.CONFIRM}

    for meaning in MEANINGS.values():
        assert one_at_a_time.isdisjoint(meaning.bulk_actions)


def test_errors_lead_to_reasons_of_the_list() -> None:
    told = {
        error.reason
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.PermanentError)
    }

    assert told <= set(Reason)
    assert errors.PermanentError("no", reason=Reason.VOIDED).reason is Reason.VOIDED
