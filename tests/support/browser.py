"""A real Chromium that has signed in to the console, counts the clicks of whoever drives it, and
says what is wrong with a page."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.waiting import wait_until

PASSWORD = "a-password-of-the-tests"

_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_AXE = """
const [tags, done] = arguments;
const rules = {'target-size': {enabled: true}};
axe.run({runOnly: {type: 'tag', values: tags}, rules, resultTypes: ['violations']})
  .then((found) => done(found.violations));
"""


class Browser:
    """`see(path)` opens a page. `clicks` counts what a person presses; typing is free."""

    def __init__(self, driver: Chrome, home: str) -> None:
        self.driver, self.home = driver, home
        self.clicks = 0

    def see(self, path: str) -> str:
        self.driver.get(f"{self.home}{path}")
        return self.words()

    def words(self) -> str:
        with suppress(
            StaleElementReferenceException, NoSuchElementException
        ):  # A page gives way to the next one.
            return str(self.driver.find_element(By.TAG_NAME, "body").text)
        return ""

    def one(self, css: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def every(self, css: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text_of(self, css: str) -> str:
        """Asked within the page, where a part that is replaced meanwhile is no trouble."""
        script = (
            "const part = document.querySelector(arguments[0]); return part ? part.textContent : ''"
        )
        return str(self.driver.execute_script(script, css)).strip()

    def click(self, css: str) -> None:
        self.clicks += 1
        self.one(css).click()

    def press(self, css: str, then: str) -> None:
        """Click, and wait until the page says `then`."""
        self.click(css)
        self.wait_for(then)

    def submit(self, css: str, text: str, then: str) -> None:
        """Type into a field and press Enter, which counts like a click."""
        self.type(css, text)
        self.clicks += 1
        self.one(css).send_keys(Keys.ENTER)
        self.wait_for(then)

    def wait_for(self, words: str) -> None:
        wait_until(
            lambda: words in self.words(), 15, f"a page that says {words!r}, not\n{self.words()}"
        )

    def type(self, css: str, text: str) -> None:
        field = self.one(css)
        field.clear()
        field.send_keys(text)

    def devtools(self, command: str, **parameters: Any) -> None:
        self.driver.execute_cdp_cmd(command, parameters)

    def look(self, *, width: int, scheme: str) -> None:
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.devtools(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def unfold(self) -> None:
        self.driver.execute_script(
            "for (const part of document.querySelectorAll('details')) part.open = true;"
        )


@contextmanager
def signed_in(driver: Chrome, port: int) -> Iterator[Browser]:
    """As the operator Anna; afterwards the driver is as it was."""
    browser = Browser(driver, f"http://127.0.0.1:{port}")
    browser.look(width=1280, scheme="light")
    if "Sign in" in browser.see("/console/exceptions"):
        browser.type("#password", PASSWORD)
        browser.type("#name", "Anna")
        browser.press("main button", "Anna (operator)")
    browser.clicks = 0
    yield browser
    browser.devtools("Emulation.setScriptExecutionDisabled", value=False)
    browser.devtools("Emulation.setTimezoneOverride", timezoneId="")


def faults_of(browser: Browser) -> list[str]:
    """What axe-core finds on the page that is open, by WCAG 2.2 and good practice, with all of it
    unfolded; and whether it is too wide."""
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.submodule_search_locations
    browser.unfold()
    script = Path(spec.submodule_search_locations[0], "axe.min.js").read_text(encoding="utf-8")
    browser.driver.execute_script(script)
    told = browser.driver.execute_async_script(_AXE, _WCAG)
    faults = [
        f"{fault['id']}: {fault['nodes'][0]['html'][:150]} {fault['nodes'][0]['failureSummary']}"
        for fault in told
    ]
    wide = browser.driver.execute_script(
        "return document.documentElement.scrollWidth - window.innerWidth"
    )
    return faults + ([f"{wide} pixels too wide"] if wide > 0 else [])
