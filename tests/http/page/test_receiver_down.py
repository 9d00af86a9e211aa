"""A receiver goes down and comes back while pages are open. People redeliver what it missed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.http.page.browser import Tab, tab
from tests.http.site import Site, running_site
from tests.world import until

pytestmark = pytest.mark.timeout(240)

IS_LIVE = "document.querySelector('[data-live] .dot:not(.off)') !== null"
NEEDS = "document.querySelector('[data-part=needs]').innerText"
NEEDED = "a.button.primary"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("receiver")
    http = {"token": None, "read_token": None}
    with running_site(folder, http=http, delivery={"retries": ["0.1s", "0.1s"]}) as running:
        yield running


def dead(site: Site) -> list[str]:
    """The ids of events whose deliveries are dead."""
    found = site.client.get("/api/v1/deliveries", params={"state": "dead"}).json()["deliveries"]
    return [one["event_id"] for one in found]


def finish(site: Site, *ids: str, answer: int) -> None:
    """Finish these tasks while the receiver gives this answer, and wait until each delivery is dead."""
    before = len(dead(site))
    site.world.receive = lambda event_id, times: answer
    site.add(*ids, seconds=0)
    until(lambda: len(dead(site)) == before + len(ids), seconds=30, what="dead deliveries")


def accepted(site: Site) -> list[str]:
    return sorted(told.event_id for told in list(site.world.received) if told.answered == 200)


def open_live(page: Tab, path: str) -> None:
    assert page.open(path) == 200
    page.wait_for(IS_LIVE)
    page.page.evaluate("window.stays = true")


def test_a_recovered_receiver_gets_every_event_once(browser: Browser, site: Site) -> None:
    with tab(browser, site.url) as now, tab(browser, site.url) as page:
        open_live(now, "/")
        assert now.page.evaluate(NEEDS).strip() == ""
        finish(site, "one", "two", "three", answer=503)
        now.wait_for(f"{NEEDS}.includes('hook') && {NEEDS}.includes('Redeliver 3')")
        assert "503" in now.text("[data-part=needs]")
        events = dead(site)

        site.world.receive = lambda event_id, times: 200
        open_live(page, "/deliveries?state=dead")
        rows = page.page.locator("tr[data-delivery]")
        assert rows.count() == 3
        first = str(rows.first.get_attribute("data-delivery")).split()[0]
        rows.first.locator("button").click()
        page.page.wait_for_selector("text=1 delivery is sent again.")
        until(lambda: accepted(site) == [first], seconds=30, what="the first")
        now.wait_for(f"{NEEDS}.includes('Redeliver 2')")

        now.page.locator(f"[data-part=needs] {NEEDED}").click()
        assert now.text("h1") == "Redeliver 2 to hook?"
        finish(site, "four", answer=503)  # meanwhile
        site.world.receive = lambda event_id, times: 200
        now.page.locator("main form button").click()
        now.page.wait_for_selector("text=You confirmed 2.")
        assert now.text("h1") == "Redeliver 3 to hook?"
        assert accepted(site) == [first]
        events = sorted({*events, *dead(site)})
        now.page.locator("main form button").click()
        now.page.wait_for_selector("text=3 deliveries are sent again.")
        until(lambda: accepted(site) == events, seconds=30, what="everything, once")
        now.wait_for(f"{NEEDS}.trim() === ''")
        assert dead(site) == []


def test_a_failed_attempt_and_the_next_one_appear_in_an_open_history(browser: Browser, site: Site) -> None:
    site.world.receive = lambda event_id, times: 503 if times == 0 else 200
    site.add("retried")
    with tab(browser, site.url) as page:
        open_live(page, "/task?account=kling&id=retried")
        site.world.ends_at["retried"] = 0.0
        page.wait_for("document.querySelector('[data-part=notified]').innerText.includes('503')")
        page.wait_for("document.querySelector('[data-part=notified]').innerText.includes('accepted')")
        assert page.page.locator("[data-part=notified] .tries li").count() >= 1
        assert page.page.evaluate("window.stays")
