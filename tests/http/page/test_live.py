"""Open pages in a real Chromium: live, not live, and live again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog

from tests.http.page.browser import tab
from tests.http.site import TOKEN, Site, running_site
from tests.world import DaemonProcess, until

pytestmark = [pytest.mark.xdist_group("chromium"), pytest.mark.timeout(180)]

IS_LIVE = "document.querySelector('[data-live] .dot:not(.off)') !== null"


def test_a_person_signs_in_and_the_page_is_live(browser: Browser, tmp_path: Path) -> None:
    with running_site(tmp_path) as site, tab(browser, site.url) as page:
        page.open("/?zone=utc")
        page.page.fill("#token", "wrong")
        page.page.click("text=Sign in >> nth=-1")
        assert "not a token" in page.text("[role=alert]")
        page.faults.clear()
        page.page.fill("#token", TOKEN)
        page.page.press("#token", "Enter")
        page.page.wait_for_url("**/?zone=utc")
        page.open("/")
        page.wait_for(IS_LIVE)
        page.page.click("text=Sign out")
        page.page.wait_for_url("**/signin")


def test_a_page_says_when_it_is_not_live_and_goes_on_by_itself(browser: Browser, tmp_path: Path) -> None:
    with running_site(tmp_path, http={"token": None, "read_token": None}) as site, tab(browser, site.url) as page:
        page.open("/")
        page.wait_for(IS_LIVE)
        site.daemon.process.terminate()
        site.daemon.process.wait(15)
        page.wait_for("!document.querySelector('[data-not-live]').hidden")
        assert page.text("[data-not-live] span").startswith("Not live: this is as of ")
        page.page.evaluate("window.stays = true")
        with DaemonProcess(tmp_path / "genbridge.yaml"):
            page.wait_for(IS_LIVE)
            page.wait_for("document.querySelector('[data-not-live]').hidden")
            assert page.page.evaluate("window.stays")  # it was not loaded again


def test_a_finish_turns_the_row_in_place_and_the_card_comes_when_the_reader_asks(
    browser: Browser, open_site: Site
) -> None:
    open_site.add("before", seconds=0)
    open_site.add("row")
    with tab(browser, open_site.url) as page:
        until(lambda: "before" in open_site.world.by_task(), seconds=20, what="the first webhook")
        page.open("/")
        page.wait_for(IS_LIVE)
        page.page.hover("[data-list=finished] .card")  # the reader looks at the list, so nothing comes by itself
        open_site.world.ends_at["row"] = 0.0
        page.wait_for("document.querySelector('[data-list=running] [data-task=\"kling row\"].finished') !== null")
        assert page.text("[data-list=running] [data-task='kling row'] .when") == "Succeeded, show"
        page.wait_for("!document.querySelector('[data-new]').hidden")
        assert page.text("[data-new]") == "1 new"
        assert page.page.locator("[data-list=finished] [data-task='kling row']").count() == 0
        page.page.keyboard.press("n")
        page.wait_for("document.querySelector('[data-list=finished] [data-task=\"kling row\"]') !== null")
        page.wait_for("document.querySelector('[data-list=running] [data-task=\"kling row\"]') === null")
        assert page.page.locator("[data-new]").is_hidden()


def test_cards_come_by_themselves_when_the_reader_is_away(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url) as page:
        page.open("/")
        page.wait_for(IS_LIVE)
        open_site.add("by-itself", seconds=0)
        page.wait_for("document.querySelector('[data-list=finished] [data-task=\"kling by-itself\"]') !== null")
        assert page.page.locator("[data-new]").is_hidden()


def test_the_key_r_asks_before_it_sends(browser: Browser, open_site: Site) -> None:
    open_site.add("again", seconds=0)
    until(lambda: "again" in open_site.world.by_task(), seconds=20, what="the webhook")
    with tab(browser, open_site.url) as page:
        asked: list[str] = []

        def dismiss(dialog: Dialog) -> None:
            asked.append(dialog.message)
            dialog.dismiss()

        page.page.on("dialog", dismiss)
        page.open("/task?account=kling&id=again")
        page.wait_for(IS_LIVE)
        page.wait_for("document.querySelector('[data-redeliver]') !== null")
        page.page.keyboard.press("r")
        assert asked == ["Redeliver?"]
        assert page.page.url.endswith("/task?account=kling&id=again")


def test_a_wrong_clock_of_the_browser_misleads_nobody(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url) as page:
        page.page.clock.set_system_time("2001-01-01T00:00:00Z")
        page.open("/")
        page.wait_for(IS_LIVE)
        assert "2001" not in page.page.content()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_keys_are_listed_and_can_be_switched_off(browser: Browser, open_site: Site, language: str) -> None:
    with tab(browser, open_site.url) as page:
        page.open(f"/?lang={language}")
        page.page.keyboard.press("?")
        assert page.page.locator("#keys").is_visible()
        page.page.uncheck("#keys-on")
        page.page.keyboard.press("Escape")
        assert not page.page.locator("#keys").is_visible()
        page.page.keyboard.press("?")
        assert not page.page.locator("#keys").is_visible()
