"""What the console lets a person do: the right thing for each reason, nothing twice, nothing
unasked."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bridge.operations.repair_runs import RepairRuns
from bridge.settings import Settings
from bridge.store import audit, shared_state
from bridge.web.app import create_app
from tests.support.console_client import PASSWORDS, VIEWER, Page, Reader, reader
from tests.support.fakes import Clock
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

EXCEPTIONS = "/console/exceptions"
Json = dict[str, Any]


@pytest.fixture
def bridge(migrated_url: str, clock: Clock) -> Iterator[VirtualBridge]:
    with VirtualBridge(migrated_url, clock) as bridge:
        yield bridge


Open = Callable[..., Reader]


@pytest.fixture
def opened(bridge: VirtualBridge) -> Iterator[Open]:
    """A person at the console of a receiver with these settings."""
    apps = []

    def open_it(**settings: str) -> Reader:
        app = create_app(Settings.load(bridge.environ | PASSWORDS | settings))
        app.extensions["database"]._clock = bridge.clock
        apps.append(app)
        return reader(app)

    yield open_it
    for app in apps:
        app.extensions["database"].close()


@pytest.fixture
def anna(opened: Open) -> Reader:
    return opened()


def travel(bridge: VirtualBridge, order: Any, items: Any = None, **named: Any) -> Json:
    """The newest delivery after a label for these items."""
    shipment = bridge.world.add_shipstation_order(order, items, **named)
    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))
    return bridge.deliveries()[-1]


def unconfirmed_partial(bridge: VirtualBridge) -> Json:
    """Purple Dot took it, and its answer was lost."""
    bridge.simulator.inject("purple_dot.create_fulfillment", "drop_after_commit")
    held = travel(bridge, bridge.world.add_order("PD900/1", [("TEE", 3)]), [("TEE", 1)])
    assert held["reason"] == "unconfirmed_partial"
    return held


def path_of(delivery: Json) -> str:
    return f"/console/deliveries/{delivery['id']}"


def post_fields(reader: Reader, path: str) -> dict[str, str]:
    """Of the form on a page that looks a number up."""
    forms = reader.page(path).forms
    [form] = [
        form
        for form in forms
        if form["method"] == "post" and str(form["action"]).endswith("/console/search")
    ]
    fields: dict[str, str] = form["fields"]
    return fields


def posting(page: Page) -> list[str]:
    return [str(form["action"]) for form in page.forms if form["method"] == "post"]


# What another person did meanwhile


def test_second_of_two_who_close_a_parcel_is_told_so_by_its_order(
    bridge: VirtualBridge, anna: Reader
) -> None:
    held = travel(bridge, bridge.world.add_order("PD901/1", [("TEE", 1)]), [("HAT", 1)])
    answers = [
        anna.client.post(
            f"{path_of(held)}/resolve",
            data={
                "csrf": anna.page(EXCEPTIONS).form("/sign-out")["fields"]["csrf"],
                "as": "cancelled",
                "reason": "agreed by phone",
            },
            follow_redirects=True,
        ).text
        for _ in range(2)
    ]

    first, second = map(Page, answers)

    assert "PD901/1 is closed as cancelled." in first
    assert "Not done: PD901/1 is cancelled;" in second
    assert held["id"] not in second.words.partition("Not done:")[2].partition(".")[0]


def test_delivered_parcel_says_what_to_do_when_it_is_on_the_wrong_order(
    bridge: VirtualBridge, anna: Reader
) -> None:
    delivered = travel(bridge, bridge.world.add_order("PD902/1", [("TEE", 1)]))

    page = anna.page(path_of(delivered))

    assert "Correct the order in Purple Dot, or ask Purple Dot's support" in page
    assert "This parcel is not posted again" in page


# An answer that was lost


def test_parcel_that_may_be_posted_has_a_question_and_no_retry(
    bridge: VirtualBridge, anna: Reader
) -> None:
    held = unconfirmed_partial(bridge)

    for path in (EXCEPTIONS, path_of(held)):
        page = anna.page(path)
        assert f"Is {held['tracking_number']} on PD900/1 in Purple Dot?" in page
        assert not [action for action in posting(page) if action.endswith(("/retry", "/many"))]


@pytest.mark.parametrize("way", ["retry", "bulk"])
def test_parcel_that_may_be_posted_is_posted_again_by_no_other_way(
    bridge: VirtualBridge, anna: Reader, way: str
) -> None:
    held = unconfirmed_partial(bridge)
    csrf = anna.page(EXCEPTIONS).form("/sign-out")["fields"]["csrf"]
    forms: dict[str, tuple[str, Json]] = {
        "retry": (f"{path_of(held)}/retry", {}),
        "bulk": (
            "/console/many/go",
            {"what": "retry", "id": held["id"], "seen": "1", "reason": "x"},
        ),
    }
    address, fields = forms[way]

    answer = anna.client.post(address, data=fields | {"csrf": csrf}, follow_redirects=True)
    bridge.settle()

    assert answer.status_code == 200
    assert len(bridge.accepted()) == 1
    assert bridge.deliveries()[-1]["status"] == "held"


@pytest.mark.parametrize(
    ("answer", "reason", "posts", "status"),
    [
        ("yes", "", 1, "delivered"),
        ("no", "not on the order", 2, "delivered"),
        ("no", "", 1, "held"),
    ],
)
def test_answer_decides_whether_it_is_sent_again_and_no_needs_a_reason(
    bridge: VirtualBridge, anna: Reader, answer: str, reason: str, posts: int, status: str
) -> None:
    held = unconfirmed_partial(bridge)

    anna.send(EXCEPTIONS, f"/{held['id']}/confirm", answer=answer, reason=reason)
    bridge.settle()

    assert (len(bridge.accepted()), bridge.deliveries()[-1]["status"]) == (posts, status)


# The lines that left


def test_items_that_left_are_chosen_and_filled_in_with_what_fits(
    bridge: VirtualBridge, anna: Reader
) -> None:
    order = bridge.world.add_order("PD901/1", [("JACKET", 1), ("TOTE", 2)])
    held = travel(bridge, order, [("JACKET", 2)])
    page = anna.page(path_of(held))
    form = page.form("/lines")

    anna.send(path_of(held), "/lines")
    bridge.settle()

    assert held["reason"] == "over_quantity"
    assert sorted(value for name, value in form["fields"].items() if "units" in name) == ["0", "1"]
    [body] = bridge.accepted()
    assert [line["quantity"] for line in body["line_items"]] == [1]
    assert order.status == "UNFULFILLED"


@pytest.mark.parametrize("units", ["7", "", "-1", "two"])
def test_nothing_goes_out_for_units_that_are_not_left(
    bridge: VirtualBridge, anna: Reader, units: str
) -> None:
    order = bridge.world.add_order("PD901/1", [("JACKET", 1)])
    held = travel(bridge, order, [("JACKET", 2)])
    [field] = [
        name for name in anna.page(path_of(held)).form("/lines")["fields"] if "units" in name
    ]

    page = anna.send(path_of(held), "/lines", **{field: units})
    bridge.settle()

    assert "nothing was sent" in page or "Nothing was sent" in page
    assert bridge.accepted() == []


# The order it belongs to


def test_parcel_stands_beside_all_its_candidates_with_what_differs(
    bridge: VirtualBridge, anna: Reader
) -> None:
    right = bridge.world.add_order("PD902/1", [("TEE", 1)])
    other = bridge.world.add_order("PD902/2", [("CAP", 4)])
    held = travel(bridge, right, custom_fields=(other.reference, None, None))

    page = anna.page(path_of(held))
    looked_up = anna.page(f"{path_of(held)}?find=PD902/1")

    for shown in (page, looked_up):
        assert "The parcel holds 1 × TEE" in shown
        assert "The whole parcel fits what is left to ship." in shown
        assert "Then nothing would be left to ship." in shown
        assert "The parcel does not fit what is left to ship." in shown
        links = [form for form in shown.forms if str(form["action"]).endswith("/link")]
        assert len(links) == 2
    assert "That can't be taken back." in page


def test_number_that_purple_dot_has_already_is_shown(bridge: VirtualBridge, anna: Reader) -> None:
    done = travel(bridge, bridge.world.add_order("PD903/1", [("TEE", 1)]))
    second = bridge.world.add_shipstation_order(bridge.world.add_order("PD904/1", [("CAP", 1)]))
    second.items = [type(second.items[0])(sku="HAT", quantity=1)] if second.items else []
    labels = bridge.world.buy_labels(second, tracking=done["tracking_number"])
    bridge.travel(bridge.world.label_created_v2(labels))
    held = bridge.deliveries()[-1]

    page = anna.page(path_of(held))

    assert held["status"] == "held"
    assert f"Purple Dot has the number {done['tracking_number']} already" in page


def test_each_unit_of_a_parcel_is_shown_with_what_it_came_to(
    bridge: VirtualBridge, anna: Reader
) -> None:
    travel(bridge, bridge.world.add_order("PD905/1", [("TEE", 1)]), [("HAT", 3)])
    [event] = bridge.events()

    page = anna.page(f"/console/events/{event['id']}")

    assert "3 HAT held its SKU is on no line of PD905/1" in page


# Many at once


def test_run_over_many_is_done_by_the_worker_and_shows_its_results(
    bridge: VirtualBridge, anna: Reader
) -> None:
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422", count=5)
    for number in range(5):
        travel(bridge, bridge.world.add_order(f"PD91{number}/1", [("TEE", 1)]))
    plan = anna.send(EXCEPTIONS, "/many")
    form = plan.form("/many/go")

    begun = anna.client.post(form["action"], data=form["fields"] | {"reason": "fixed"})
    before = anna.page(begun.headers["Location"])
    RepairRuns(bridge.database).run(threading.Event())
    bridge.settle()
    after = anna.page(begun.headers["Location"])

    assert "Retry: 5 of 5" in plan
    assert "0 of 5 worked through; the worker goes on" in before
    assert "5 of 5 worked through" in after
    assert "delivered 5" in after
    assert len(bridge.accepted()) == 5


def test_run_over_many_can_be_cancelled(bridge: VirtualBridge, anna: Reader) -> None:
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422", count=2)
    for number in range(2):
        travel(bridge, bridge.world.add_order(f"PD91{number}/1", [("TEE", 1)]))
    form = anna.send(EXCEPTIONS, "/many").form("/many/go")
    begun = anna.client.post(form["action"], data=form["fields"] | {"reason": "fixed"})

    page = anna.send(begun.headers["Location"], "/cancel")
    RepairRuns(bridge.database).run(threading.Event())

    assert "nothing more of it is done" in page
    assert [row["status"] for row in bridge.deliveries()] == ["dead", "dead"]


def test_what_came_meanwhile_and_was_not_seen_is_not_treated(
    bridge: VirtualBridge, anna: Reader
) -> None:
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422", count=3)
    for number in range(2):
        travel(bridge, bridge.world.add_order(f"PD91{number}/1", [("TEE", 1)]))
    form = anna.send(EXCEPTIONS, "/many").form("/many/go")
    travel(bridge, bridge.world.add_order("PD919/1", [("TEE", 1)]))

    answer = anna.client.post(form["action"], data=form["fields"] | {"reason": "fixed"})

    assert "Other parcels match by now than you saw" in answer.text
    assert "Retry: 3 of 3" in Page(answer.text)


def test_what_was_closed_by_mistake_is_reopened_with_its_reason(
    bridge: VirtualBridge, anna: Reader
) -> None:
    held = travel(bridge, bridge.world.add_order("PD920/1", [("TEE", 1)]), [("HAT", 1)])
    anna.send(EXCEPTIONS, f"/{held['id']}/resolve", **{"as": "cancelled", "reason": "oops"})

    page = anna.send(path_of(held), "/reopen")

    assert "is open again" in page
    assert "SKU not on the order" in page
    [again] = bridge.deliveries()
    assert (again["status"], again["reason"]) == ("held", "unknown_line")


def test_reason_decides_what_may_be_done_to_many(bridge: VirtualBridge, anna: Reader) -> None:
    unconfirmed_partial(bridge)
    travel(bridge, bridge.world.add_order("PD920/1", [("TEE", 1)]), [("HAT", 1)])

    plan = anna.send("/console/deliveries", "/many", all="1", what="retry")

    assert "Retry: 1 of 2" in plan
    assert "Purple Dot may have it: each needs a look of its own" in plan


# The way in from outside


def test_button_sends_a_test_webhook_and_says_what_stands_in_the_way(
    bridge: VirtualBridge, anna: Reader
) -> None:
    # A port that is taken and not listened at refuses, and nobody else gets it meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        home = f"http://127.0.0.1:{taken.getsockname()[1]}"
        value = {"url": f"{home}/webhooks/shipstation", "store": None, "apis": ["v2"]}
        with bridge.database.begin() as connection:
            shared_state.put(connection, shared_state.SUBSCRIBED, value, now=bridge.clock.now)
        page = anna.send("/console/", "/test-webhook")

    assert f"The public address: nothing listens at {home}" in page
    assert "start the reverse proxy" in page


def test_test_webhook_needs_an_address(anna: Reader) -> None:
    page = anna.send("/console/", "/test-webhook")

    assert "no subscription was made yet. What to do: bridge webhooks ensure" in page


# Notes, search, times


def test_notes_and_who_looks_after_it_stand_in_the_inbox_and_the_activity_log(
    bridge: VirtualBridge, anna: Reader
) -> None:
    held = travel(bridge, bridge.world.add_order("PD920/1", [("TEE", 1)]), [("HAT", 1)])

    anna.send(EXCEPTIONS, f"/remarks/{held['id']}", reason="asked the warehouse")
    page = anna.send(EXCEPTIONS, f"/remarks/{held['id']}")

    assert "asked the warehouse" in page
    assert "Anna (operator) is looking after it" in page
    with bridge.database.read() as connection:
        actions = [entry["action"] for entry in audit.entries(connection)]
    assert actions == ["seen", "note"]


@pytest.mark.parametrize("text", ["PD930", "pd930/1", "%23PD930/1", "tracking", "TEE"])
def test_search_finds_in_any_spelling_and_goes_straight_to_the_only_parcel(
    bridge: VirtualBridge, anna: Reader, text: str
) -> None:
    done = travel(bridge, bridge.world.add_order("PD930/1", [("TEE", 1)]))

    number = str(done["tracking_number"])
    text = text.replace("tracking", f"{number[:2]} {number[2:].lower()}")

    answer = anna.client.get(f"/console/search?q={text}")

    assert (answer.status_code, answer.headers.get("Location")) == (303, path_of(done))


def test_search_that_finds_nothing_says_what_was_searched(anna: Reader) -> None:
    page = anna.page("/console/search?q=pd940/1")

    assert "No results" in page
    assert "All parcels, by order number or reference that begins with #PD940/1 or PD940/1" in page
    assert "The newest 5,000 parcels and the newest 5,000 webhooks" in page


def test_what_is_not_here_is_looked_up_at_both_vendors_and_processed_by_a_button(
    bridge: VirtualBridge, anna: Reader
) -> None:
    order = bridge.world.add_order("PD940/1", [("TEE", 2)])
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    search = "/console/search?q=PD940/1"

    looked_up = Page(anna.client.post("/console/search", data=post_fields(anna, search)).text)
    process = looked_up.form("/search/process")
    done = anna.client.post(process["action"], data=process["fields"], follow_redirects=True)
    bridge.settle()

    assert f"A label of order PD940/1: {label.tracking_number}" in looked_up
    assert "No webhook of it came." in looked_up
    assert "PD940/1 UNFULFILLED: 2 x TEE" in looked_up
    assert "It is being processed" in Page(done.text)
    assert [delivery["status"] for delivery in bridge.deliveries()] == ["delivered"]


def test_vendors_are_asked_by_no_link_and_by_no_viewer(bridge: VirtualBridge, opened: Open) -> None:
    bridge.world.add_order("PD940/1", [("TEE", 2)])
    anna = opened()

    linked = anna.page("/console/search?q=PD940/1&ask=1")
    viewer = reader(anna.client.application, VIEWER).page("/console/search?q=PD940/1")

    assert "UNFULFILLED" not in linked
    assert "Look it up" not in viewer


def test_text_without_a_digit_is_asked_for_nowhere(anna: Reader) -> None:
    page = anna.page("/console/search?q=wool-scarf")

    assert "Look it up" not in page
    assert "can be asked for order numbers and tracking numbers, which have digits" in page


def test_times_are_shown_and_read_in_the_browsers_zone(bridge: VirtualBridge, anna: Reader) -> None:
    done = travel(bridge, bridge.world.add_order("PD950/1", [("TEE", 1)]))
    anna.client.set_cookie("bridge_console_zone", "America/New_York", path="/console/")
    local = bridge.clock.now.astimezone(ZoneInfo("America/New_York"))

    page = anna.page(path_of(done))
    hit = anna.page(f"/console/deliveries?q=since:{local:%Y-%m-%dT%H:00}")
    miss = anna.page(f"/console/deliveries?q=until:{local:%Y-%m-%dT%H:00}")

    assert f"{local:%Y-%m-%d %H:%M}" in page
    assert "times are in America/New_York" in page
    assert ("PD950/1" in hit, "PD950/1" in miss) == (True, False)


def test_zone_that_does_not_exist_is_utc(anna: Reader) -> None:
    anna.client.set_cookie("bridge_console_zone", "../../etc/passwd", path="/console/")

    assert "times are in UTC" in anna.page("/console/")


# What a page must not offer


@pytest.mark.parametrize(
    "body",
    [
        '{"resource_type":"TRACKING_UPDATED","resource_url":"https://api.shipstation.com.evil.example/v2/tracking?x=1"}',
        '{"resource_type":"SHIP_NOTIFY","resource_url":"https://ssapi-shipstation.evil.example/shipments?batchId=1"}',
    ],
)
def test_no_command_sends_a_key_to_a_stranger(
    bridge: VirtualBridge, anna: Reader, body: str
) -> None:
    bridge.post(body.encode())
    [event] = bridge.events()

    page = anna.page(f"/console/events/{event['id']}")

    assert "curl" not in page.words
    assert "API_KEY" not in page.words


@pytest.mark.parametrize(("setting", "is_shown"), [("true", True), ("false", False)])
def test_dry_run_is_said_on_every_page(opened: Open, setting: str, is_shown: bool) -> None:
    bob = opened(BRIDGE_DRY_RUN=setting)

    pages = [bob.page(path) for path in ("/console/", EXCEPTIONS, "/console/deliveries")]

    assert ["Dry run." in page for page in pages] == [is_shown] * 3


# The overview


def test_every_number_leads_to_what_it_counts(bridge: VirtualBridge, anna: Reader) -> None:
    travel(bridge, bridge.world.add_order("PD960/1", [("TEE", 1)]))
    travel(bridge, bridge.world.add_order("PD961/1", [("TEE", 1)]), [("HAT", 1)])
    travel(bridge, "100482", [("TEE", 1)])

    for days in ("", "?days=7", "?days=30"):
        page = anna.client.get(f"/console/{days}").text
        overview = Page(page)
        links = [
            str(named["href"])
            for tag, named in overview.elements
            if tag == "a" and "q=" in str(named.get("href"))
        ]
        listed = [anna.page(link) for link in links]
        assert "webhooks, " in overview
        assert "3 of 3, newest first." in listed[0]
        assert "1 of 1, newest first." in listed[1]
    assert "50.0 %" in overview
