"""Open pages in a real Chromium: lost connections, slow and foreign answers, and forms that an update changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Route

from tests.http.page.browser import Tab, tab
from tests.http.page.relay import relay
from tests.http.site import TOKEN, Site, running_site
from tests.world import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

IS_LIVE = "document.querySelector('[data-live] .dot:not(.off)') !== null"
BANNER = "document.querySelector('[data-not-live]')"
NOTE_BANNER = f"""
    new MutationObserver(() => {{ window.wasShown ||= !{BANNER}.hidden }}).observe({BANNER}, {{attributes: true}})
"""
NOW = "2026-01-01T00:00:00Z"
RETRY = "document.querySelector('[data-retry]').click()"
HAS_NEW = "!document.querySelector('[data-new]').hidden"


def card(task_id: str) -> str:
    return f"document.querySelector('[data-list=finished] [data-task=\"kling {task_id}\"]') !== null"


def open_live(page: Tab, path: str = "/") -> None:
    page.open(path)
    page.wait_for(IS_LIVE)
    page.page.evaluate("window.stays = true")


def stays(page: Tab) -> bool:
    """Whether the page has not been loaded again."""
    return page.page.evaluate("window.stays === true") is True


@contextmanager
def slow_answer(page: Tab, path: str) -> Iterator[list[Route]]:
    """The next update of this page takes as long as the block."""
    held: list[Route] = []
    page.page.route(
        page.origin + path,
        lambda route: held.append(route),
        times=1,  # because Playwright inspects the functions that it calls
    )
    yield held
    held[0].continue_()


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


def test_when_nothing_waits_no_delivery_is_called_the_oldest(browser: Browser, tmp_path: Path) -> None:
    receiver = threading.Event()
    http = {"token": None, "read_token": None}
    with running_site(tmp_path, http=http) as site, tab(browser, site.url) as page:
        site.world.receive = lambda event_id, times: 200 if receiver.wait(60) else 503
        site.add("in-flight", seconds=0)
        until(lambda: bool(waiting(site)), seconds=30, what="a delivery that waits")
        open_live(page, "/")
        assert page.page.locator(".figures :text('oldest')").is_visible()
        page.page.route(f"{page.origin}/", lambda route: route.abort())  # no update, only the stream
        receiver.set()
        page.wait_for("document.querySelector('[data-count=waiting]').innerText === '0'")
        assert not page.page.locator(".figures :text('oldest')").is_visible()


def waiting(site: Site) -> list[str]:
    found = site.client.get("/api/v1/deliveries", params={"state": "waiting"}).json()["deliveries"]
    return [one["event_id"] for one in found]


def test_a_connection_that_is_silently_dead_is_opened_again(browser: Browser, open_site: Site) -> None:
    with relay(open_site.url) as between, tab(browser, between.url) as page:
        open_live(page)
        page.page.evaluate(NOTE_BANNER)  # it is shown only until the new stream has opened
        between.freeze()  # as after a sleep, or when a router forgets the connection: no packet arrives
        page.wait_for("window.wasShown")
        page.wait_for(f"{IS_LIVE} && {BANNER}.hidden")
        assert stays(page)


@contextmanager
def looking_at_cards(browser: Browser, site: Site) -> Iterator[Tab]:
    """The first view, with the pointer on the card of a finished task."""
    site.add("looked-at", seconds=0)
    until(lambda: "looked-at" in site.world.by_task(), seconds=20, what="the first webhook")
    with tab(browser, site.url) as page:
        open_live(page)
        page.page.hover("[data-list=finished] .card >> nth=0")
        yield page


def test_new_results_appear_although_the_reader_clicked_during_an_update(browser: Browser, open_site: Site) -> None:
    with looking_at_cards(browser, open_site) as page:
        open_site.add("second", seconds=0)
        page.wait_for(HAS_NEW)
        with slow_answer(page, "/") as held:
            page.page.evaluate(RETRY)  # a new stream brings the page up to date
            until_held(page, held)
            page.page.keyboard.press("n")
        page.wait_for(card("second"))


def test_no_card_comes_when_the_reader_has_returned_before_a_slow_answer(browser: Browser, open_site: Site) -> None:
    with looking_at_cards(browser, open_site) as page:
        open_site.add("slow", seconds=0)
        page.wait_for(HAS_NEW)
        page.page.wait_for_timeout(3_000)  # other updates are over
        with slow_answer(page, "/") as held:
            page.page.mouse.move(0, 0)
            until_held(page, held)
            page.page.wait_for_timeout(5_500)  # long enough to count as away
            page.page.hover("[data-list=finished] .card >> nth=0")
        page.page.wait_for_timeout(1_500)
        assert page.page.evaluate(card("slow")) is False
        page.page.mouse.move(0, 0)
        page.wait_for(card("slow"))


def test_no_card_comes_while_text_of_the_list_is_selected(browser: Browser, open_site: Site) -> None:
    with looking_at_cards(browser, open_site) as page:
        page.page.evaluate("getSelection().selectAllChildren(document.querySelector('[data-list=finished] .card'))")
        page.page.mouse.move(0, 0)
        open_site.add("meanwhile", seconds=0)
        page.wait_for(HAS_NEW)
        page.page.wait_for_timeout(7_000)
        assert page.page.evaluate(card("meanwhile")) is False
        page.page.evaluate("getSelection().empty()")
        page.wait_for(card("meanwhile"))


def until_held(page: Tab, held: list[Route]) -> None:
    for _ in range(600):
        if held:
            return
        page.page.wait_for_timeout(50)
    raise AssertionError("no update was asked for")


def test_a_page_whose_reader_signed_out_elsewhere_asks_to_sign_in(browser: Browser, tmp_path: Path) -> None:
    with running_site(tmp_path) as site, tab(browser, site.url) as page:
        page.open("/")
        page.page.fill("#token", TOKEN)
        page.page.press("#token", "Enter")
        page.wait_for(IS_LIVE)
        page.page.fill("header input[type=search]", "half-typed")
        page.page.wait_for_timeout(5_500)  # a page reloads itself at most every 5 s
        page.page.context.clear_cookies(name="genbridge_session")
        page.page.evaluate(RETRY)
        page.page.wait_for_timeout(6_000)
        assert page.page.input_value("header input[type=search]") == "half-typed"
        assert "/signin" not in str(page.page.locator("footer").inner_html())
        page.page.fill("header input[type=search]", "")
        page.page.evaluate("document.activeElement.blur()")
        page.page.wait_for_selector("#token", timeout=90_000)
        page.faults.clear()


def test_the_page_of_a_proxy_does_not_become_part_of_this_one(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url) as page:
        open_live(page)
        text = "<body data-needs=7><nav data-part=nav>Sign in to the network</nav></body>"
        page.page.route(open_site.url + "/", lambda route: route.fulfill(body=text, content_type="text/html"))
        with page.page.expect_response(open_site.url + "/"):
            page.page.evaluate(RETRY)
        page.page.wait_for_timeout(500)
        assert "network" not in page.text("nav")
        assert stays(page)


def test_an_outdated_page_reloads_unless_somebody_types(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url) as page:
        open_live(page)
        page.page.fill("header input[type=search]", "half-typed")
        page.page.wait_for_timeout(5_500)
        page.page.evaluate("document.body.dataset.assets = '/assets/page.0123456789.js'")
        page.page.evaluate(RETRY)
        page.page.wait_for_timeout(3_000)
        assert stays(page)
        page.page.fill("header input[type=search]", "")
        page.page.evaluate("document.activeElement.blur()")
        page.wait_for(f"window.stays === undefined && {IS_LIVE}", patience_ms=90_000)


@pytest.mark.parametrize("path", ["/health", "/deliveries?state=all"])
def test_the_heading_of_an_open_page_follows(browser: Browser, tmp_path: Path, path: str) -> None:
    http = {"token": None, "read_token": None}
    with running_site(tmp_path, http=http) as site, tab(browser, site.url) as page:
        open_live(page, path)
        before = page.text("h1")
        site.world.receive = lambda event_id, times: 410
        site.add("gone", seconds=0)
        until(lambda: bool(waiting(site)), seconds=30, what="a delivery that waits")
        page.page.evaluate(RETRY)
        page.wait_for(f"document.querySelector('h1').innerText !== '{before}'", patience_ms=90_000)
        assert stays(page)


def test_an_update_does_not_repeat_a_choice_of_the_address(open_site: Site) -> None:
    with httpx.Client(base_url=open_site.url, trust_env=False) as client:
        assert client.get("/?lang=zh").cookies["lang"] == "zh"
        client.cookies.clear()
        assert not client.get("/?lang=zh", headers={"X-Update": "1"}).cookies


def test_typed_text_stays_when_the_first_task_appears(browser: Browser, tmp_path: Path) -> None:
    http = {"token": None, "read_token": None}
    with running_site(tmp_path, http=http) as site, tab(browser, site.url) as page:
        open_live(page, "/tasks")
        page.page.fill("#add-tasks", "typed-1")
        page.page.evaluate("document.activeElement.blur()")
        site.add("first", seconds=0)
        until(lambda: "first" in site.world.by_task(), seconds=30, what="the webhook")
        page.page.wait_for_timeout(9_000)  # the reader counts as away after 5 s, and an update may follow after 2 s
        assert page.page.input_value("#add-tasks") == "typed-1"
        page.page.fill("#add-tasks", "")
        page.page.wait_for_selector("[data-task='kling first']")


def test_the_tab_follows_what_needs_a_person(browser: Browser, tmp_path: Path) -> None:
    http = {"token": None, "read_token": None}
    with running_site(tmp_path, http=http) as site, tab(browser, site.url) as page:
        open_live(page)
        site.world.receive = lambda event_id, times: 410
        site.add("gone", seconds=0)
        page.wait_for("document.querySelector('h1').innerText === 'One thing needs you'")
        page.wait_for("document.title.startsWith('1 needs you')")
        page.wait_for("document.querySelector('link[rel=icon]').href.includes('icon-needs')")
        assert stays(page)


def test_a_page_left_open_counts_a_thousand_new_tasks_and_no_more(browser: Browser, open_site: Site) -> None:
    open_site.add("there-already")
    tasks = [
        {"account": "kling", "id": f"new-{n}", "phase": "running", "added_at": "2999-01-01T00:00:00Z"}
        for n in range(1005)
    ]
    frames = [("snapshot", {}), *(("changes", {"tasks": some, "deliveries": []}) for some in (tasks[:1], tasks[1:]))]
    stream = "".join(f"event: {name}\ndata: {json.dumps({'now': NOW, **data})}\n\n" for name, data in frames)
    with tab(browser, open_site.url) as page:
        headers = {"Content-Type": "text/event-stream"}
        page.page.route("**/api/v1/changes", lambda route: route.fulfill(body=stream, headers=headers))
        page.open("/tasks")
        page.wait_for(HAS_NEW)
        assert page.text("[data-new]") == "1,000+ new"
        assert page.page.locator("[data-said]").text_content() == "1 new", "read aloud once, not at each number"
