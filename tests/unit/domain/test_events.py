"""The arrows between statuses: every status is drawn, and ends stay ends unless a person or newer
facts reopen them."""

import pytest

from bridge.domain.events import (
    CLAIMABLE,
    COMMITTED,
    DELIVERY_ARROWS,
    EVENT_ARROWS,
    EXCEPTIONS,
    DeliveryStatus,
    EventStatus,
    Lane,
    check_arrow,
)

S = DeliveryStatus


def reachable(start: DeliveryStatus) -> set[DeliveryStatus]:
    seen, todo = set(), [start]
    while todo:
        new = DELIVERY_ARROWS[todo.pop()] - seen
        seen |= new
        todo += new
    return seen


def test_every_status_has_its_arrows() -> None:
    assert set(DELIVERY_ARROWS) == set(DeliveryStatus)
    assert set(EVENT_ARROWS) == set(EventStatus)


def test_only_a_claim_leads_to_a_delivery_by_itself() -> None:
    straight_to_delivered = {
        status for status, arrows in DELIVERY_ARROWS.items() if S.DELIVERED in arrows
    }

    assert straight_to_delivered == {S.DELIVERING, S.UNCONFIRMED} | EXCEPTIONS


def test_whatever_carries_a_due_time_can_be_claimed() -> None:
    """What is held has one while the search for its order goes on."""
    claimable = CLAIMABLE | {S.HELD}

    assert all(S.DELIVERING in DELIVERY_ARROWS[status] for status in claimable)
    assert all(S.DELIVERING not in DELIVERY_ARROWS[status] for status in set(S) - claimable)


@pytest.mark.parametrize("old", S)
@pytest.mark.parametrize("new", S)
def test_arrow_that_is_not_drawn_is_refused(old: DeliveryStatus, new: DeliveryStatus) -> None:
    if old is new or new in DELIVERY_ARROWS[old]:
        check_arrow(old, new)
        return
    with pytest.raises(ValueError, match=f"from {old} to {new}"):
        check_arrow(old, new)


def test_what_was_delivered_is_never_pending_again_by_itself() -> None:
    assert DELIVERY_ARROWS[S.DELIVERED] == {S.HELD, S.DEAD}  # Both wait for a person.


def test_every_status_can_come_to_an_end_and_be_reached() -> None:
    for status in S:
        assert reachable(status) & {S.DELIVERED, S.CANCELLED}
    assert reachable(S.PENDING) | {S.PENDING} == set(S)


def test_unclear_and_delivered_count_against_an_order_and_ends_do_not() -> None:
    assert set(S) - COMMITTED == {S.HELD, S.DEAD, S.CANCELLED}


def test_rejected_event_never_becomes_work() -> None:
    assert EVENT_ARROWS[EventStatus.REJECTED] == frozenset()
    assert all(EventStatus.REJECTED not in arrows for arrows in EVENT_ARROWS.values())


def test_live_work_goes_before_replay_and_sweep() -> None:
    assert list(Lane) == sorted(Lane) == [Lane.LIVE, Lane.RETRY, Lane.REPLAY, Lane.SWEEP]
