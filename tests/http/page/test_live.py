"""Open pages in a real Chromium: live, not live, and live again."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog

from tests.daemon_process import DaemonProcess
from tests.http.page.browser import WIDTHS, Tab, tab
from tests.http.site import TOKEN, Site, running_site
from tests.world import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

TOP_CARD = """
    (one => [one.dataset.task, one.getBoundingClientRect().width])(document.querySelector("[data-list=finished] .card"))
"""
IS_LIVE = "document.querySelector('[data-live] .dot:not(.off)') !== null"
ROW = "document.querySelector('[data-list=running] [data-task=\"kling row\"]')"
CARD = "document.querySelector('[data-list=finished] [data-task=\"kling row\"]')"


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


def test_a_page_says_that_it_is_not_live_and_catches_up(browser: Browser, tmp_path: Path) -> None:
    """The clock of the browser is three hours ahead."""
    http = {"token": None, "read_token": None}
    with running_site(tmp_path, http=http) as site, tab(browser, site.url, timezone_id="UTC") as page:
        site.add("row")
        set_clock(page, ahead_s=3 * 3600)
        page.open("/")
        page.wait_for(IS_LIVE)
        page.wait_for(f"{ROW} !== null")
        site.daemon.process.terminate()
        site.daemon.process.wait(15)
        page.wait_for("!document.querySelector('[data-not-live]').hidden")
        said = page.text("[data-not-live] span")
        assert said.startswith("Not live: this is as of ")
        assert abs(datetime.now(UTC) - today_at(said)) < timedelta(minutes=30)
        site.world.ends_at["row"] = 0.0  # nobody is notified of this now
        page.page.evaluate("window.stays = true")
        with DaemonProcess(tmp_path / "genbridge.yaml"):
            page.wait_for(IS_LIVE)
            page.wait_for("document.querySelector('[data-not-live]').hidden")
            page.wait_for(f"{ROW} === null || {ROW}.classList.contains('finished')")
            page.wait_for(f"!document.querySelector('[data-new]').hidden || {CARD} !== null")
            assert page.page.evaluate("window.stays")  # it was not loaded again


def set_clock(page: Tab, *, ahead_s: float) -> None:
    """Give the browser a clock that is wrong but runs."""
    page.page.add_init_script(
        f"""
        const Right = Date, aheadMs = {ahead_s * 1000};
        globalThis.Date = class extends Right {{
            constructor(...parts) {{ parts.length ? super(...parts) : super(Right.now() + aheadMs); }}
            static now() {{ return Right.now() + aheadMs; }}
        }};
        """
    )


def today_at(text: str) -> datetime:
    """The time of day in a text, with today's date."""
    found = re.search(r"(\d+):(\d+):(\d+)", text)
    assert found is not None
    hour, minute, second = map(int, found.groups())
    return datetime.now(UTC).replace(hour=hour, minute=minute, second=second)


def test_no_animation_of_an_open_page_runs_forever(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url, reduced_motion="no-preference") as page:
        page.open("/")
        page.wait_for(IS_LIVE)
        lengths = page.page.evaluate(
            "document.getAnimations().map((one) => String(one.effect.getComputedTiming().endTime))"
        )
        assert lengths, "the dot says that the connection has come about"
        assert "Infinity" not in lengths


def test_a_finish_updates_the_row_but_adds_its_card_on_request(browser: Browser, open_site: Site) -> None:
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
        assert "poll" not in page.text("[data-list=running] [data-task='kling row']")
        page.wait_for("!document.querySelector('[data-new]').hidden")
        assert page.text("[data-new]") == page.page.locator("[data-said]").text_content() == "1 new"
        assert page.page.locator("[data-list=finished] [data-task='kling row']").count() == 0
        page.page.keyboard.press("n")
        page.wait_for("document.querySelector('[data-list=finished] [data-task=\"kling row\"]') !== null")
        page.wait_for("document.querySelector('[data-list=running] [data-task=\"kling row\"]') === null")
        assert page.page.locator("[data-new]").is_hidden()
        assert page.page.locator("[data-said]").text_content() == ""


def test_on_a_phone_the_top_card_does_not_change_until_requested(browser: Browser, open_site: Site) -> None:
    open_site.add("on-top", seconds=0)
    until(lambda: "on-top" in open_site.world.by_task(), seconds=20, what="the first webhook")
    with tab(browser, open_site.url, width="phone") as page:
        page.open("/")
        page.wait_for(IS_LIVE)
        page.page.hover("[data-list=finished] .card >> nth=0")
        before = page.page.evaluate(TOP_CARD)
        open_site.add("newer", seconds=0)
        page.wait_for("!document.querySelector('[data-new]').hidden")
        with page.page.expect_response(open_site.url + "/"):  # a new stream brings what is on the page up to date
            page.page.evaluate("document.querySelector('[data-retry]').click()")
        page.page.wait_for_timeout(200)
        assert page.page.evaluate(TOP_CARD) == before
        assert before[1] > WIDTHS["phone"] * 0.8
        page.page.mouse.move(0, 0)
        page.page.click("[data-new]")
        page.wait_for(f"{TOP_CARD}[0] === 'kling newer'")
        assert page.page.evaluate(TOP_CARD)[1] == before[1]


def test_cards_come_by_themselves_when_the_reader_is_away(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url) as page:
        page.open("/")
        page.wait_for(IS_LIVE)
        open_site.add("by-itself", seconds=0)
        page.wait_for("document.querySelector('[data-list=finished] [data-task=\"kling by-itself\"]') !== null")
        assert page.page.locator("[data-new]").is_hidden()


def test_no_new_card_appears_while_the_pointer_is_on_the_cards(browser: Browser, open_site: Site) -> None:
    open_site.add("looked-at", seconds=0)
    until(lambda: "looked-at" in open_site.world.by_task(), seconds=20, what="the first webhook")
    with tab(browser, open_site.url) as page:
        page.open("/")
        page.wait_for(IS_LIVE)
        page.page.hover("[data-list=finished] .card >> nth=0")
        page.page.wait_for_timeout(6_000)  # longer than until somebody counts as away
        open_site.add("not-yet", seconds=0)
        page.wait_for("!document.querySelector('[data-new]').hidden")
        page.page.wait_for_timeout(2_500)  # time between two checks whether somebody is away
        assert page.page.locator("[data-list=finished] [data-task='kling not-yet']").count() == 0
        page.page.mouse.move(0, 0)
        page.wait_for("document.querySelector('[data-list=finished] [data-task=\"kling not-yet\"]') !== null")


def test_the_key_r_asks_for_confirmation_before_it_sends(browser: Browser, open_site: Site) -> None:
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
        page.page.focus("[data-redeliver]")
        page.page.keyboard.press("Enter")
        page.wait_for("document.activeElement.innerText === '1 delivery is sent again.'")  # so it is read aloud


def test_the_first_visit_shows_every_time_in_the_readers_zone(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url, timezone_id="Pacific/Auckland") as page:
        page.open("/")
        page.wait_for("document.body.dataset.zone === 'Pacific/Auckland'", patience_ms=5000)
        assert page.text("[data-part=zone]").startswith("Times are in UTC+1")


@pytest.mark.parametrize("hours", [3, -3, -220_000])
def test_a_wrong_browser_clock_does_not_change_shown_times(browser: Browser, open_site: Site, hours: int) -> None:
    open_site.add("runs")
    open_site.add("has-finished", seconds=0)
    until(lambda: "has-finished" in open_site.world.by_task(), seconds=20, what="the webhook")
    with tab(browser, open_site.url) as page:
        set_clock(page, ahead_s=hours * 3600)
        page.open("/")
        page.wait_for(IS_LIVE)
        page.page.wait_for_timeout(1500)  # the script has rewritten every time on the page
        shown = page.page.locator("main time:visible").all_inner_texts()
        assert len(shown) >= 3
        assert [one for one in shown if re.search(r"\d h|\d d", one)] == []
        assert page.page.locator("[data-not-live]").is_hidden()


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
