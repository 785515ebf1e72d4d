"""How the pages look on a merchant's week: with no row, one, fifty and hundreds, and with the
longest texts, on a wide screen and on a phone, in light and in dark."""

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from bridge.store import reports
from bridge.store.queries import Query
from tests.support.browser import Browser, faults_of, signed_in
from tests.support.seeded_world import FORTY_LINES, LONG_ORDER
from tests.support.stack import Stack

pytestmark = pytest.mark.browser

PHONE = 390
_SMALL_TARGETS = """
const controls = document.querySelectorAll('a, button, summary, select, input:not([type=hidden])');
return [...controls].filter((control) => control.offsetParent)
  .filter((control) => control.getBoundingClientRect().height < 24)
  .filter((control) => !control.closest('p, .unseen, .skip'))
  .map((control) => control.outerHTML.slice(0, 120));
"""
"""Links within a sentence are as high as its line, which WCAG 2.5.8 allows."""


@pytest.fixture
def browser(driver: Chrome, seeded_stack: Stack) -> Iterator[Browser]:
    with signed_in(driver, seeded_stack.port) as browser:
        yield browser


def paths(stack: Stack) -> dict[str, str]:
    """What each page shows, and its path."""
    with stack.database.read() as connection:
        [long], [forty] = (
            reports.list_deliveries(connection, Query(order=order))
            for order in (LONG_ORDER, FORTY_LINES)
        )
        [failed, *_] = reports.list_deliveries(connection, Query(status="dead"))
        dead, rejected, ignored = (
            reports.list_events(connection, Query(status=status))[0]
            for status in ("dead", "rejected", "ignored")
        )
    return {
        "the overview": "/console/?days=7",
        "hundreds in the inbox": "/console/exceptions",
        "fifty parcels": "/console/deliveries",
        "one parcel, with the longest texts": f"/console/deliveries?q={long['id']}",
        "no parcel": "/console/deliveries?q=order:nobody",
        "fifty webhooks": "/console/events",
        "a search that finds much": "/console/search?q=TEE",
        "a search that finds nothing": "/console/search?q=nothing-like-it",
        "the parcel with the longest texts": f"/console/deliveries/{long['id']}",
        "a parcel of forty lines": f"/console/deliveries/{forty['id']}",
        "a batch of ten": f"/console/events/{failed['event_ids'][0]}",
        "a webhook that failed": f"/console/events/{dead['id']}",
        "a webhook that was rejected": f"/console/events/{rejected['id']}",
        "a webhook that was ignored": f"/console/events/{ignored['id']}",
    }


def faults_on(browser: Browser, width: int) -> list[str]:
    faults = faults_of(browser)
    if width > PHONE:
        return faults
    return faults + [f"too small: {html}" for html in browser.driver.execute_script(_SMALL_TARGETS)]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (PHONE, "light")])
def test_every_page_is_accessible_and_fits_the_screen_with_much_and_with_little(
    browser: Browser, seeded_stack: Stack, width: int, scheme: str
) -> None:
    browser.look(width=width, scheme=scheme)
    found = {}
    for shown, path in paths(seeded_stack).items():
        browser.see(path)
        found[shown] = faults_on(browser, width)

    assert {shown: faults for shown, faults in found.items() if faults} == {}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (PHONE, "dark")])
def test_plans_for_hundreds_are_accessible_and_fit_the_screen(
    browser: Browser, width: int, scheme: str
) -> None:
    browser.look(width=width, scheme=scheme)
    browser.see("/console/deliveries?q=status:delivered")
    browser.click("input[name=all]")
    browser.press("form[data-chooser] .row button", "This can be done to none of them.")
    found = faults_on(browser, width)
    browser.see("/console/events?q=status:ignored")
    browser.click("input[name=all]")
    browser.press("form[data-chooser] .row button", "would be posted to Purple Dot")
    found += faults_on(browser, width)

    assert found == []
