"""A real Chromium that records everything that a page must not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, sync_playwright

# The headless shell has the same engine without a desktop browser, so a new tab takes a fifth of the CPU time.
CHROMIUM: Final = shutil.which("chromium-headless-shell") or shutil.which("chromium")
# Without these options, Chromium asks Google for updates at each start.
QUIET: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS: Final = {"phone": 390, "tablet": 800, "desk": 1360}
PATIENCE_MS: Final = 30_000
STEP_MS: Final = 50


@dataclass
class Tab:
    """One page in the browser. `faults` has script errors and blocked content. `elsewhere` has requests to other
    hosts."""

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def open(self, path: str) -> int:
        """Go to a view. Returns the status of the answer."""
        answer = self.page.goto(self.origin + path)
        assert answer is not None
        return answer.status

    def text(self, selector: str) -> str:
        """The text of the first element that the selector matches."""
        return self.page.locator(selector).first.inner_text()

    def wait_for(self, script: str, *, patience_ms: int = PATIENCE_MS) -> None:
        """Wait until the expression is true in the page. Playwright's own function needs a weaker content policy than
        the page has."""
        for _ in range(patience_ms // STEP_MS):
            with suppress(Error):  # the page is being loaded again
                if self.page.evaluate(script):
                    return
            self.page.wait_for_timeout(STEP_MS)
        raise AssertionError(f"not within {patience_ms} ms: {script}")

    def note_console(self, message: ConsoleMessage) -> None:
        is_expected = "Failed to load resource" in message.text  # because a test stops the daemon
        if message.type == "error" and not is_expected:
            self.faults.append(message.text)

    def note_request(self, request: Request) -> None:
        found = urlsplit(request.url)
        if found.scheme not in {"data", "blob"} and f"{found.scheme}://{found.netloc}" != self.origin:
            self.elsewhere.append(request.url)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium, until the end of the block. Skips the test where it is not installed."""
    if CHROMIUM is None:
        pytest.skip("install chromium-headless-shell or chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, "--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Browser, origin: str, *, width: str = "desk", height: int = 900, **context: Any) -> Iterator[Tab]:
    """A new tab with its own cookies. At the end, checks that it found no fault and sent nothing to other hosts."""
    made = browser.new_context(viewport={"width": WIDTHS[width], "height": height}, **context)
    try:
        page = made.new_page()
        page.set_default_timeout(PATIENCE_MS)
        found = Tab(page, origin)
        page.on("console", found.note_console)
        page.on("pageerror", lambda error: found.faults.append(str(error)))
        page.on("request", found.note_request)
        yield found
        assert found.faults == [], found.faults
        assert found.elsewhere == [], found.elsewhere
    finally:
        made.close()
