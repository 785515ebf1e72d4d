"""Replay in the console: one failed event is one click; what is many, or was delivered, goes plan →
reason → run → cancel."""

import re
from collections.abc import Iterator, MutableMapping
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from bridge.settings import Settings
from bridge.store import replays, stats
from bridge.web.app import create_app
from bridge.web.console import ROUTES
from bridge.web.console.auth import Role
from tests.integration.test_console import OPERATOR, VIEWER, sign_in, token_in
from tests.support.fakes import Clock
from tests.support.replays import dead, delivered, everything, foreign, start, story
from tests.support.rows import row, rows
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]


@pytest.fixture
def migrated_url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """SQLite alone: what the pages ask of the store is tested on both elsewhere."""
    (tmp_path / "bridge.db").write_bytes(request.getfixturevalue("_migrated_file").read_bytes())
    return f"sqlite:///{tmp_path / 'bridge.db'}"


@pytest.fixture
def bridge(
    migrated_url: str,
    clock: Clock,
    logged: list[MutableMapping[str, Any]],  # noqa: ARG001  # keeps the log quiet
) -> Iterator[VirtualBridge]:
    with VirtualBridge(
        migrated_url,
        clock,
        BRIDGE_CONSOLE_PASSWORD=OPERATOR,
        BRIDGE_CONSOLE_READONLY_PASSWORD=VIEWER,
    ) as bridge:
        yield bridge


class Person:
    """Reads pages and presses buttons, as one who is signed in."""

    def __init__(self, client: FlaskClient, password: str) -> None:
        self.client = client
        assert sign_in(client, password, name="Anna").status_code == 303

    def see(self, path: str) -> str:
        answer = self.client.get(f"/console/{path}", follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **fields: Any) -> Any:
        fields["csrf"] = token_in(self.see(""))
        return self.client.post(f"/console/{path}", data=fields, follow_redirects=True)

    def press(self, page: str, action: str, **fields: Any) -> str:
        """The first form of this page that goes there, with all that it holds."""
        form = next(
            form
            for form in re.findall(r"<form.*?</form>", page, re.DOTALL)
            if f'action="/console/{action}"' in form
        )
        hidden: dict[str, Any] = {}
        for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form):
            hidden.setdefault(name, []).append(unescape(value))
        return str(
            self.client.post(f"/console/{action}", data=hidden | fields, follow_redirects=True).text
        )


@pytest.fixture
def anna(bridge: VirtualBridge) -> Iterator[Person]:
    app = create_app(Settings.load(bridge.environ))
    yield Person(app.test_client(), OPERATOR)
    app.extensions["database"].close()


def test_single_failed_event_is_one_click(bridge: VirtualBridge, anna: Person) -> None:
    [event_id] = dead(bridge)

    page = anna.press(anna.see(f"events/{event_id}"), "replays")
    bridge.settle()

    assert "Replay run" in page
    [run] = rows(bridge.database, "replays")
    assert (run.total, run.created_by, run.reason) == (1, "Anna (operator) in the console", None)
    assert len(bridge.accepted()) == 1
    assert f"replays/{run.id}" in anna.see(f"events/{event_id}")
    assert "1 <span" in anna.see(f"replays/{run.id}")


def test_dead_event_that_a_replay_brought_to_a_good_end_waits_for_nobody(
    bridge: VirtualBridge, anna: Person
) -> None:
    bridge.simulator.inject("shipstation.labels", "status:500", None)
    order = bridge.world.add_shipstation_order(bridge.world.add_order(lines=[("TEE", 1)]))
    [event_id] = bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(order)))
    bridge.simulator.faults.clear()
    before = anna.see("exceptions")

    anna.press(anna.see(f"events/{event_id}"), "replays")
    bridge.settle()
    after = anna.see("exceptions")

    with bridge.database.read() as connection:
        assert stats.open_exceptions(connection) == []
    assert (event_id in before, event_id in after) == (True, False)
    assert "Nothing waits for you" in after


def test_delivered_event_shows_its_plan_instead_and_asks_why(
    bridge: VirtualBridge, anna: Person
) -> None:
    event_id, _ = delivered(bridge)

    page = anna.press(anna.see(f"events/{event_id}"), "replays")

    assert rows(bridge.database, "replays") == []
    assert "stays delivered" in page
    assert "never sent again" in page
    assert re.search(r'name="reason" maxlength="1000" required', page)


def test_plan_shows_count_and_each_body_and_changes_nothing(
    bridge: VirtualBridge, anna: Person
) -> None:
    ids = dead(bridge, 2)
    before, sent = everything(bridge.database), len(bridge.sent)

    page = anna.press(anna.see("events"), "replays/plan", id=ids)

    assert everything(bridge.database) == before
    assert len(bridge.sent) == sent
    assert "Replay 2 webhooks" in page
    assert page.count("&#34;line_items&#34;") == 2
    assert "the same was sent before, and not taken" in page
    assert "is UNFULFILLED in Purple Dot now" in page


def test_all_that_match_are_replayed_with_a_reason_to_the_end(
    bridge: VirtualBridge, anna: Person
) -> None:
    dead(bridge, 3)
    foreign(bridge)
    line = "status:processed type:LABEL_CREATED_V2"
    plan = anna.press(anna.see(f"events?q={line}"), "replays/plan", all="1")

    asked = anna.press(plan, "replays")
    anna.press(plan, "replays", reason="Purple Dot mended the orders")
    bridge.settle()

    assert "Say why" in asked
    [run] = rows(bridge.database, "replays")
    assert (run.total, run.reason, run.chosen) == (3, "Purple Dot mended the orders", {"q": line})
    assert story(bridge.database, run.id)["deliveries"] == [
        {"status": "delivered", "reason": None, "before": False, "count": 3}
    ]
    assert [(act.action, act.subject, act.reason) for act in rows(bridge.database, "audit")] == [
        ("replay", run.id, run.reason)
    ]


def test_what_fits_by_now_and_was_not_seen_is_not_replayed(
    bridge: VirtualBridge, anna: Person
) -> None:
    dead(bridge, 2)
    plan = anna.press(anna.see("events?q=status:processed"), "replays/plan", all="1")
    delivered(bridge)

    page = anna.press(plan, "replays", reason="after the fix")

    assert "Other events match by now than you saw" in page
    assert "Replay 3 webhooks" in page
    assert rows(bridge.database, "replays") == []


def test_choices_of_the_plan_are_those_of_the_run(bridge: VirtualBridge, anna: Person) -> None:
    ids = dead(bridge, 2)
    plan = anna.press(anna.see("events"), "replays/plan", id=ids)
    plan = anna.press(plan, "replays/plan", as_stored="1", notify_customer="1")

    anna.press(plan, "replays", reason="they want to know")
    bridge.settle()

    [run] = rows(bridge.database, "replays")
    assert (run.as_stored, run.notify_customer) == (True, True)
    assert [body["notify_customer"] for body in bridge.accepted()] == [True, True]


def test_run_is_cancelled_with_a_button(bridge: VirtualBridge, anna: Person) -> None:
    run_id = start(bridge, *dead(bridge, 10))
    bridge.step()

    page = anna.press(anna.see(f"replays/{run_id}"), f"replays/{run_id}/cancel")
    bridge.settle()

    assert "The run is cancelled" in page
    assert story(bridge.database, run_id)["status"] == "cancelled"
    assert len(bridge.accepted()) == 1
    assert f'action="/console/replays/{run_id}/cancel"' not in anna.see(f"replays/{run_id}")
    assert anna.post(f"replays/{run_id}/cancel").text.count("is cancelled already") == 1


def test_run_that_was_paused_in_a_shell_goes_on_here(bridge: VirtualBridge, anna: Person) -> None:
    run_id = start(bridge, *dead(bridge, 6))
    with bridge.database.begin() as connection:
        replays.pause(connection, run_id)

    anna.press(anna.see(f"replays/{run_id}"), f"replays/{run_id}/resume")
    bridge.settle()

    assert story(bridge.database, run_id)["status"] == "done"
    assert "6</strong> of 6 webhooks processed" in anna.see(f"replays/{run_id}")
    assert run_id in anna.see("replays")


def test_long_plan_and_long_run_go_on_over_pages(
    bridge: VirtualBridge, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.web.console.replay.SHOWN", 2)
    monkeypatch.setattr("bridge.web.console.replay.PAGE_SIZE", 2)
    ids = dead(bridge, 3)
    plan = anna.press(anna.see("events"), "replays/plan", id=ids)

    rest = anna.post("replays/plan", id=ids, skip="2").text
    run_id = start(bridge, *ids)

    assert [f"/console/events/{ids[2]}" in page for page in (plan, rest)] == [False, True]
    assert "webhooks 1 to 2 is above" in plan
    assert [
        f"/console/events/{ids[2]}" in anna.see(f"replays/{run_id}{query}")
        for query in ("", "?after=2")
    ] == [False, True]


def test_what_can_not_be_replayed_is_told_with_its_reason(
    bridge: VirtualBridge, anna: Person
) -> None:
    bridge.post(b"{")
    event_id = bridge.events()[-1]["id"]

    page = anna.post("replays", id=event_id, reason="try").text

    assert "refused when it came in (bad_json)" in page
    assert rows(bridge.database, "replays") == []
    assert row(bridge.database, event_id).status == "rejected"


def test_nothing_chosen_is_told_and_a_wrong_filter_too(anna: Person) -> None:
    assert "Nothing was chosen" in anna.post("replays/plan").text
    assert anna.post("replays/plan", all="1", q="color:red").status_code == 400
    assert anna.client.get("/console/replays/rpl_0").status_code == 404
    assert "Nothing was replayed yet" in anna.see("replays")


def test_viewer_sees_runs_and_starts_none(bridge: VirtualBridge, anna: Person) -> None:
    run_id = start(bridge, *dead(bridge, 2))
    viewer = Person(anna.client.application.test_client(), VIEWER)

    assert "Cancel the run" not in viewer.see(f"replays/{run_id}")
    assert {
        route.role for route in ROUTES if "/replays" in route.path and route.method == "POST"
    } == {Role.OPERATOR}
    assert viewer.post(f"replays/{run_id}/cancel").status_code == 403
