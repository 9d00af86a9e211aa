"""Many tabs of one browser, which allows six connections to a server."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

import pytest
from playwright.sync_api import Browser, Route

from tests.http.page.browser import tab
from tests.http.page.watching import add
from tests.http.site import Site
from tests.world import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

TABS: Final = 7
IS_LIVE: Final = "document.querySelector('[data-live] .dot:not(.off)') !== null"
HIDING: Final = "window.isHidden = %s; Object.defineProperty(document, 'hidden', { get: () => window.isHidden })"
TURN: Final = "window.isHidden = %s; document.dispatchEvent(new Event('visibilitychange'))"

LATER: Final = "{ const real = Date.now; window.later = 0; Date.now = () => real() + window.later }"
NOTE_BANNER: Final = """
    window.wasShown = false;
    new MutationObserver(() => { window.wasShown ||= !document.querySelector("[data-not-live]").hidden })
        .observe(document.querySelector("[data-not-live]"), { attributes: true })
"""


def test_tabs_opened_in_the_background_hold_no_connection(browser: Browser, open_site: Site) -> None:
    add(open_site, {"id": "in-a-tab"}, seconds=3600)
    with ExitStack() as stack:
        tabs = [stack.enter_context(tab(browser, open_site.url)) for _ in range(TABS)]
        for page in tabs:
            page.page.add_init_script(HIDING % "true")
            page.page.goto(f"{open_site.url}/task?account=kling&id=in-a-tab", timeout=5000)
            page.page.wait_for_timeout(300)
        open_site.world.ends_at["in-a-tab"] = 0.0
        until(lambda: "in-a-tab" in open_site.world.by_task(), seconds=20, what="the webhook")
        tabs[0].page.evaluate(TURN % "false")
        tabs[0].wait_for("document.querySelector('.title').dataset.phase === 'succeeded'")


def test_a_shown_tab_takes_the_connections_of_hidden_ones(browser: Browser, open_site: Site) -> None:
    with ExitStack() as stack:
        tabs = [stack.enter_context(tab(browser, open_site.url)) for _ in range(TABS)]
        for page in tabs:
            page.page.add_init_script(HIDING % "false")
            page.page.goto(open_site.url, timeout=5000)
            page.wait_for(IS_LIVE, patience_ms=2000)
            page.page.evaluate(TURN % "true")


def test_a_tab_shown_again_is_not_called_not_live(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url) as page:
        page.page.add_init_script(f"{HIDING % 'true'}; {LATER}")
        page.open("/")
        page.page.wait_for_timeout(1500)
        held: list[Route] = []
        page.page.route("**/api/v1/changes", lambda route: held.append(route))
        page.page.evaluate(f"window.later = 60_000; {NOTE_BANNER}; {TURN % 'false'}")
        page.page.wait_for_timeout(2500)  # the script looks every second
        assert page.text("[data-live]") == "Connecting"
        for request in held:
            request.continue_()
        page.wait_for(IS_LIVE)
        assert page.page.evaluate("window.wasShown") is False
