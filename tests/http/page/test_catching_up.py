"""Open pages in a real Chromium: lost connections, slow and foreign answers, and forms that an update changes."""

from __future__ import annotations

import threading

import pytest
from playwright.sync_api import Browser

from tests.http.page.browser import Tab, tab
from tests.http.site import Site
from tests.world import until

pytestmark = [pytest.mark.xdist_group("chromium"), pytest.mark.timeout(180)]

IS_LIVE = "document.querySelector('[data-live] .dot:not(.off)') !== null"


def open_live(page: Tab, path: str = "/") -> None:
    page.open(path)
    page.wait_for(IS_LIVE)
    page.page.evaluate("window.stays = true")


def stays(page: Tab) -> bool:
    """Whether the page was not loaded again."""
    return page.page.evaluate("window.stays === true") is True


def test_a_button_that_an_update_has_changed_sends_the_new_form(browser: Browser, open_site: Site) -> None:
    receiver = threading.Event()
    open_site.world.receive = lambda event_id, times: 200 if receiver.wait(60) else 503
    open_site.add("in-flight", seconds=0)
    until(lambda: bool(waiting(open_site)), seconds=30, what="a delivery that waits")
    with tab(browser, open_site.url) as page:
        open_live(page, "/task?account=kling&id=in-flight")
        page.page.wait_for_selector("[data-delivery] button:text('Send now')")
        receiver.set()
        page.page.wait_for_selector("[data-delivery] button:text('Redeliver')")
        assert stays(page)
        page.page.click("[data-delivery] button:text('Redeliver')")
        page.page.wait_for_selector("text=1 delivery is sent again.")


def waiting(site: Site) -> list[str]:
    found = site.client.get("/api/v1/deliveries", params={"state": "waiting"}).json()["deliveries"]
    return [one["event_id"] for one in found]
