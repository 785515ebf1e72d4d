"""What a person hears, and when: once per change, grouped, with a word when it is over; quiet
accounts are left in peace."""

from datetime import UTC, datetime, timedelta

import pytest

from bridge.domain.reasons import MEANINGS, Reason
from bridge.operations.alerts import (
    KINDS,
    AlertInputs,
    Key,
    Message,
    OpenException,
    Problem,
    changes,
    console_address,
    digest,
    grace,
    is_silent,
    problems,
)

NOW = datetime(2026, 11, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def held(*ids: str, reason: str = "no_items") -> AlertInputs:
    return AlertInputs(
        NOW, exceptions=[OpenException(one, reason, f"PD{one[-1]}/1") for one in ids]
    )


def hear(told: Message | None, inputs: AlertInputs, console: str | None = None) -> Message | None:
    """What a target hears that got the message `told` before."""
    return changes(told.keys if told else (), list(problems(inputs)), console=console)


def test_nothing_is_said_while_all_is_well() -> None:
    assert hear(None, AlertInputs(NOW)) is None


def test_many_exceptions_are_one_message_grouped_by_their_reason() -> None:
    said = hear(
        None,
        AlertInputs(
            NOW,
            exceptions=[
                *held("dlv_1", "dlv_2").exceptions,
                OpenException("evt_1", "schedule_exhausted", "SHIP_NOTIFY"),
            ],
        ),
    )

    assert said is not None
    assert said.title == "Purple Dot bridge: 3 new exceptions"
    assert (
        "- 2 x "
        + MEANINGS[Reason.NO_ITEMS].title
        + " (no_items): ShipStation does not say for certain what left in this parcel"
        in said.body
    )
    assert "(schedule_exhausted): " in said.body
    assert said.body.endswith("See `bridge exceptions`")


def test_what_was_told_is_not_told_again_and_what_is_new_is() -> None:
    first = hear(None, held("dlv_1"))

    assert hear(first, held("dlv_1")) is None
    second = hear(first, held("dlv_1", "dlv_2"))
    assert second is not None
    assert second.title == "Purple Dot bridge: 1 new exception"


def test_mending_one_of_two_says_nothing_and_mending_the_last_says_that_it_is_over() -> None:
    first = hear(None, held("dlv_1", "dlv_2"))

    assert hear(first, held("dlv_2")) is None
    over = hear(first, AlertInputs(NOW))
    assert over is not None
    assert (over.title, over.body) == (
        "Purple Dot bridge: No exception is left",
        "Over: No exception is left.",
    )
    assert hear(over, AlertInputs(NOW)) is None


def test_link_leads_to_the_console_where_there_is_one() -> None:
    said = hear(None, held("dlv_1"), "https://bridge.example.com/console")

    assert said is not None
    assert said.body.endswith("See https://bridge.example.com/console/exceptions")
    assert "PD1/1: https://bridge.example.com/console/deliveries/dlv_1" in said.body


def test_only_the_first_few_of_many_are_linked() -> None:
    said = hear(None, held(*(f"dlv_{number}" for number in range(9))), "https://b.example/console")

    assert said is not None
    assert said.body.count("https://b.example/console/deliveries/") == 5
    assert "  and 4 more" in said.body


@pytest.mark.parametrize(
    ("url", "console"),
    [
        ("https://bridge.example.com/webhooks/shipstation", "https://bridge.example.com/console"),
        ("https://example.com/bridge/webhooks/shipstation", "https://example.com/bridge/console"),
        ("https://example.com/elsewhere", None),
        (None, None),
    ],
)
def test_consoles_address_is_where_the_webhooks_come_in(
    url: str | None, console: str | None
) -> None:
    assert console_address({"url": url} if url else None) == console


def test_each_vendor_begins_and_ends_by_itself() -> None:
    both = AlertInputs(
        NOW,
        vendors=[("purple_dot", "down", NOW - HOUR, None), ("shipstation", "down", NOW, None)],
        refused=["shipstation_v1"],
    )
    first = hear(None, both)
    assert first is not None
    assert first.title.count("can't be called") == 2
    assert "Every call has failed since 2026-11-04 11:00 UTC" in first.body

    then = hear(
        first,
        AlertInputs(NOW, vendors=[("shipstation", "down", NOW, None)], refused=["shipstation_v1"]),
    )

    assert then is not None
    assert then.title == "Purple Dot bridge: Purple Dot can be called again"


@pytest.mark.parametrize(
    ("inputs", "kinds"),
    [
        (
            AlertInputs(
                NOW, vendors=[("purple_dot", "throttled", None, NOW + timedelta(seconds=30))]
            ),
            [],
        ),
        (AlertInputs(NOW, vendors=[("purple_dot", "throttled", None, NOW + HOUR)]), ["vendor"]),
        (
            AlertInputs(
                NOW,
                vendors=[("purple_dot", "failing", NOW, None), ("shipstation", "ok", None, None)],
            ),
            [],
        ),
        (AlertInputs(NOW, vendors=[("purple_dot", "unclear", NOW, None)]), ["writes"]),
        (AlertInputs(NOW, refused={"purple_dot"}), ["credentials"]),
        (AlertInputs(NOW, stalled=("evt_1", NOW - timedelta(minutes=9))), []),
        (AlertInputs(NOW, stalled=("evt_1", NOW - timedelta(minutes=11))), ["stalled"]),
        (AlertInputs(NOW, missed=3), ["missed"]),
        (
            AlertInputs(NOW, lost=["ShipStation V2 label_created_v2 is not subscribed"]),
            ["subscription"],
        ),
        (AlertInputs(NOW, last_event_at=NOW - 3 * HOUR, typical_counts=[20, 30, 25]), ["silence"]),
        (AlertInputs(NOW, last_event_at=NOW - 3 * HOUR, typical_counts=[0, 1, 0]), []),
        (
            AlertInputs(NOW, exceptions=[OpenException("dlv_1", "a_reason_of_a_later_version")]),
            ["exception"],
        ),
    ],
)
def test_only_what_needs_a_person_is_trouble(inputs: AlertInputs, kinds: list[str]) -> None:
    assert [trouble.key.kind for trouble in problems(inputs)] == kinds
    assert set(kinds) <= KINDS.keys()


@pytest.mark.parametrize(
    ("what", "hours", "usual", "silent"),
    [
        ("a busy account, an hour at noon", 1, [90, 120, 75, 110], True),
        ("a busy account, half an hour", 0.5, [90, 120, 75, 110], False),
        ("a busy account at night", 8, [0, 0, 1, 0, 0, 0], False),
        ("one holiday among the weeks", 3, [40, 0, 38, 55, 41, 60], True),
        ("two odd weeks: not sure", 3, [40, 0, 38, 0, 41, 60], False),
        ("a calm account, two days", 48, [2, 1, 3, 2, 2, 1], False),
        ("a calm account, a week", 168, [9, 8, 12, 7, 10, 9], True),
        ("the batch of each afternoon has not come", 30, [40, 44, 38, 41], True),
        ("too young to have a rhythm", 5, [50, 60], False),
        ("brand new", 5, [], False),
        ("three weeks known, one without any", 5, [50, 0, 60], False),
    ],
)
def test_silence_is_judged_by_the_accounts_own_rhythm(
    what: str, hours: float, usual: list[int], silent: bool
) -> None:
    assert is_silent(timedelta(hours=hours), usual) is silent, what


@pytest.mark.parametrize(("hours", "minutes"), [(1, 30), (4, 60), (8, 120), (100, 120)])
def test_a_little_later_than_usual_is_no_wonder(hours: float, minutes: float) -> None:
    assert grace(timedelta(hours=hours)) == timedelta(minutes=minutes)


def test_storm_of_different_sentences_stays_readable() -> None:
    now = [
        Problem(Key("subscription", subject=str(number)), f"number {number}")
        for number in range(40)
    ]

    said = changes((), now, console=None)

    assert said is not None
    assert "- and 28 more" in said.body
    assert len(said.body.splitlines()) < 20


# The daily digest


def test_digest_counts_by_reason_and_names_orders_with_their_pages() -> None:
    exceptions = [
        OpenException("dlv_1", "unknown_line", "PD1/1"),
        OpenException("dlv_2", "unknown_line", "PD2/1"),
        OpenException("dlv_3", "no_tracking_number", "PD3/1"),
    ]
    standing = list(problems(AlertInputs(NOW, exceptions, refused=["purple_dot"])))

    message = digest(standing, received=140, delivered=120, console="https://b.example/console")

    assert message.title == (
        "Purple Dot bridge, daily digest: 3 need a person; Purple Dot refuses our credentials"
    )
    assert "In the last 24 hours 120 parcels were posted, and 140 webhooks came." in message.body
    assert "- 2 x SKU not on the order (unknown_line)" in message.body
    assert "PD1/1: https://b.example/console/deliveries/dlv_1" in message.body
    assert "PD3/1: https://b.example/console/deliveries/dlv_3" in message.body


def test_digest_says_that_nothing_waits() -> None:
    message = digest([], received=0, delivered=0, console=None)

    assert message.title == "Purple Dot bridge, daily digest: nothing needs a person"
