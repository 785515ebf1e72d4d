"""The console in a real Chromium, on a real receiver and worker: what a person does there, with and
without JavaScript, eyes or a mouse."""

import json
from collections.abc import Callable, Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bridge.simulator import PurpleDotOrder, Simulator
from tests.support.browser import PASSWORD, Browser, faults_of, signed_in
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
Ambiguous = Callable[[], tuple[str, PurpleDotOrder]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One receiver and worker on SQLite for all tests here; each test makes orders of its own."""
    folder = tmp_path_factory.mktemp("console")
    with (
        Simulator() as simulator,
        Stack(
            simulator,
            f"sqlite:///{folder / 'bridge.db'}",
            folder,
            {"BRIDGE_CONSOLE_PASSWORD": PASSWORD},
        ) as stack,
    ):
        stack.start_both()
        yield stack


@pytest.fixture
def browser(driver: Chrome, stack: Stack) -> Iterator[Browser]:
    with signed_in(driver, stack.port) as browser:
        yield browser


@pytest.fixture
def ambiguous(stack: Stack) -> Ambiguous:
    """A parcel that fits two orders; its delivery, and the order that is right."""

    def ship() -> tuple[str, PurpleDotOrder]:
        number = len(stack.world.orders) + 8000
        first, second = (
            stack.world.add_order(f"PD{number}/{part}", [("TEE", 1)]) for part in (1, 2)
        )
        shipment = stack.world.add_shipstation_order(
            first, None, custom_fields=(second.reference, None, None)
        )
        stack.travel(stack.world.label_created_v2(stack.world.buy_labels(shipment)))
        [held] = [row for row in stack.deliveries() if row["order_number"] == f"PD{number}/1"]
        return str(held["id"]), second

    return ship


@pytest.fixture
def no_script(browser: Browser) -> None:
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)


def link_by_hand(browser: Browser, stack: Stack, held: str, right: PurpleDotOrder) -> None:
    """From the inbox to the parcel beside all its candidates: choose one, confirm, see it go."""
    browser.see("/console/exceptions")
    browser.press(f"article[id='{held}'] a.primary", "Which order does it belong to?")
    candidates = browser.driver.find_elements(By.CSS_SELECTOR, ".candidate h3")
    assert len(candidates) == 2
    candidate = f".candidate:has(input[value='{right.id}'])"
    browser.press(f"{candidate} summary", "That can't be taken back.")
    browser.press(f"{candidate} form button", f"is linked to {right.reference} and goes on")
    stack.settle()


# What a person does


def test_person_signs_in_filters_opens_a_story_and_links_an_ambiguous_order(
    browser: Browser, stack: Stack, ambiguous: Ambiguous
) -> None:
    held, right = ambiguous()
    browser.see("/console/")
    browser.press("nav a[href='/console/deliveries']", "created")
    browser.type("#q", "status:held reason:ambiguous_order")
    browser.press("main form .row button", held_name(stack, held))
    browser.press(
        f"a[href$='{held}']", "What the ShipStation order says fits more than one Purple Dot order."
    )

    link_by_hand(browser, stack, held, right)

    assert right.status == "FULFILLED"
    assert "because a person chose it" in browser.see(f"/console/deliveries/{held}")


def test_all_of_it_works_without_javascript(
    browser: Browser,
    stack: Stack,
    ambiguous: Ambiguous,
    no_script: None,  # noqa: ARG001  # turns JavaScript off
) -> None:
    held, right = ambiguous()

    link_by_hand(browser, stack, held, right)
    shown = browser.see(f"/console/deliveries/{held}")

    assert right.status == "FULFILLED"
    assert " UTC" in shown  # Nobody turned the times into the reader's own.


def held_name(stack: Stack, held: str) -> str:
    [name] = [row["order_number"] for row in stack.deliveries() if row["id"] == held]
    return str(name)


def test_dead_delivery_is_retried_with_one_click(browser: Browser, stack: Stack) -> None:
    stack.simulator.inject("purple_dot.create_fulfillment", "status:422")
    order = stack.world.add_order("PD7001/1", [("TEE", 1)])
    stack.travel(
        stack.world.label_created_v2(
            stack.world.buy_labels(stack.world.add_shipstation_order(order))
        )
    )
    dead = stack.delivery(order)
    browser.see("/console/exceptions")

    browser.press(f"form[action$='/{dead['id']}/retry'] button", "PD7001/1 is tried again now.")
    stack.settle()

    assert (dead["status"], order.status) == ("dead", "FULFILLED")
    assert "answered 422" in browser.see(f"/console/deliveries/{dead['id']}")


def test_many_are_resolved_after_a_look_at_them(
    browser: Browser, stack: Stack, ambiguous: Ambiguous
) -> None:
    held = [ambiguous()[0] for _ in range(2)]
    browser.see("/console/deliveries?q=status:held")

    for delivery_id in held:
        browser.one(f"input[value='{delivery_id}']").click()
    browser.one("#what option[value=cancelled]").click()
    browser.press("form[action$='/many'] .row button", "Close as cancelled: 2 of 2")
    browser.type("#reason", "stock-taking")
    browser.press("form[action$='/many/go'] button", "of 2 worked through")
    wait_until(lambda: "2 of 2" in browser.words(), 20, "the run to end")

    assert [row["status"] for row in stack.deliveries() if row["id"] in held] == [
        "cancelled",
        "cancelled",
    ]


def test_parcel_whose_answer_was_lost_is_sent_again_by_no_click_without_an_answer(
    browser: Browser, stack: Stack
) -> None:
    stack.simulator.inject("purple_dot.create_fulfillment", "drop_after_commit")
    order = stack.world.add_order(lines=[("TEE", 3)])
    shipment = stack.world.add_shipstation_order(order, [("TEE", 1)])
    stack.travel(stack.world.label_created_v2(stack.world.buy_labels(shipment)))
    held = stack.delivery(order)
    browser.see("/console/exceptions")

    article = f"article[id='{held['id']}']"
    offered = browser.driver.find_elements(By.CSS_SELECTOR, f"{article} form[action$='/retry']")
    question = browser.one(f"{article} legend").text
    browser.press(f"{article} .confirm button.primary", "is closed as delivered")

    assert held["reason"] == "unconfirmed_partial"
    assert offered == []
    assert question == f"Is {held['tracking_number']} on {order.reference} in Purple Dot?"
    assert (stack.delivery(order)["status"], len(stack.fulfillments(order))) == ("delivered", 1)


def test_all_that_failed_are_retried_in_four_clicks_and_the_result_is_seen(
    browser: Browser, stack: Stack
) -> None:
    orders = [stack.world.add_order(lines=[("TEE", 1)]) for _ in range(24)]
    stack.simulator.inject("purple_dot.create_fulfillment", "status:401", count=24 * 9)
    shipments = [stack.world.add_shipstation_order(order) for order in orders]
    stack.travel(*(stack.world.label_created_v2(stack.world.buy_labels(one)) for one in shipments))
    stack.simulator.faults.clear()
    browser.see("/console/")

    browser.press("nav a[href='/console/exceptions']", "Credentials refused")
    group = "section[id='parcels-credentials_refused']"
    browser.press(f"{group} form:has(input[name=what][value=retry]) button", "Retry: 24 of 24")
    browser.type("#reason", "the key is right again")
    browser.press("form[action$='/many/go'] button", "of 24 worked through")
    stack.settle()
    wait_until(
        lambda: browser.text_of(".tile.delivered dd") == "24", 15, "the page to show the result"
    )

    assert all(order.status == "FULFILLED" for order in orders)


def test_inbox_stays_where_it_was_and_knows_keys(browser: Browser, ambiguous: Ambiguous) -> None:
    first, second = sorted(ambiguous()[0] for _ in range(2))
    browser.see("/console/exceptions")
    body = browser.one("body")

    body.send_keys("j")
    focused = browser.driver.switch_to.active_element.get_dom_attribute("id")
    body.send_keys("/")
    search = browser.driver.switch_to.active_element.get_dom_attribute("id")
    browser.driver.execute_script("document.activeElement.blur()")
    article = f"article[id='{first}']"
    browser.driver.execute_script("arguments[0].open = true", browser.one(f"{article} details"))
    browser.driver.find_elements(By.CSS_SELECTOR, f"{article} summary")[1].click()
    browser.type(f"{article} input[id^=note]", "asked the warehouse")
    browser.press(f"{article} form[action*=remarks] button", "asked the warehouse")

    assert focused == browser.driver.find_elements(By.CSS_SELECTOR, "[data-row]")[
        0
    ].get_dom_attribute("id")
    assert search == "search"
    assert browser.driver.current_url.endswith(f"#{second}")


@pytest.mark.parametrize(
    ("width", "scheme", "script"),
    [(1280, "light", True), (390, "dark", True), (1280, "light", False)],
)
def test_many_are_replayed_plan_first_and_the_run_is_cancelled(
    browser: Browser, stack: Stack, width: int, scheme: str, script: bool
) -> None:
    """The dry run sends nothing; the run goes until it is cancelled; with and without
    JavaScript."""
    orders = [stack.world.add_order(lines=[("TEE", 1)]) for _ in range(12)]
    stack.simulator.inject("purple_dot.create_fulfillment", "status:422", count=12)
    ids = stack.travel(
        *(
            stack.world.label_created_v2(
                stack.world.buy_labels(stack.world.add_shipstation_order(one))
            )
            for one in orders
        )
    )
    browser.look(width=width, scheme=scheme)
    browser.devtools("Emulation.setScriptExecutionDisabled", value=not script)
    browser.see("/console/events?q=status:processed")
    for event_id in ids:
        browser.one(f"input[value='{event_id}']").click()

    browser.press("form[action$='/replays/plan'] button", "Replay 12 webhooks")
    plan, faults = browser.words(), faults_of(browser) if script else []
    told = [stack.fulfillments(order) for order in orders]
    stack.simulator.inject("shipstation.labels", "delay:4", count=None)
    browser.type("#reason", "Purple Dot mended the orders")
    browser.press("form[action$='/replays'] button", "of 12 webhooks processed")
    browser.press("form[action$='/cancel'] button", "The run is cancelled")
    faults += faults_of(browser) if script else []
    stack.simulator.faults.clear()
    stack.settle()

    assert plan.count(": would be sent") == 12
    assert told == [[]] * 12
    assert faults == []
    assert sum(bool(stack.fulfillments(order)) for order in orders) < 12
    assert "cancelled" in browser.see("/console/replays")


def test_progress_of_a_run_is_fresh_while_it_is_looked_at(browser: Browser, stack: Stack) -> None:
    order = stack.world.add_order(lines=[("TEE", 1)])
    stack.simulator.inject("purple_dot.create_fulfillment", "status:422")
    [event_id] = stack.travel(
        stack.world.label_created_v2(
            stack.world.buy_labels(stack.world.add_shipstation_order(order))
        )
    )
    stack.simulator.inject("shipstation.labels", "delay:5")
    browser.see(f"/console/events/{event_id}")

    browser.press("form[action$='/replays'] button", "0 of 1 webhooks processed")
    stack.settle()

    wait_until(
        lambda: "the run is done" in browser.words(), 15, "the page to say that the run is done"
    )
    assert (
        browser.one("progress").get_dom_attribute("value") == "1"
        or browser.one("progress").get_property("value") == 1
    )


# What the script adds


def test_times_are_the_readers_own_with_utc_on_hover(
    browser: Browser, ambiguous: Ambiguous
) -> None:
    held, _ = ambiguous()
    shown = []
    for zone in ("Asia/Tokyo", "America/New_York"):
        browser.devtools("Emulation.setTimezoneOverride", timezoneId=zone)
        browser.see(f"/console/deliveries/{held}")
        time = browser.one("time")
        shown.append((time.text, time.get_attribute("title")))

    assert shown[0][0] != shown[1][0]
    assert shown[0][1] == shown[1][1]
    assert shown[0][1].endswith(" UTC")


def test_counts_are_refreshed_while_they_are_looked_at_and_only_then(
    browser: Browser, ambiguous: Ambiguous
) -> None:
    browser.see("/console/")
    before = browser.one("[data-count=exceptions]").text
    browser.driver.execute_script(
        "window.asked = 0; const real = fetch; window.fetch = (...all) => { asked += 1; return "
        "real(...all); };"
    )
    look = "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});"
    look += "document.dispatchEvent(new Event('visibilitychange')); return asked;"
    ambiguous()

    while_hidden = browser.driver.execute_script(look, True)
    while_seen = browser.driver.execute_script(look, False)

    assert (while_hidden, while_seen) == (0, 1)
    wait_until(
        lambda: browser.text_of("[data-count=exceptions]") == str(int(before) + 1),
        10,
        "the count to be fresh",
    )


# For everyone


def paths(stack: Stack, held: str) -> list[str]:
    event = stack.events()[0]["id"]
    lists = [
        "/console/",
        "/console/exceptions",
        "/console/deliveries",
        "/console/events?q=status:processed",
        "/console/activity",
        "/console/search?q=TEE",
        "/console/search?q=nothing-like-it",
        "/console/?days=30",
        "/console/replays",
    ]
    return [
        *lists,
        "/console/deliveries?q=color:red",
        f"/console/deliveries/{held}",
        f"/console/events/{event}",
        "/console/nowhere",
        "/console/sign-in",
    ]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_page_is_accessible_and_fits_the_screen(
    browser: Browser, stack: Stack, ambiguous: Ambiguous, width: int, scheme: str
) -> None:
    """As axe-core judges it: contrast, names, labels, landmarks, order."""
    held, _ = ambiguous()
    browser.look(width=width, scheme=scheme)
    found = {}
    for path in paths(stack, held):
        browser.see(path)
        found[path] = faults_of(browser)

    assert {path: faults for path, faults in found.items() if faults} == {}


def test_keyboard_skips_the_menu_and_sees_its_focus(browser: Browser) -> None:
    browser.see("/console/deliveries")

    browser.one("body").send_keys(Keys.TAB)
    first = browser.driver.switch_to.active_element
    outline = first.value_of_css_property("outline-style")
    first.send_keys(Keys.ENTER)

    assert (first.get_dom_attribute("href"), outline) == ("#main", "solid")
    assert browser.driver.switch_to.active_element.tag_name == "main"


def test_nothing_from_outside_runs(browser: Browser, stack: Stack) -> None:
    order = stack.world.add_order(f"PD66{EVIL}", [(EVIL, 1)])
    shipment = stack.world.add_shipstation_order(order, None, external_shipment_id=order.id)
    [event_id] = stack.travel(
        stack.world.label_created_v2(stack.world.buy_labels(shipment, tracking=f"1Z{EVIL}"))
    )
    [delivery] = stack.deliveries(order)

    for path in (
        "",
        "events",
        "deliveries",
        "exceptions",
        f"events/{event_id}",
        f"deliveries/{delivery['id']}",
        f"deliveries?q={EVIL}",
    ):
        browser.see(f"/console/{path}")
        assert (
            browser.driver.execute_script(
                "return document.images.length + document.querySelectorAll('script').length"
            )
            == 1
        )
    complaints = [
        entry["message"]
        for entry in browser.driver.get_log("browser")
        if "Content Security Policy" in entry["message"]
    ]

    assert EVIL in browser.see(f"/console/deliveries/{delivery['id']}")
    assert json.dumps(complaints) == "[]"


# A hurried hand


def test_link_of_an_alert_leads_to_its_place_also_when_nobody_is_signed_in(
    browser: Browser, ambiguous: Ambiguous
) -> None:
    ambiguous()
    browser.see("/console/activity")
    browser.driver.delete_all_cookies()
    browser.see("/console/exceptions#parcels-ambiguous_order")

    browser.type("#password", PASSWORD)
    browser.type("#name", "Anna")
    browser.press("main button", "Anna (operator)")

    assert browser.driver.current_url.endswith("/console/exceptions#parcels-ambiguous_order")


def test_second_click_on_what_is_on_its_way_is_not_sent(
    browser: Browser, ambiguous: Ambiguous
) -> None:
    held, _ = ambiguous()
    browser.see(f"/console/deliveries/{held}")
    script = """
    const send = () => arguments[0].dispatchEvent(
      new Event('submit', {bubbles: true, cancelable: true}));
    const sent = [send(), send()];
    dispatchEvent(new Event('pageshow'));
    return [...sent, send()];
    """

    sent = browser.driver.execute_script(script, browser.one("form[action$='/retry']"))

    assert sent == [True, False, True]


def test_numbers_that_are_not_refreshed_say_so_until_they_are(browser: Browser) -> None:
    browser.see("/console/")
    answer = "window.real = window.real || fetch; window.fetch = arguments[0] ? real : () =>"
    answer += " Promise.reject(new TypeError());"
    answer += "Object.defineProperty(document, 'hidden', {value: false, configurable: true});"
    answer += "document.dispatchEvent(new Event('visibilitychange'));"

    browser.driver.execute_script(answer, False)
    browser.wait_for("is not refreshed any more: the console does not answer.")
    browser.driver.execute_script(answer, True)

    wait_until(lambda: "not refreshed" not in browser.words(), 15, "numbers of now")


def is_loaded(browser: Browser) -> bool:
    """With its script, which runs last."""
    return browser.driver.execute_script("return document.readyState") == "complete"


def type_note(browser: Browser, delivery_id: str) -> str:
    """The field of its page that a note was typed into, and not sent yet."""
    note = f"#note-{delivery_id}"
    browser.see(f"/console/deliveries/{delivery_id}")
    browser.unfold()
    browser.type(note, "asked the warehouse")
    return note


def test_reason_that_was_sent_is_not_there_the_next_time(
    browser: Browser, ambiguous: Ambiguous
) -> None:
    held, _ = ambiguous()
    note = type_note(browser, held)
    browser.press("form[action*=remarks] button", "Noted.")
    wait_until(lambda: is_loaded(browser), 15, "the page after the note")

    browser.see(f"/console/deliveries/{held}")

    assert browser.one(note).get_property("value") == ""


def test_reason_outlives_a_session_that_ended_and_one_comes_back_to_it(
    browser: Browser, ambiguous: Ambiguous
) -> None:
    held, _ = ambiguous()
    note = type_note(browser, held)
    browser.driver.delete_all_cookies()
    browser.press("form[action*=remarks] button", "Sign in")
    wait_until(lambda: is_loaded(browser), 15, "the form to sign in")

    browser.type("#password", PASSWORD)
    browser.type("#name", "Anna")
    browser.press("main button", "Anna (operator)")
    wait_until(lambda: is_loaded(browser), 15, "the page where the form stood")

    assert browser.driver.current_url.endswith(f"/console/deliveries/{held}")
    assert browser.one(note).get_property("value") == "asked the warehouse"
