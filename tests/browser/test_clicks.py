"""A person in a hurry on a merchant's week: how many clicks each task takes, counted from the
overview, and that no click posts a parcel twice."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from bridge.domain.reasons import MEANINGS, Reason
from bridge.store import reports
from bridge.store.queries import Query
from tests.support.browser import Browser, signed_in
from tests.support.seeded_world import MASS_FAILURE, YESTERDAY
from tests.support.stack import Json, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def browser(driver: Chrome, seeded_stack: Stack) -> Iterator[Browser]:
    """At the overview, in a place where it is about noon: no day ends during a test."""
    with signed_in(driver, seeded_stack.port) as browser:
        browser.devtools("Emulation.setTimezoneOverride", timezoneId=zone_of_noon())
        browser.see("/console/")
        browser.see("/console/")  # From the second page on the server knows the zone.
        yield browser


REASONS_THAT_STAY = {
    reason for reason, meaning in MEANINGS.items() if meaning.verdict in ("held", "dead")
} - {Reason.CREDENTIALS_REFUSED}
"""A test that retries all of one reason leaves none of it to the others."""


def zone_of_noon() -> str:
    """Its sign is the other way round: `Etc/GMT-3` is three hours ahead of Greenwich."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


def waiting(stack: Stack, reason: Reason) -> list[Json]:
    """The parcels that wait for a person for this reason, the oldest first."""
    verdict = MEANINGS[reason].verdict
    with stack.database.read() as connection:
        query = Query(status=verdict, reason=reason, limit=None)
        return reports.list_deliveries(connection, query)[::-1]


def posted(stack: Stack) -> Counter[tuple[str, str]]:
    """How often Purple Dot accepted a tracking number on an order."""
    bodies = [body["fulfillment"] for body in stack.world.fulfillments]
    return Counter(
        (body["fulfillment_order_id"], body["tracking_info"]["number"]) for body in bodies
    )


def status_of(stack: Stack, delivery_id: str) -> str:
    with stack.database.read() as connection:
        [row] = reports.list_deliveries(connection, Query(ids=[delivery_id]))
    return str(row["status"])


@pytest.mark.parametrize("spelling", ["{}", "#{}", "{}/1"])
def test_why_an_order_got_no_tracking_takes_two_clicks(
    browser: Browser, seeded_stack: Stack, spelling: str
) -> None:
    parcel = waiting(seeded_stack, Reason.ORDER_NOT_FOUND)[0]
    number = parcel["order_number"].partition("/")[0]
    meaning = MEANINGS[Reason.ORDER_NOT_FOUND]

    browser.submit("#search", spelling.format(number.lower()), meaning.title)

    assert meaning.sentence in browser.words()
    assert browser.clicks <= 2


def test_why_an_ordinary_order_got_no_tracking_takes_two_clicks(browser: Browser) -> None:
    meaning = MEANINGS[Reason.NOT_A_PURPLE_DOT_ORDER]

    browser.submit("#search", "100482", meaning.title)
    browser.press("main table a[href*='/events/']", meaning.sentence)

    assert meaning.console_step in browser.words()
    assert browser.clicks <= 2


def test_all_that_failed_are_retried_after_a_fix_in_four_clicks(
    browser: Browser, seeded_stack: Stack
) -> None:
    before = len(waiting(seeded_stack, Reason.CREDENTIALS_REFUSED))
    group = "section[id='parcels-credentials_refused']"

    browser.press("nav a[href='/console/exceptions']", "Credentials refused")
    browser.press(f"{group} form:has(input[value=retry]) button", f"Retry: {before} of {before}")
    browser.type("#reason", "the key is right again")
    browser.press("form[action$='/many/go'] button", f"of {before} worked through")
    clicks = browser.clicks
    wait_until(
        lambda: browser.text_of(".tile.delivered dd") == str(before), 60, "the result to be shown"
    )

    assert clicks <= 4
    assert before >= MASS_FAILURE
    assert waiting(seeded_stack, Reason.CREDENTIALS_REFUSED) == []
    assert set(posted(seeded_stack).values()) == {1}


def test_ambiguous_parcel_is_linked_in_four_clicks_with_both_orders_seen(
    browser: Browser, seeded_stack: Stack
) -> None:
    parcel = waiting(seeded_stack, Reason.AMBIGUOUS_ORDER)[-1]

    browser.press("nav a[href='/console/exceptions']", "More than one order fits")
    browser.press(f"article[id='{parcel['id']}'] a.primary", "Which order does it belong to?")
    seen = [title.text for title in browser.every(".candidate h3")]
    browser.press(".candidate summary", "That can't be taken back.")
    browser.press(".candidate details[open] button", "is linked to")
    seeded_stack.settle()

    assert browser.clicks <= 4
    assert len(set(seen)) == 2
    assert status_of(seeded_stack, parcel["id"]) == "delivered"
    assert set(posted(seeded_stack).values()) == {1}


def test_closing_by_mistake_is_undone_in_two_clicks(browser: Browser, seeded_stack: Stack) -> None:
    parcel = waiting(seeded_stack, Reason.ORDER_NOT_FOUND)[0]
    browser.see("/console/exceptions")
    article = f"article[id='{parcel['id']}']"
    browser.click(f"{article} details:has(select) > summary")
    browser.one(f"{article} select option[value=cancelled]").click()
    browser.type(f"{article} details:has(select) input[name=reason]", "a slip of the finger")
    browser.press(f"{article} details:has(select) button", "is closed as cancelled")
    before, browser.clicks = status_of(seeded_stack, parcel["id"]), 0

    browser.press(".flash button", "is open again")

    assert browser.clicks <= 2
    assert before == "cancelled"
    assert status_of(seeded_stack, parcel["id"]) == "held"


def test_yesterday_is_replayed_in_five_clicks_and_the_plan_says_how_many_will_be_sent(
    browser: Browser, seeded_stack: Stack
) -> None:
    before = posted(seeded_stack)

    browser.press("nav a[href='/console/events']", "newest first")
    browser.submit("#q", "since:yesterday until:today", f"{YESTERDAY} of {YESTERDAY}, newest first")
    browser.click("input[name=all]")
    browser.press("form[data-chooser] .row button", f"Replay {YESTERDAY} webhooks")
    plan = browser.words()
    browser.type("#reason", "the warehouse asks what came of yesterday")
    browser.press("form[action$='/replays'] button", f"of {YESTERDAY} webhooks processed")
    clicks = browser.clicks
    wait_until(lambda: "the run is done" in browser.words(), 60, "the run to be done")
    seeded_stack.settle()

    assert clicks <= 5
    assert "0 parcels would be posted to Purple Dot" in plan
    assert posted(seeded_stack) == before


def test_tracking_number_is_copied_with_one_click(browser: Browser, seeded_stack: Stack) -> None:
    parcel = waiting(seeded_stack, Reason.ORDER_NOT_FOUND)[0]
    browser.see(f"/console/deliveries/{parcel['id']}")
    button = f"button[data-copies='number-{parcel['id']}']"

    browser.click(button)

    said = wait_until(lambda: browser.text_of(button).replace("Copy", ""), 15, "it to be copied")
    assert said in ("Copied", "Marked: press Ctrl+C")
    assert browser.text_of(f"[id='number-{parcel['id']}']") == parcel["tracking_number"]


def press_what_is_filled(browser: Browser, row_id: str) -> str:
    """The filled button of a row of the inbox, and each filled one that it leads to; what the
    bridge then says. Empty where the way ends with a question that has no filled answer."""
    browser.see("/console/exceptions")
    leads_away = browser.one(f"[id='{row_id}'] .primary").tag_name == "a"
    browser.click(f"[id='{row_id}'] .primary")
    if leads_away:
        wait_until(lambda: browser.every("#orders, #lines"), 15, "the parcel's own page")
        return press_what_is_filled_there(browser)
    reasons = browser.every(f"[id='{row_id}'] .primary ~ form input[name=reason]")
    if reasons:
        reasons[0].send_keys("settled with the shopper")
        browser.click(f"[id='{row_id}'] .primary ~ form button")
    return what_is_said(browser)


def press_what_is_filled_there(browser: Browser) -> str:
    """On a parcel's own page: the first order that fits, or the items as they are suggested."""
    if browser.every(".candidate summary.primary"):
        browser.click(".candidate summary.primary")
        browser.click(".candidate details[open] form button")
        return what_is_said(browser)
    if browser.every("#lines > form button:not(.quiet)"):
        browser.click("#lines > form button:not(.quiet)")
        return what_is_said(browser)
    return ""


def what_is_said(browser: Browser) -> str:
    return str(
        wait_until(lambda: browser.text_of(".flash[role=status]"), 15, "a word of what was done")
    )


def test_no_filled_button_of_any_reason_posts_a_parcel_twice(
    browser: Browser, seeded_stack: Stack
) -> None:
    browser.see("/console/exceptions")
    rows = {
        group.get_attribute("id"): [
            row.get_attribute("id") for row in group.find_elements(By.CSS_SELECTOR, "[data-row]")
        ]
        for group in browser.every("section.group")
    }

    said = {
        key: [press_what_is_filled(browser, row_id) for row_id in ids[:2]]
        for key, ids in rows.items()
    }
    seeded_stack.settle()

    refused = [words for row in said.values() for words in row if words.startswith("Not done")]
    assert refused == []
    assert [key for key, row in said.items() if "" in row] == ["parcels-order_not_found"]
    assert {key.partition("-")[2] for key in said} >= REASONS_THAT_STAY
    assert set(posted(seeded_stack).values()) == {1}
