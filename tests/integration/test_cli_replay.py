"""`bridge replay`: the plan first, which writes and sends nothing; then just what was counted,
asked for by a person with a reason."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from bridge.cli import main
from bridge.cli.replay import _watch
from bridge.services import Services
from bridge.settings import Settings
from bridge.store import rate_limits, tables, workers
from bridge.store.engine.database import Database
from bridge.vendors.shipstation.event_types import EVENT_TYPES
from tests.support.replays import dead, delivered, everything, foreign, items, story
from tests.support.rows import rows
from tests.support.virtual_bridge import Json, VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]

Run = Callable[..., Result]


@pytest.fixture
def bridge(sqlite_bridge: VirtualBridge) -> VirtualBridge:
    return sqlite_bridge


@pytest.fixture
def run(bridge: VirtualBridge) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["replay", *arguments], env=bridge.environ)


def plan(run: Run, *arguments: str) -> Json:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    told: Json = json.loads(result.stdout)
    return told


def run_id(bridge: VirtualBridge) -> str:
    [*_, newest] = rows(bridge.database, "replays")
    return str(newest.id)


# The plan


def test_dry_run_says_which_vendor_it_would_have_to_wait_for(
    bridge: VirtualBridge, run: Run
) -> None:
    [event_id] = dead(bridge)
    with bridge.database.begin() as connection:
        # A command reads the machine's clock, not that of the bridge in virtual time.
        rate_limits.pause(connection, "shipstation", seconds=250, now=datetime.now(UTC))

    result = run(event_id)

    assert result.exit_code == 0
    assert "1 of 1 event could not be looked at to the end." in result.stderr
    assert "ShipStation V2 asked us to wait, for another " in result.stderr
    assert "Repeat it after that; nothing was changed." in result.stderr


@pytest.mark.parametrize("mode", ["--as-stored", "--fetch-again"])
def test_plan_writes_nothing_and_sends_nothing(bridge: VirtualBridge, run: Run, mode: str) -> None:
    dead(bridge, 2)
    delivered(bridge)
    foreign(bridge)
    before, sent = everything(bridge.database), len(bridge.sent)

    told = plan(run, "--since", "52w", mode)

    assert told["count"] == 4
    assert everything(bridge.database) == before
    assert (len(bridge.sent), len(bridge.world.fulfillments)) == (sent, 1)


def test_range_that_is_upside_down_is_wrong_use(run: Run) -> None:
    result = run("--since", "1d", "--until", "2d")

    assert (result.exit_code, "--until is before --since" in result.output) == (2, True)


def test_plan_shows_each_body_and_its_difference_from_what_was_sent_and_from_purple_dot(
    bridge: VirtualBridge, run: Run
) -> None:
    order = bridge.world.add_order("PD800/1", [("TEE", 2)])
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 2)])
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422")
    [event_id] = bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))
    [refused] = bridge.sent
    shipment.items = bridge.world.add_shipstation_order(order, [("TEE", 1)]).items

    [event] = plan(run, event_id, "--notify-customer")["events"]

    [would] = event["shipments"]
    line, number = order.lines[0].id, refused["tracking_info"]["number"]
    assert would["body"]["fulfillment"]["line_items"] == [{"id": line, "quantity": 1}]
    assert would["body"]["fulfillment"]["tracking_info"]["number"] == number
    assert would["sent_before"] == {"fulfillment": refused}
    assert would["beside"] == [
        f"differs from what was sent before: fulfillment.line_items.{line}: 2 → 1",
        "differs from what was sent before: fulfillment.notify_customer: False → True",
        "PD800/1 is UNFULFILLED in Purple Dot now",
        "TEE: 2 ordered, 0 sent by us, 1 now, 1 left",
    ]


def test_two_events_of_one_parcel_are_planned_as_one_fulfillment(
    bridge: VirtualBridge, run: Run
) -> None:
    event_id, order, shipment = foreign(bridge)
    [label] = bridge.world.labels
    [other] = bridge.travel(bridge.world.ship_notify(label))
    shipment.shipment_number = order.reference

    told = plan(run, event_id, other)

    bodies = [one["body"] for event in told["events"] for one in event["shipments"]]
    assert [body is not None for body in bodies] == [True, False]


def test_plan_says_plainly_what_is_left_alone_and_that_nothing_can_force_it(
    bridge: VirtualBridge, run: Run
) -> None:
    event_id, _ = delivered(bridge)
    [delivery] = bridge.deliveries()

    result = run(event_id)

    assert result.exit_code == 0
    assert f"left alone, {delivery['id']} stays delivered" in result.stdout
    assert "never sent again" in result.stdout
    assert "Nothing was written or sent." in result.stdout


def test_plan_says_how_many_calls_it_needs(bridge: VirtualBridge, run: Run) -> None:
    event_id, *_ = foreign(bridge)
    pages = bridge.world.count("shipstation.labels")

    again, stored = run(event_id, "--fetch-again").stdout, run(event_id, "--as-stored").stdout

    assert "at least 1 ShipStation call and at most 1 Purple Dot look-up each" in again
    assert "no ShipStation call" in stored
    assert bridge.world.count("shipstation.labels") == pages + 1


def test_vendor_that_does_not_answer_is_told_in_the_plan(bridge: VirtualBridge, run: Run) -> None:
    event_id, *_ = foreign(bridge)
    bridge.simulator.inject("shipstation.labels", "status:500")

    [event] = plan(run, event_id)["events"]

    assert "500" in event["error"]


# What can't be replayed


def _rejected(bridge: VirtualBridge) -> str:
    bridge.post(b"{")
    return str(bridge.events()[-1]["id"])


def _of_no_use(bridge: VirtualBridge) -> str:
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order("100482"))
    return bridge.send(bridge.world.track_event_v2(label))


def _still_work(bridge: VirtualBridge) -> str:
    return bridge.send(
        bridge.world.label_created_v2(
            bridge.world.buy_labels(bridge.world.add_shipstation_order("100482"))
        )
    )


def _redacted(bridge: VirtualBridge) -> str:
    event_id, *_ = foreign(bridge)
    _redact(bridge.database, event_id)
    return event_id


def _redacted_inline(bridge: VirtualBridge) -> str:
    row = bridge.world.inline_row(bridge.world.add_shipstation_order("100482"), "1ZA00000T03")
    [event_id] = bridge.travel(bridge.world.inline_fulfillments([row]))
    _redact(bridge.database, event_id)
    return event_id


def _redact(database: Database, event_id: str) -> None:
    with database.begin() as connection:
        connection.execute(tables.records.delete())
        connection.execute(
            update(tables.events).where(tables.events.c.id == event_id).values(body=b"")
        )


def _never_fetched(bridge: VirtualBridge) -> str:
    bridge.simulator.inject("shipstation.labels", "status:500", 99)
    event_id = _still_work(bridge)
    bridge.settle()
    return event_id


@pytest.mark.parametrize(
    ("made", "mode", "why"),
    [
        (_rejected, "--fetch-again", "refused when it came in (bad_json)"),
        (_of_no_use, "--fetch-again", "nothing of shipped goods"),
        (_still_work, "--fetch-again", "still being processed"),
        (_redacted, "--as-stored", "redacted after its time; only --fetch-again can help"),
        (_redacted_inline, "--fetch-again", "holds no pointer"),
        (_never_fetched, "--as-stored", "never came so far; only --fetch-again"),
    ],
)
def test_what_can_not_be_replayed_is_refused_with_its_reason(
    bridge: VirtualBridge, run: Run, made: Callable[[VirtualBridge], str], mode: str, why: str
) -> None:
    event_id = made(bridge)

    result = run(event_id, mode, "--yes")

    assert result.exit_code == 1
    assert f"left out: {event_id}: " in result.stdout
    assert why in result.stdout
    assert rows(bridge.database, "replays") == []


def test_redacted_event_that_kept_its_pointer_is_fetched_again(
    bridge: VirtualBridge, run: Run
) -> None:
    event_id, order, shipment = foreign(bridge)
    _redact(bridge.database, event_id)
    shipment.shipment_number = order.reference

    run(event_id, "--yes")
    bridge.settle()

    assert len(bridge.accepted(order)) == 1


def test_type_that_was_not_handled_when_it_came_is_not_fetched_from_elsewhere(
    bridge: VirtualBridge, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door did not judge its URL."""
    bridge.post(
        b'{"resource_type": "NEW_LABELS", "resource_url": "https://evil.example.com/v2/labels"}'
    )
    monkeypatch.setitem(EVENT_TYPES, "NEW_LABELS", EVENT_TYPES["LABEL_CREATED_V2"])

    result = run(bridge.events()[-1]["id"], "--yes")

    assert "not ShipStation's, so it is never fetched" in result.stdout


# The run


def test_count_of_the_plan_is_just_what_is_run(bridge: VirtualBridge, run: Run) -> None:
    dead(bridge, 3)
    foreign(bridge)
    _rejected(bridge)
    _still_work(bridge)
    told = plan(run, "--since", "52w")

    run("--since", "52w", "--yes", "--reason", "after the fix")
    bridge.settle()

    replayed = items(bridge.database, run_id(bridge))
    assert told["count"] == story(bridge.database, run_id(bridge))["total"] == len(replayed) == 4
    assert sorted(item["event_id"] for item in replayed) == sorted(
        event["event_id"] for event in told["events"]
    )
    assert sum(one.source == "replay" for one in rows(bridge.database, "events")) == 4
    assert len(told["refused"]) == 2


@pytest.mark.parametrize(
    ("narrowed", "count"),
    [(["--status", "dead"], 0), (["--status", "processed"], 2), (["--type", "SHIP_NOTIFY"], 1)],
)
def test_range_is_narrowed_as_the_lists_are(
    bridge: VirtualBridge, run: Run, narrowed: list[str], count: int
) -> None:
    _, label = delivered(bridge)
    delivered(bridge)
    bridge.travel(bridge.world.ship_notify(label))

    result = run(*narrowed, "--json")

    assert json.loads(result.stdout)["count"] == count


def test_all_that_failed_are_those_whose_deliveries_did_too(
    bridge: VirtualBridge, run: Run
) -> None:
    """The event of a refused parcel was processed; what failed is its delivery."""
    delivered(bridge)
    failed = dead(bridge, 2)
    order = bridge.world.add_order(lines=[("TEE", 1)])
    [held] = bridge.travel(
        bridge.world.label_created_v2(
            bridge.world.buy_labels(bridge.world.add_shipstation_order(order, [("SHIRT", 1)]))
        )
    )

    chosen = [
        [event["event_id"] for event in plan(run, "--status", status)["events"]]
        for status in ("dead", "held")
    ]

    assert chosen == [failed, [held]]


def test_one_failed_event_needs_no_reason_several_or_a_delivered_one_do(
    bridge: VirtualBridge, run: Run
) -> None:
    first, second = dead(bridge, 2)
    done, _ = delivered(bridge)

    refused = [run(first, second, "--yes"), run(done, "--yes")]
    run(first, "--yes")

    assert [result.exit_code for result in refused] == [2, 2]
    assert all("--reason" in result.stderr for result in refused)
    [only] = rows(bridge.database, "replays")
    assert (only.total, only.reason) == (1, None)


def test_run_is_in_the_audit_list_with_who_and_why(
    bridge: VirtualBridge, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    run(*dead(bridge, 2), "--yes", "--reason", "Purple Dot mended the order")

    run("--cancel", run_id(bridge))

    acts = [
        (act.actor, act.action, act.subject, act.reason) for act in rows(bridge.database, "audit")
    ]
    assert acts == [
        ("alice (shell)", "replay", run_id(bridge), "Purple Dot mended the order"),
        ("alice (shell)", "cancel_replay", run_id(bridge), None),
    ]


def test_without_a_worker_it_says_what_to_start_and_is_not_called_done(
    bridge: VirtualBridge, run: Run
) -> None:
    [event_id] = dead(bridge)

    started = run(event_id, "--yes")
    bridge.settle()
    after = run("--resume", run_id(bridge))

    assert (started.exit_code, "start `bridge work`" in started.stdout) == (1, True)
    assert after.exit_code == 0
    assert "1 of 1 events ended" in after.stdout
    assert "  1 delivered" in after.stdout.splitlines()


def test_what_still_needs_a_person_after_a_run_is_exit_code_1(
    bridge: VirtualBridge, run: Run
) -> None:
    [event_id] = dead(bridge)
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422")
    run(event_id, "--yes")
    bridge.settle()

    result = run("--resume", run_id(bridge))

    assert result.exit_code == 1
    assert "1 dead rejected_by_purple_dot" in result.stdout


def test_ctrl_c_pauses_the_run_and_says_how_to_go_on(
    bridge: VirtualBridge, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    ids = dead(bridge, 8)
    run(*ids, "--yes", "--reason", "after the fix")
    with bridge.database.begin() as connection:
        workers.beat(connection, "worker-1", started_at=bridge.clock.now, now=bridge.clock.now)

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bridge.cli.replay.time.sleep", interrupted)
    services = Services(Settings.load(bridge.environ), bridge.database)
    with pytest.raises(SystemExit) as ended:
        _watch(services, run_id(bridge), as_json=False)
    bridge.settle()

    paused = story(bridge.database, run_id(bridge))
    assert (ended.value.code, paused["status"], paused["ended"]) == (1, "paused", 0)
    assert f"bridge replay --resume {run_id(bridge)}" in capsys.readouterr().out
    run("--resume", run_id(bridge))
    bridge.settle()
    assert story(bridge.database, run_id(bridge))["status"] == "done"
    assert len(bridge.accepted()) == 8


def test_cancelled_run_can_not_be_gone_on_with(bridge: VirtualBridge, run: Run) -> None:
    run(*dead(bridge, 8), "--yes", "--reason", "after the fix")

    cancelled = run("--cancel", run_id(bridge))
    bridge.settle()

    assert (cancelled.exit_code, "It is cancelled" in cancelled.stdout) == (1, True)
    assert bridge.accepted() == []
    assert "was cancelled" in run("--resume", run_id(bridge)).stderr


@pytest.mark.parametrize(
    "arguments", [[], ["evt_1", "--since", "2d"], ["--resume", "rpl_1", "--cancel", "rpl_2"]]
)
def test_wrong_use_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["--resume", "rpl_1"], ["--cancel", "rpl_1"], ["evt_1"]])
def test_what_is_not_there_is_exit_code_1(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 1


def test_story_of_a_replay_explains_whose_it_is(bridge: VirtualBridge, run: Run) -> None:
    event_id, *_ = foreign(bridge)
    run(event_id, "--yes", "--reason", "order mended")
    bridge.settle()
    [item] = items(bridge.database, run_id(bridge))

    told = [
        CliRunner().invoke(main, ["explain", id_], env=bridge.environ).stdout
        for id_ in (event_id, item["replay_event_id"])
    ]

    assert f"replayed as {item['replay_event_id']}" in told[0]
    assert f"a replay of {event_id}" in told[1]
