"""A real Chromium that records everything that a page must not do."""

from __future__ import annotations

import shutil
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, sync_playwright

# The headless shell has the same engine without a desktop browser, so a new tab takes a fifth of the CPU time.
CHROMIUM: Final = shutil.which("chromium-headless-shell") or shutil.which("chromium")
# The first two save processes: a new one for each tab would take a third of its CPU time. Without the others, Chromium
# asks Google for updates at each start.
OPTIONS: Final = (
    "--renderer-process-limit=1",
    "--in-process-gpu",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
EMULATED: Final = {"color_scheme", "forced_colors", "reduced_motion"}  # settings of a tab, not of its context
WIDTHS: Final = {"phone": 390, "tablet": 800, "desk": 1360}
PATIENCE_MS: Final = 30_000
STEP_MS: Final = 50
HEIGHT: Final = 900
PICTURE: Final = b"<svg xmlns='http://www.w3.org/2000/svg' width='16' height='9'/>"
# Whether an expression becomes true within a second. Each question from outside would take a hundred times as long.
WAIT: Final = """
    new Promise(answer => {
        const isTrue = () => { try { return Boolean(%s) } catch { return false } };
        const look = left => isTrue() || !left ? answer(left > 0) : setTimeout(look, 50, left - 1);
        look(20);
    })
"""


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
        """Wait until the expression is true in the page. Like `until`, allow three times as long.

        Playwright's own function needs a weaker content policy than the page has."""
        deadline = time.monotonic() + 3 * patience_ms / 1000
        while time.monotonic() < deadline:
            with suppress(Error):  # the page is being loaded again
                if self.page.evaluate(WAIT % script):
                    return
            self.page.wait_for_timeout(STEP_MS)
        raise AssertionError(f"not within 3 x {patience_ms} ms: {script}")

    def answer_for(self, host: str) -> None:
        """Answer every request to this host with a picture. Unlike Playwright's routes, this leaves the cache on."""
        session = self.page.context.new_cdp_session(self.page)
        headers = [{"name": "Content-Type", "value": "image/svg+xml"}]
        answer = {"responseCode": 200, "responseHeaders": headers, "body": b64encode(PICTURE).decode()}

        def paused(event: dict[str, Any]) -> None:
            with suppress(Error):  # the tab has left the page that asked
                session.send("Fetch.fulfillRequest", {"requestId": event["requestId"], **answer})

        session.on("Fetch.requestPaused", paused)
        session.send("Fetch.enable", {"patterns": [{"urlPattern": f"{host}/*"}]})

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
    """Chromium, until the end of the block. Skips the test where it is not installed.

    Its first context has an empty tab, which keeps the process that all tabs of the context share."""
    if CHROMIUM is None:
        pytest.skip("install chromium-headless-shell or chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, "--no-sandbox"])
        try:
            browser.new_context().new_page()
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Browser, origin: str, *, width: str = "desk", height: int = HEIGHT, **settings: Any) -> Iterator[Tab]:
    """A new tab without cookies and stored data. At the end, checks that it found no fault and sent nothing to other
    hosts. `settings` are those of Playwright's contexts. Motion is reduced unless they say otherwise: to paint the dot,
    which is all that moves, takes half of Chromium's CPU time."""
    look = {"reduced_motion": "reduce", **{name: value for name, value in settings.items() if name in EMULATED}}
    own = {name: value for name, value in settings.items() if name not in EMULATED}
    with _new_page(browser, origin, own) as page:
        page.set_viewport_size({"width": WIDTHS[width], "height": height})
        page.emulate_media(**look)
        page.set_default_timeout(PATIENCE_MS)
        found = Tab(page, origin)
        page.on("console", found.note_console)
        page.on("pageerror", lambda error: found.faults.append(str(error)))
        page.on("request", found.note_request)
        yield found
        assert found.faults == [], found.faults
        assert found.elsewhere == [], found.elsewhere


@contextmanager
def _new_page(browser: Browser, origin: str, settings: dict[str, Any]) -> Iterator[Page]:
    """A page in the context that tabs share. With settings, it has a context of its own."""
    if settings:
        context = browser.new_context(**settings)
        try:
            yield context.new_page()
        finally:
            context.close()
        return
    context = browser.contexts[0]
    page = context.new_page()
    try:
        yield page
    finally:
        stored = {"origin": origin, "storageTypes": "local_storage"}
        context.new_cdp_session(page).send("Storage.clearDataForOrigin", stored)
        page.close()
        context.clear_cookies()
