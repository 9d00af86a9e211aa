"""Browsers that store nothing, allow no clipboard, are old, or send a form twice, and clocks that are corrected."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Request

from tests.http.page.browser import Tab, tab
from tests.http.page.watching import add
from tests.http.site import TOKEN, Site, running_site
from tests.world import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

IS_LIVE: Final = "document.querySelector('[data-live] .dot:not(.off)') !== null"
NO_STORAGE: Final = """
    for (const name of ["localStorage", "sessionStorage"]) {
        const get = () => { throw new DOMException("Access is denied for this document.", "SecurityError") };
        Object.defineProperty(window, name, { get });
    }
"""
NO_COOKIES: Final = "Object.defineProperty(navigator, 'cookieEnabled', { value: false })"
OLD: Final = "delete Map.groupBy; delete URLSearchParams.prototype.size"  # Safari until 17.4
NO_PERMISSION: Final = "navigator.clipboard.writeText = () => { throw new DOMException('', 'NotAllowedError') }"
NO_COPYING: Final = f"{NO_PERMISSION}; document.execCommand = () => false"
# Each text of the button, in their order.
NOTE_TEXTS: Final = """
    window.seen = [];
    new MutationObserver(() => window.seen.push(document.querySelector("[data-copy]").textContent))
        .observe(document.querySelector("[data-copy]"), { childList: true, characterData: true, subtree: true });
"""
# Each form that the page would send; none is sent.
COUNT_FORMS: Final = """
    window.sent = 0;
    document.addEventListener("submit", (event) => {
        window.sent += event.defaultPrevented ? 0 : 1;
        event.preventDefault();
    });
"""


def open_live(page: Tab, path: str) -> None:
    page.open(path)
    page.wait_for(IS_LIVE)


def test_the_page_works_in_a_browser_that_stores_nothing(browser: Browser, open_site: Site) -> None:
    add(open_site, {"id": "kept-nowhere"}, seconds=0)
    until(lambda: "kept-nowhere" in open_site.world.by_task(), seconds=20, what="the webhook")
    with tab(browser, open_site.url) as page:
        page.page.add_init_script(NO_STORAGE)
        open_live(page, "/deliveries?state=accepted")
        page.page.keyboard.press("j")
        page.page.keyboard.press("o")
        page.page.wait_for_selector("tr.open")
        page.wait_for(IS_LIVE)
        page.page.keyboard.press("?")
        page.page.uncheck("#keys-on")
        page.page.keyboard.press("Escape")
        page.page.keyboard.press("?")
        assert not page.page.locator("#keys").is_visible()


def test_an_old_browser_follows_changes_and_keeps_the_filter(browser: Browser, open_site: Site) -> None:
    add(open_site, {"id": "for-old"}, seconds=3600)
    with tab(browser, open_site.url) as page:
        page.page.add_init_script(OLD)
        open_live(page, "/tasks?q=for-old&done=polled")
        page.wait_for("location.search === '?q=for-old'")
        open_site.world.ends_at["for-old"] = 0.0
        page.wait_for("document.querySelector('[data-task]').dataset.phase === 'succeeded'")


def test_a_browser_without_cookies_says_that_signing_in_needs_one(browser: Browser, tmp_path: Path) -> None:
    with running_site(tmp_path) as site, tab(browser, site.url) as page:
        page.open("/signin")
        assert not page.page.locator("[data-no-cookies]").is_visible()
        page.page.add_init_script(NO_COOKIES)
        page.open("/signin")
        page.page.wait_for_selector("[data-no-cookies]:visible")
        page.page.fill("#token", TOKEN)


@pytest.mark.parametrize(("refused", "said"), [(NO_PERMISSION, "Copied"), (NO_COPYING, "Not copied")])
def test_a_button_says_whether_the_browser_let_it_copy(
    browser: Browser, open_site: Site, refused: str, said: str
) -> None:
    add(open_site, {"id": "to-copy"}, seconds=3600)
    with tab(browser, open_site.url) as page:
        open_live(page, "/task?account=kling&id=to-copy")
        page.page.evaluate(f"{refused}; {NOTE_TEXTS}")
        page.page.dblclick("[data-copy]")
        page.wait_for(f"window.seen[0] === '{said}' && window.seen.at(-1) === 'Copy link'")


@pytest.mark.parametrize("action", ["poll", "again"])
def test_a_double_click_sends_a_form_once(browser: Browser, open_site: Site, action: str) -> None:
    task_id = f"clicked-{action}"
    add(open_site, {"id": task_id}, seconds=3600 if action == "poll" else 0)
    until(lambda: action == "poll" or task_id in open_site.world.by_task(), seconds=20, what="the webhook")
    with tab(browser, open_site.url) as page:
        sent: list[str] = []

        def note(request: Request) -> None:
            sent.extend([request.url] if request.method == "POST" else [])

        page.page.on("request", note)
        open_live(page, f"/task?account=kling&id={task_id}")
        page.page.dblclick(f"form[action='/actions/{action}'] button")
        page.page.wait_for_selector(".banner.good")
        assert len(sent) == 1
        page.wait_for(
            f"location.search === '?account=kling&id={task_id}'"
        )  # a link to what was done would say it again


def test_a_form_stopped_with_escape_can_be_sent_again(browser: Browser, open_site: Site) -> None:
    add(open_site, {"id": "stopped"}, seconds=3600)
    with tab(browser, open_site.url) as page:
        open_live(page, "/task?account=kling&id=stopped")
        page.page.evaluate(COUNT_FORMS)
        click = "document.querySelector(\"form[action='/actions/poll'] button\").click()"
        escape = "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }))"
        sent = [page.page.evaluate(f"{script}; window.sent") for script in (click, click, escape, click)]
        assert sent == [1, 1, 1, 2]


def test_an_open_page_stays_current_when_its_clock_is_set_back(browser: Browser, open_site: Site) -> None:
    add(open_site, {"id": "before"}, seconds=3600)
    with tab(browser, open_site.url) as page:
        page.page.add_init_script("{ const real = Date.now; window.back = 0; Date.now = () => real() - window.back }")
        open_live(page, "/task?account=kling&id=before")
        page.page.wait_for_timeout(1500)  # the first visit asks for one update, in the reader's time zone
        page.page.evaluate("window.back = 5 * 3600 * 1000")
        open_site.world.ends_at["before"] = 0.0
        page.wait_for("document.querySelector('[data-part=happened]').innerText.includes('Succeeded')")
