"""What stands on the console's pages, and what its buttons do: with the real
receiver, database, jobs and
simulator, in virtual time."""

import json
import re
import shlex
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge.domain.reasons import MEANINGS, Reason
from bridge.operations.repair_runs import RepairRuns
from bridge.settings import Settings
from bridge.simulator import Label, PurpleDotOrder
from bridge.store import audit, sweeps
from bridge.web.app import create_app
from bridge.web.console.pages import LONGEST, age, sanitize
from tests.support.console_client import PASSWORDS, VIEWER, Page, Reader, reader
from tests.support.fakes import Clock
from tests.support.virtual_bridge import TOKEN, Json, VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

ONE_TEE = [("TEE", 1)]
EXCEPTIONS = "/console/exceptions"


@pytest.fixture
def bridge(_migrated_file: Path, tmp_path: Path, clock: Clock) -> Iterator[VirtualBridge]:
    shutil.copy(_migrated_file, tmp_path / "bridge.db")
    with (
        structlog.testing.capture_logs(),
        VirtualBridge(f"sqlite:///{tmp_path / 'bridge.db'}", clock) as bridge,
    ):
        yield bridge


@pytest.fixture
def on_both(migrated_url: str, clock: Clock) -> Iterator[VirtualBridge]:
    """The same on each kind of database, where that may make a difference."""
    with structlog.testing.capture_logs(), VirtualBridge(migrated_url, clock) as bridge:
        yield bridge


@pytest.fixture
def app(bridge: VirtualBridge) -> Iterator[Any]:
    """The receiver's process, under the same clock."""
    app = create_app(Settings.load(bridge.environ | PASSWORDS))
    app.extensions["database"]._clock = bridge.clock
    yield app
    app.extensions["database"].close()


@pytest.fixture
def anna(app: Any) -> Reader:
    """An operator."""
    return reader(app)


def ship(
    bridge: VirtualBridge, order: PurpleDotOrder | str, items: Any = None, **named: Any
) -> Label:
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order, items, **named))
    bridge.travel(bridge.world.label_created_v2(label))
    return label


def ambiguous(
    bridge: VirtualBridge, number: int = 800
) -> tuple[Json, PurpleDotOrder, PurpleDotOrder]:
    first, second = (bridge.world.add_order(f"PD{number}/{part}", ONE_TEE) for part in (1, 2))
    ship(bridge, first, custom_fields=(second.reference, None, None))
    return bridge.deliveries()[-1], first, second


def without_items(bridge: VirtualBridge) -> tuple[Json, PurpleDotOrder]:
    order = bridge.world.add_order("PD700/1", [("TEE", 2), ("CAP", 1)])
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order), items=[])
    bridge.travel(bridge.world.item_ship_notify(labels))
    return bridge.deliveries()[-1], order


def delivered(bridge: VirtualBridge, reference: str = "PD100/1") -> Json:
    ship(bridge, bridge.world.add_order(reference, [("TEE", 2), ("CAP", 1)]))
    return bridge.deliveries()[-1]


def posting(page: Page) -> list[str]:
    """Where the forms lead that change something."""
    return [str(form["action"]) for form in page.forms if form["method"] == "post"]


def acts(bridge: VirtualBridge) -> list[tuple[str, str, str, str | None]]:
    with bridge.database.read() as connection:
        return [
            (act["actor"], act["action"], act["subject"], act["reason"])
            for act in audit.entries(connection)
        ]


# The inbox


def test_empty_inbox_says_so(anna: Reader) -> None:
    page = anna.page(EXCEPTIONS)

    assert "Nothing waits for you" in page
    assert posting(page) == ["/console/sign-out"]


def test_inbox_groups_by_reason_and_says_what_to_do_with_order_parcel_and_age(
    bridge: VirtualBridge, anna: Reader
) -> None:
    (one, *_), (two, *_), (three, _) = (
        ambiguous(bridge, 800),
        ambiguous(bridge, 801),
        without_items(bridge),
    )

    page = anna.page(EXCEPTIONS)

    words = " ".join(page.words.split())
    headings = re.findall(r"(needs review|failed) ([\w ]+) ([a-z_]+) (\d+)", words)
    assert headings == [
        ("needs review", "More than one order fits", "ambiguous_order", "2"),
        ("needs review", "Contents unknown", "no_items", "1"),
    ]
    for delivery in (one, two, three):
        assert delivery["order_number"] in page
        assert delivery["tracking_number"] in page
        assert delivery["detail"] in page
        assert MEANINGS[Reason(delivery["reason"])].sentence in page
        assert f"{age(delivery['created_at'], bridge.clock.now)} old" in page


def test_dead_event_stands_in_the_inbox_and_is_retried_by_one_click(
    bridge: VirtualBridge, anna: Reader
) -> None:
    bridge.simulator.inject("shipstation.labels", "status:500", count=None)
    ship(bridge, bridge.world.add_order("PD800/1", ONE_TEE))
    bridge.simulator.faults.clear()
    [event] = bridge.events()

    told = anna.send(EXCEPTIONS, f"/events/{event['id']}/retry")
    bridge.settle()

    assert event["status"] == "dead"
    assert f"{event['id']} is tried again now." in told
    assert [delivery["status"] for delivery in bridge.deliveries()] == ["delivered"]
    assert acts(bridge) == [("Anna (operator) in the console", "retry", event["id"], None)]


# Mending one


def test_one_click_retries_what_was_mended_in_shipstation(
    bridge: VirtualBridge, anna: Reader
) -> None:
    order = bridge.world.add_order("PD800/1", ONE_TEE)
    label = ship(bridge, order, [("SHIRT", 1)])
    [held] = bridge.deliveries()
    label.order.items = [replace(item, sku="TEE") for item in label.order.items]

    told = anna.send(EXCEPTIONS, f"/{held['id']}/retry")
    bridge.settle()

    assert held["reason"] == "unknown_line"
    assert "PD800/1 is tried again now." in told
    assert acts(bridge)[0][1:3] == ("retry", held["id"])
    assert (bridge.deliveries()[0]["status"], order.status) == ("delivered", "FULFILLED")


def test_ambiguous_parcel_is_linked_to_one_of_the_orders_that_are_offered(
    bridge: VirtualBridge, anna: Reader
) -> None:
    held, first, second = ambiguous(bridge)
    page = anna.page(f"/console/deliveries/{held['id']}")

    offered = [
        form["fields"]["order"] for form in page.forms if str(form["action"]).endswith("/link")
    ]
    told = anna.send(f"/console/deliveries/{held['id']}", "/link", order=second.id)
    bridge.settle()

    assert sorted(offered) == sorted([first.id, second.id])
    assert "is linked to PD800/2 and goes on." in told
    assert (first.status, second.status) == ("UNFULFILLED", "FULFILLED")
    assert acts(bridge) == [("Anna (operator) in the console", "link", held["id"], None)]


def test_candidates_stand_side_by_side_with_dates_and_what_was_posted(
    bridge: VirtualBridge, anna: Reader
) -> None:
    order = bridge.world.add_order("PD811/1", [("TEE", 3)])
    bridge.clock.advance(86_400)
    other = bridge.world.add_order("PD811/2", [("TEE", 1)])
    label = ship(bridge, order, ONE_TEE)
    clues = (other.reference, None, None)
    ship(bridge, order, ONE_TEE, custom_fields=clues)
    [held] = [row for row in bridge.deliveries() if row["status"] == "held"]

    page = anna.page(f"/console/deliveries/{held['id']}")

    assert held["reason"] == "ambiguous_order"
    assert "Named in ShipStation by shipment_number" in page
    assert "Named in ShipStation by custom_field1" in page
    assert "Ordered 2026-11-04 12:00:00 UTC" in page
    assert "Ready to ship since 2026-11-05 12:00:00 UTC" in page
    assert f"Posted already 1 × TEE with {label.tracking_number}" in page
    assert "Posted already nothing by the bridge" in page
    assert "TEE 3 2 1" in page
    assert page.words.count("That can't be taken back.") == 2


def test_order_is_looked_up_at_purple_dot_by_reference_or_id(
    bridge: VirtualBridge, anna: Reader
) -> None:
    ship(bridge, "PD900/1", ONE_TEE)
    [held] = bridge.deliveries()
    right = bridge.world.add_order("PD901/1", [("TEE", 1), ("CAP", 4)])
    path = f"/console/deliveries/{held['id']}"
    search = anna.page(path).form(f"/deliveries/{held['id']}#orders")

    pages = [anna.page(f"{path}?find={text}") for text in ("pd901/1", right.id)]
    nothing = anna.page(f"{path}?find=PD1/1")

    assert search["fields"] == {"find": "PD900/1"}
    for page in pages:
        assert "Link to PD901/1" in page
        assert "TEE 1 1 1" in page
        assert "CAP 4 4" in page
        assert "The parcel holds 1 × TEE" in page
    assert "Purple Dot has no order of that name." in nothing


@pytest.mark.parametrize("named", ["", "PD999/9", "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0aff"])
def test_parcel_is_linked_to_no_order_that_is_not_there(
    bridge: VirtualBridge, anna: Reader, named: str
) -> None:
    held, *_ = ambiguous(bridge)

    told = anna.send(f"/console/deliveries/{held['id']}", "/link", order=named)

    assert "was not linked: Purple Dot has no fulfillment order" in told
    assert (bridge.deliveries(), acts(bridge)) == ([held], [])


def test_unreachable_purple_dot_is_told_on_the_page(bridge: VirtualBridge, anna: Reader) -> None:
    held, first, _ = ambiguous(bridge)
    bridge.simulator.inject("purple_dot.orders_by_reference", "status:500", count=None)

    looked = anna.page(f"/console/deliveries/{held['id']}?find={first.reference}")
    linked = anna.send(f"/console/deliveries/{held['id']}", "/retry")

    assert "Purple Dot could not be asked" in looked
    assert "is tried again now" in linked


def test_what_is_left_goes_out_with_the_lines_that_were_written_out(
    bridge: VirtualBridge, anna: Reader
) -> None:
    held, order = without_items(bridge)
    path = f"/console/deliveries/{held['id']}"
    page = anna.page(path)

    told = anna.send(path, f"/{held['id']}/rest")
    bridge.settle()

    assert "Purple Dot will show 2 x TEE, 1 x CAP of PD700/1 as shipped" in page
    assert "goes out now with 2 x TEE, 1 x CAP of PD700/1." in told
    assert order.status == "FULFILLED"
    assert acts(bridge) == [
        (
            "Anna (operator) in the console",
            "retry",
            held["id"],
            "all that is left: 2 x TEE, 1 x CAP",
        )
    ]


def test_other_lines_than_those_that_were_seen_are_not_sent(
    bridge: VirtualBridge, anna: Reader
) -> None:
    held, _ = without_items(bridge)

    path = f"/console/deliveries/{held['id']}"
    told = anna.send(path, f"/{held['id']}/rest", lines="2 x TEE")

    assert "that is not what you saw, so nothing was sent" in told
    assert (bridge.deliveries(), bridge.accepted(), acts(bridge)) == ([held], [], [])


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
def test_exception_is_resolved_with_a_reason(
    bridge: VirtualBridge, anna: Reader, status: str
) -> None:
    held, *_ = ambiguous(bridge)

    told = anna.send(
        EXCEPTIONS, f"/{held['id']}/resolve", **{"as": status, "reason": "agreed by phone"}
    )

    assert f"is closed as {status}." in told
    assert bridge.deliveries()[0]["status"] == status
    assert acts(bridge) == [
        ("Anna (operator) in the console", "resolve", held["id"], "agreed by phone")
    ]
    assert "agreed by phone" in anna.page("/console/activity")
    assert "agreed by phone" in anna.page(f"/console/deliveries/{held['id']}")


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"reason": "  "}, "say why"),
        ({"as": "held", "reason": "x"}, "closed as delivered or as cancelled"),
    ],
)
def test_exception_is_not_resolved_without_a_reason_or_as_something_else(
    bridge: VirtualBridge, anna: Reader, form: dict[str, str], told: str
) -> None:
    held, *_ = ambiguous(bridge)

    answer = anna.send(EXCEPTIONS, f"/{held['id']}/resolve", **({"as": "cancelled"} | form))

    assert told in answer
    assert (bridge.deliveries(), acts(bridge)) == ([held], [])


def test_what_purple_dot_has_gets_no_button_and_is_refused_all_the_same(
    bridge: VirtualBridge, anna: Reader
) -> None:
    delivery = delivered(bridge)
    held, *_ = ambiguous(bridge)
    page = anna.page(f"/console/deliveries/{delivery['id']}")
    csrf = page.form("/sign-out")["fields"]["csrf"]

    answer = anna.client.post(
        f"/console/deliveries/{delivery['id']}/retry", data={"csrf": csrf}, follow_redirects=True
    )

    assert posting(page) == ["/console/sign-out"]
    assert "would post the same goods to Purple Dot twice" in Page(answer.text)
    assert acts(bridge) == []
    assert held["status"] == "held"


def test_delivery_that_is_not_there_is_told_so(anna: Reader) -> None:
    csrf = anna.page(EXCEPTIONS).form("/sign-out")["fields"]["csrf"]

    answer = anna.client.post(
        "/console/deliveries/dlv_0/retry", data={"csrf": csrf}, follow_redirects=True
    )

    assert "there is no delivery dlv_0" in Page(answer.text)
    assert "There is no parcel dlv_0." in anna.page("/console/deliveries/dlv_0", status=404)
    assert "There is no webhook evt_0." in anna.page("/console/events/evt_0", status=404)


def test_pages_and_buttons_are_the_same_on_both_databases(on_both: VirtualBridge) -> None:
    app = create_app(Settings.load(on_both.environ | PASSWORDS))
    app.extensions["database"]._clock = on_both.clock
    bob = reader(app)
    (held, _, right), (other, order), done = (
        ambiguous(on_both),
        without_items(on_both),
        delivered(on_both),
    )

    found = [
        listed(bob.page(f"/console/{path}"))
        for path in ("deliveries?q=status:held", "deliveries?q=order:pd100/1", "events?q=PD700/1")
    ]
    bob.send(f"/console/deliveries/{held['id']}", "/link", order=right.id)
    bob.send(f"/console/deliveries/{other['id']}", f"/{other['id']}/rest")
    on_both.settle()
    plan = bob.send("/console/deliveries", "/many", all="1", what="retry")
    overview = bob.page("/console/")
    app.extensions["database"].close()

    assert found == [
        [other["id"], held["id"]],
        [done["id"]],
        [other["event_ids"][0], other["id"]],
    ]
    assert (right.status, order.status) == ("FULFILLED", "FULFILLED")
    assert "This can be done to none of them." in plan
    assert "delivered, 24 hours 3" in overview
    assert "need a person 0" in overview


# Repairing many


def run_to_its_end(bridge: VirtualBridge, anna: Reader, action: str, data: Json) -> Page:
    """The page of the run that this form begins, once the worker has done it."""
    begun = anna.client.post(action, data=data)
    RepairRuns(bridge.database).run(threading.Event())
    return anna.page(begun.headers["Location"])


def test_many_are_shown_exactly_then_done_with_one_reason(
    bridge: VirtualBridge, anna: Reader
) -> None:
    (one, *_), (two, *_), done = ambiguous(bridge, 800), ambiguous(bridge, 801), delivered(bridge)

    plan = anna.send("/console/deliveries", "/many", all="1", what="cancelled")
    [form] = [form for form in plan.forms if str(form["action"]).endswith("/many/go")]
    before = [delivery["status"] for delivery in bridge.deliveries()]
    data = form["fields"] | {"reason": "stock-taking"}
    told = run_to_its_end(bridge, anna, form["action"], data)

    assert "Close as cancelled: 2 of 3" in plan
    assert one["order_number"] in plan
    assert two["order_number"] in plan
    assert "1 delivered it needs nobody, so there is nothing to do" in plan
    assert str(done["reference"]) not in plan
    assert before == ["held", "held", "delivered"]
    assert "2 of 2 worked through" in told
    assert "closed as cancelled 2" in told
    assert [delivery["status"] for delivery in bridge.deliveries()] == [
        "cancelled",
        "cancelled",
        "delivered",
    ]
    assert [act[1] for act in acts(bridge)] == ["resolve", "resolve", "cancelled many"]
    assert {act[3] for act in acts(bridge)} == {"stock-taking"}


def test_ticked_ones_are_retried_and_the_others_left_alone(
    bridge: VirtualBridge, anna: Reader
) -> None:
    (one, *_), (two, *_) = ambiguous(bridge, 800), ambiguous(bridge, 801)

    plan = anna.send("/console/deliveries?q=status:held", "/many", ids=[two["id"]], what="retry")
    [form] = [form for form in plan.forms if str(form["action"]).endswith("/many/go")]
    data = form["fields"] | {"id": [two["id"]], "reason": "mended"}
    told = run_to_its_end(bridge, anna, form["action"], data)

    assert "1 of 1 worked through" in told
    assert "still under way 1" in told
    assert [delivery["status"] for delivery in bridge.deliveries()] == ["held", "retrying"]
    assert bridge.deliveries()[0]["id"] == one["id"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"what": "retry"}, "Nothing was chosen"), ({"what": "drop"}, "can't be done to many")],
)
def test_plan_without_a_choice_or_of_something_else_is_refused(
    bridge: VirtualBridge, anna: Reader, fields: dict[str, str], told: str
) -> None:
    ambiguous(bridge)

    assert told in anna.send("/console/deliveries", "/many", **fields)


def test_many_need_a_reason_and_what_has_moved_on_is_refused(
    bridge: VirtualBridge, anna: Reader
) -> None:
    held, *_ = ambiguous(bridge)
    plan = anna.send("/console/deliveries", "/many", ids=[held["id"]], what="cancelled")
    [form] = [form for form in plan.forms if str(form["action"]).endswith("/many/go")]
    data = form["fields"] | {"id": [held["id"]]}

    first = Page(anna.client.post(form["action"], data=data, follow_redirects=True).text)
    untouched = bridge.deliveries()
    anna.send(EXCEPTIONS, f"/{held['id']}/resolve", **{"as": "delivered", "reason": "x"})
    late = Page(
        anna.client.post(form["action"], data=data | {"reason": "y"}, follow_redirects=True).text
    )

    assert "say why" in first
    assert untouched == [held]
    assert "Other parcels match by now than you saw. Nothing was done" in late


# The story


def test_events_page_tells_its_whole_story(bridge: VirtualBridge, anna: Reader) -> None:
    delivery = delivered(bridge)
    [event] = bridge.events()

    page = anna.page(f"/console/events/{event['id']}")

    [body] = bridge.accepted()
    assert event["resource_url"] in page
    assert '"resource_type": "LABEL_CREATED_V2"' in page
    assert '"content-type"' in page
    assert [record["id"] in page for record in event["records"]] == [True, True]
    assert "its order was chosen because shipment_number in ShipStation names it" in page
    assert "its SKU" in page
    assert "UPS; ShipStation says “ups”, which shoppers know as UPS" in page
    assert json.dumps({"fulfillment": body}, indent=2) in page.words
    assert "answered 200" in page
    assert delivery["purple_dot_fulfillment_id"] in page


def test_copied_curl_sends_the_very_same_and_holds_no_secret(
    bridge: VirtualBridge, anna: Reader
) -> None:
    delivery = delivered(bridge)

    page = anna.page(f"/console/deliveries/{delivery['id']}")

    [line] = [line for line in page.words.splitlines() if line.strip().startswith("curl -X POST")]
    words = shlex.split(line)
    assert json.loads(words[words.index("-d") + 1]) == {"fulfillment": bridge.accepted()[0]}
    assert words[3] == bridge.environ["BRIDGE_PURPLE_DOT_BASE_URL"] + "/fulfillment"
    assert "X-Purple-Dot-Access-Token: $BRIDGE_PURPLE_DOT_ACCESS_TOKEN" in words


def test_ignored_event_says_why_nothing_happened(bridge: VirtualBridge, anna: Reader) -> None:
    label = ship(bridge, "100482", ONE_TEE)
    [event] = bridge.events()

    found = anna.page(f"/console/events?q={label.tracking_number}")
    page = anna.page(f"/console/events/{event['id']}")

    assert [
        named["href"]
        for tag, named in found.elements
        if tag == "a" and event["id"] in str(named.get("href"))
    ]
    assert MEANINGS[Reason.NOT_A_PURPLE_DOT_ORDER].sentence in page
    assert label.tracking_number in page


def test_fulfillment_by_hand_and_a_lost_answer_are_told_attempt_by_attempt(
    bridge: VirtualBridge, anna: Reader
) -> None:
    bridge.simulator.inject("purple_dot.create_fulfillment", "drop_after_commit")
    delivery = delivered(bridge)

    page = anna.page(f"/console/deliveries/{delivery['id']}")

    assert [attempt["outcome"] for attempt in delivery["attempt_history"]] == [
        "unconfirmed",
        "delivered",
    ]
    assert all(attempt["detail"] in page for attempt in delivery["attempt_history"])


# Lists


def listed(page: Page) -> list[str]:
    """The ids that a list leads to, in its order."""
    links = [str(named.get("href")) for tag, named in page.elements if tag == "a"]
    return [link.rpartition("/")[2] for link in links if re.search(r"/(evt|dlv)_[0-9a-f]+$", link)]


def test_filter_line_narrows_deliveries(bridge: VirtualBridge, anna: Reader) -> None:
    held, *_ = ambiguous(bridge)
    done = delivered(bridge, "#PD100/1")

    def found(line: str) -> list[str]:
        return listed(anna.page(f"/console/deliveries?q={line.replace('#', '%23')}"))

    assert found("") == [done["id"], held["id"]]
    assert (
        found("status:held")
        == found("reason:ambiguous_order")
        == found("order:pd800/1")
        == [held["id"]]
    )
    assert (
        found("order:PD100/1")
        == found("order:#PD100/1")
        == found(f"tracking:{done['tracking_number'].lower()}")
        == [done["id"]]
    )
    assert found(done["purple_dot_fulfillment_id"]) == []
    assert found(f"id:{done['id']}") == found(done["tracking_number"]) == [done["id"]]
    assert found("status:held order:PD100/1") == []
    assert found("until:2d") == []
    assert found("since:2d type:label_created_v2") == [done["id"], held["id"]]


@pytest.mark.parametrize("line", ["status:nope", "color:red", "since:soon", "status:", "one two"])
def test_filter_line_that_says_nothing_is_told_what_would(anna: Reader, line: str) -> None:
    page = anna.page(f"/console/events?q={line}")

    assert [named for _, named in page.elements if named.get("aria-invalid") == "true"]
    assert "No results" not in page


def test_pages_stay_the_same_while_more_comes_in(
    bridge: VirtualBridge, anna: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.web.console.lists.PAGE_SIZE", 2)
    ids = [bridge.send({"resource_type": f"TYPE_{number}"}) for number in range(5)][::-1]

    first = anna.page("/console/events")
    [older] = [str(named["href"]) for tag, named in first.elements if named.get("rel") == "next"]
    bridge.send({"resource_type": "LATER"})
    second = anna.page(older)
    [older, newer] = [
        str(named["href"])
        for rel in ("next", "prev")
        for _, named in second.elements
        if named.get("rel") == rel
    ]
    third, again = anna.page(older), anna.page(newer)

    assert [listed(page) for page in (first, second, third)] == [ids[:2], ids[2:4], ids[4:]]
    assert listed(again) == ids[:2]
    assert not [named for _, named in third.elements if named.get("rel") == "next"]
    assert [named for _, named in again.elements if named.get("rel") == "prev"]


# The overview


def test_overview_tells_the_last_sweep_as_a_moment_that_is_turned_into_the_readers_zone(
    bridge: VirtualBridge, anna: Reader
) -> None:
    now = bridge.clock.now
    with bridge.database.begin() as connection:
        sweeps.start(connection, started_by="worker", looked_back_to=now, now=now)

    page = anna.page("/console/")

    assert ("time", f"{now:%Y-%m-%dT%H:%M:%SZ}") in [
        (tag, named.get("datetime")) for tag, named in page.elements
    ]
    assert now.isoformat() not in page


def test_nothing_is_chosen_beforehand_of_what_a_resolved_delivery_counts_as(
    bridge: VirtualBridge, anna: Reader
) -> None:
    ambiguous(bridge)

    options = [
        named for tag, named in anna.page(EXCEPTIONS).elements if tag in ("select", "option")
    ]

    assert "required" in options[0]
    assert options[1]["value"] == ""


def test_new_console_says_that_nothing_has_come_yet(bridge: VirtualBridge, anna: Reader) -> None:
    before = [anna.page(f"/console/{path}") for path in ("", "events", "deliveries")]
    ship(bridge, bridge.world.add_order("PD823/1", ONE_TEE))
    after = [anna.page(f"/console/{path}") for path in ("", "events", "deliveries")]

    said = ("No webhook has come yet.", "None yet.", "None yet.")
    assert [words in page for words, page in zip(said, before, strict=True)] == [True] * 3
    assert [words in page for words, page in zip(said, after, strict=True)] == [False] * 3


def test_overview_tells_what_is_wrong_in_its_first_words(
    bridge: VirtualBridge, anna: Reader
) -> None:
    ambiguous(bridge)

    page = anna.page("/console/")

    assert "Something is wrong" in page
    assert "No worker is running" in page
    assert "Waiting for a person: 1." in page
    assert "need a person 1" in page


# What comes from outside


EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)</script>'{{7*7}}\u202e"


def assert_harmless(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"img", "iframe", "object", "style", "base"}
    assert [
        named
        for tag, named in page.elements
        if tag == "script" and not str(named.get("src")).startswith("/console/static/")
    ] == []
    assert [
        name
        for _, named in page.elements
        for name in named
        if name.startswith("on") or name == "style"
    ] == []
    assert [
        link
        for _, named in page.elements
        if (link := str(named.get("href") or named.get("action") or "/"))[:1] not in "/?#"
        and not (named.get("rel") == "noopener noreferrer" and link.startswith("http"))
    ] == []
    assert "\u202e" not in page.words


def test_nothing_from_outside_becomes_a_part_of_a_page(bridge: VirtualBridge, anna: Reader) -> None:
    world = bridge.world
    evil_order = world.add_order(f"PD1{EVIL}", [(EVIL, 1), ("TEE", 3)])
    ship(bridge, evil_order, [(EVIL, 1), (f"other{EVIL}", 1)], external_shipment_id=evil_order.id)
    bridge.travel(
        world.label_created_v2(
            world.buy_labels(
                world.add_shipstation_order(f"PD9{EVIL}", [(EVIL, 1)]), tracking=f"1Z{EVIL}"
            )
        )
    )
    ship(bridge, f"77{EVIL}", [(EVIL, 1)], custom_fields=(EVIL, EVIL, EVIL))
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:400")
    ship(bridge, world.add_order("PD5/1", [(f"sku{EVIL}", 1)]))
    bridge.post(json.dumps({"resource_type": EVIL}).encode(), {"User-Agent": EVIL})
    bridge.post(EVIL.encode(), {"User-Agent": EVIL.encode().decode("latin-1")})
    bridge.post(
        json.dumps(
            {"resource_type": "ORDER_NOTIFY", "resource_url": f"https://evil.example/{EVIL[:-1]}"}
        ).encode()
    )
    rows = [*bridge.events(), *bridge.deliveries()]

    kinds = {"evt": "events", "dlv": "deliveries"}
    pages = [anna.page(f"/console/{kinds[row['id'][:3]]}/{row['id']}") for row in rows]
    held = next(row for row in rows if row["status"] == "held")
    pages += [
        anna.page(path)
        for path in (
            "/console/",
            EXCEPTIONS,
            "/console/events",
            "/console/deliveries",
            "/console/activity",
        )
    ]
    pages.append(
        anna.send(EXCEPTIONS, f"/{held['id']}/resolve", **{"as": "cancelled", "reason": EVIL})
    )
    pages += [anna.page("/console/activity"), anna.page(f"/console/deliveries/{held['id']}")]
    for name in ("q", "before", "after", "subject", "find", "next"):
        for path in ("events", "deliveries", "activity", f"deliveries/{rows[-1]['id']}", "sign-in"):
            pages.append(Page(anna.client.get(f"/console/{path}", query_string={name: EVIL}).text))
    pages.append(Page(anna.client.get(f"/console/{EVIL}").text))
    pages.append(Page(anna.client.get(f"/console/events/{EVIL[:30]}".replace("<", "%3C")).text))

    assert len(rows) > 8
    assert sum("alert(2)" in page.words for page in pages) > 10  # It is there, as words.
    for page in pages:
        assert_harmless(page)


def test_endless_text_is_cut_and_counted() -> None:
    text = sanitize("x" * (LONGEST + 1_234))

    assert text.endswith(" … (1,234 more characters)")
    assert len(text) < LONGEST + 40


def test_no_secret_stands_on_a_page(bridge: VirtualBridge, anna: Reader) -> None:
    delivered(bridge)
    ambiguous(bridge)
    url = f"https://bridge.example.com/webhooks/shipstation/{TOKEN}"
    bridge.post(
        json.dumps(
            {"resource_type": "ORDER_NOTIFY", "resource_url": url, "api_key": "marked-secret-1"}
        ).encode()
    )
    secrets = [
        bridge.environ[name]
        for name in bridge.environ
        if re.search(r"KEY|SECRET|TOKEN", name) and len(bridge.environ[name]) > 6
    ]
    rows = [*bridge.events(), *bridge.deliveries()]

    paths = [
        f"/console/{'events' if row['id'][0] == 'e' else 'deliveries'}/{row['id']}" for row in rows
    ]
    text = "".join(
        anna.client.get(path).text
        for path in [*paths, "/console/", EXCEPTIONS, "/console/events", "/console/activity"]
    )

    assert len(secrets) > 3
    assert [
        secret for secret in [*secrets, "marked-secret-1", *PASSWORDS.values()] if secret in text
    ] == []


def test_viewer_sees_the_inbox_and_the_stories_without_a_button_that_acts(
    bridge: VirtualBridge, app: Any
) -> None:
    held, *_ = ambiguous(bridge)
    without_items(bridge)
    looking = reader(app, VIEWER)

    for path in (
        EXCEPTIONS,
        f"/console/deliveries/{held['id']}",
        "/console/deliveries",
        f"/console/events/{bridge.events()[0]['id']}",
    ):
        page = looking.page(path)
        assert [form["action"] for form in page.forms if form["method"] == "post"] == [
            "/console/sign-out"
        ]


def test_lists_lead_to_what_came_yesterday_by_one_click(
    bridge: VirtualBridge, anna: Reader
) -> None:
    ship(bridge, bridge.world.add_order("PD821/1", ONE_TEE))
    bridge.clock.advance(86_400)
    ship(bridge, bridge.world.add_order("PD822/1", ONE_TEE))

    answer = anna.client.get("/console/deliveries?q=status:delivered")
    [link] = re.findall(r'href="([^"]+)"[^>]*>yesterday<', answer.text)
    yesterday = anna.page(unescape(link))

    assert "PD821/1" in yesterday
    assert "PD822/1" not in yesterday
    assert "1 of 1, newest first." in yesterday
