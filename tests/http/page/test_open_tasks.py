"""The list of tasks and a task's story, open in a real Chromium."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.http.page.browser import WIDTHS, Tab, tab
from tests.http.page.watching import just_finished
from tests.http.site import Site, running_site
from tests.world import kling, until

pytestmark = pytest.mark.timeout(180)

NOTE_FIRST_TEXT = """
    new MutationObserver(([one]) => { window.firstText ??= one.target.innerText })
        .observe(document.querySelector("figure [data-copy]"), {childList: true})
"""
HIDING = """
    window.isHidden = false;
    Object.defineProperty(document, "hidden", {get: () => window.isHidden});
    const soon = window.setTimeout;
    window.setTimeout = (...rest) => { window.timers += 1; return soon(...rest) };
"""
IS_LIVE = "document.querySelector('[data-live] .dot:not(.off)') !== null"
WIDE = "W" * 250 + "مرحبا" * 50
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def add(site: Site, task_id: str, label: str, *, seconds: float = 3600.0) -> None:
    site.world.ends_at[task_id] = time.monotonic() + seconds
    assert site.client.post("/api/v1/tasks", json={"id": task_id, "label": label}).status_code == 201


def open_live(page: Tab, path: str) -> None:
    page.open(path)
    page.wait_for(IS_LIVE)
    page.page.evaluate("window.stays = true")


def test_an_open_history_shows_the_finish_without_a_reload(browser: Browser, open_site: Site) -> None:
    add(open_site, "watched", "Lighthouse")
    with tab(browser, open_site.url) as page:
        open_live(page, "/task?account=kling&id=watched")
        assert page.page.locator("#h-notified").is_hidden()
        open_site.world.ends_at["watched"] = 0.0
        page.wait_for("document.querySelector('.title .pill').innerText.includes('Succeeded')")
        page.wait_for("document.querySelector('[data-part=notified]').innerText.includes('accepted')")
        page.wait_for("document.querySelector('[data-part=result] .bar') !== null")
        page.wait_for("document.querySelector('[data-part=happened]').innerText.includes('hook was notified')")
        page.wait_for("document.querySelector('.title').innerText.includes('Watch again')")
        assert page.page.evaluate("window.stays")


def test_a_finish_is_shown_beside_an_open_question(browser: Browser, open_site: Site) -> None:
    add(open_site, "undecided", "Street musician")
    with tab(browser, open_site.url) as page:
        open_live(page, "/task?account=kling&id=undecided")
        page.page.click(".ask summary")
        open_site.world.ends_at["undecided"] = 0.0
        page.wait_for("document.querySelector('.title .pill').innerText.includes('Succeeded')")
        assert page.page.locator(".ask .dialog").is_visible()
        page.elsewhere.clear()


def test_a_row_is_updated_in_place_and_new_tasks_appear_on_request(browser: Browser, open_site: Site) -> None:
    add(open_site, "row", "A row")
    with tab(browser, open_site.url) as page:
        open_live(page, "/tasks")
        page.page.hover("[data-list=tasks] tr")  # the reader looks at the list, so nothing comes by itself
        open_site.world.ends_at["row"] = 0.0
        page.wait_for("document.querySelector('[data-task=\"kling row\"]').innerText.includes('Succeeded')")
        add(open_site, "newcomer", "A newcomer")
        page.wait_for("!document.querySelector('[data-new]').hidden")
        assert page.page.locator("[data-task='kling newcomer']").count() == 0
        page.page.click("[data-new]")
        page.wait_for("document.querySelector('[data-list=tasks] tr').dataset.task === 'kling newcomer'")
        assert page.page.evaluate("window.stays")


def test_a_task_moved_to_the_next_page_does_not_count_as_new(browser: Browser, open_site: Site) -> None:
    add(open_site, "older", "Older")
    with tab(browser, open_site.url) as page:
        open_live(page, "/tasks")
        add(open_site, "pushed-off", "Pushed off")
        body = {"tasks": [{"id": f"crowd-{n}"} for n in range(60)]}
        open_site.world.ends_at.update({f"crowd-{n}": time.monotonic() + 3600 for n in range(60)})
        assert open_site.client.post("/api/v1/tasks", json=body).status_code == 201
        page.wait_for("!document.querySelector('[data-new]').hidden")
        page.page.click("[data-new]")
        page.wait_for("document.querySelector('[data-list=tasks] tr').dataset.task.startsWith('kling crowd-')")
        page.page.hover("[data-list=tasks] tr")
        page.wait_for("document.querySelector('[data-new]').hidden")
        open_site.world.ends_at["pushed-off"] = 0.0
        until(lambda: "pushed-off" in open_site.world.by_task(), seconds=20, what="the webhook")
        page.page.wait_for_timeout(1_500)  # three frames of the stream
        assert page.page.locator("[data-new]").is_hidden()


def test_a_hidden_page_sends_no_request_and_catches_up_when_shown(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url) as page:
        page.page.add_init_script(HIDING)
        open_live(page, "/tasks")
        asked: list[str] = []
        page.page.on("request", lambda request: asked.append(request.url))
        page.page.evaluate("window.isHidden = true")
        page.page.evaluate("document.querySelector('[data-retry]').click()")  # a new stream
        page.page.wait_for_timeout(2_500)  # an update may follow another after two seconds
        page.page.evaluate("window.timers = 0")
        page.page.wait_for_timeout(2_000)
        assert open_site.url + "/tasks" not in asked
        assert page.page.evaluate("window.timers") < 4
        with page.page.expect_request(open_site.url + "/tasks"):
            page.page.evaluate("window.isHidden = false, document.dispatchEvent(new Event('visibilitychange'))")


def test_a_task_is_added_and_withdrawn_by_hand(browser: Browser, open_site: Site) -> None:
    open_site.world.ends_at["by-hand"] = time.monotonic() + 3600
    with tab(browser, open_site.url) as page:
        open_live(page, "/tasks")
        page.page.click(".add summary")
        page.page.fill("#add-tasks", "by-hand")
        page.page.click(".add .primary")
        page.page.wait_for_selector("[data-task='kling by-hand']")
        page.page.click("[data-task='kling by-hand'] a")
        page.page.click(".ask summary")
        assert "The task at kling continues." in page.text(".ask .dialog")
        page.page.click(".ask .dialog button")
        page.page.wait_for_selector("text=No longer watched")


def test_a_file_that_cannot_be_loaded_shows_an_error(browser: Browser, tmp_path: Path) -> None:
    with socket.socket() as nobody:  # bound, but does not listen: the connection is refused
        nobody.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        http = {"token": None, "read_token": None, "previews": [host]}
        with running_site(tmp_path, http=http) as site, tab(browser, site.url) as page:
            site.world.fault = lambda task_id: just_finished(kling(task_id, "succeed", urls=[f"{host}/x.mp4"]))
            add(site, "lost", "Lost", seconds=0.0)
            page.open("/task?account=kling&id=lost")
            page.wait_for("document.querySelector('[data-part=result] video') !== null")
            page.wait_for("document.querySelector('.pic.broken') !== null")
            assert page.page.locator(".lost").is_visible()
            assert page.page.locator("text=Open the video").is_visible()
            page.elsewhere.clear()


@pytest.mark.parametrize("width", WIDTHS)
def test_long_task_names_fit_every_page_width(browser: Browser, open_site: Site, width: str) -> None:
    add(open_site, "x" * 400, WIDE, seconds=0.0)
    with tab(browser, open_site.url, width=width) as page:
        for path in ("/tasks", f"/task?account=kling&id={'x' * 400}", "/tasks?phase=failed&q=zz&label=" + "y" * 400):
            page.open(path)
            assert page.page.evaluate(FITS), path
            assert page.page.evaluate("document.querySelector('h1').clientHeight < 150"), path


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_a_signed_address_is_copied_whole_and_unchanged(browser: Browser, open_site: Site, has_clipboard: bool) -> None:
    task_id = f"signed-{has_clipboard}"
    url = f"https://CDN.example.test:443/works/{'long/' * 20}it's.mp4?Policy=%7e&Signature=s3cr3t~'&Key-Pair-Id=K2"
    answer = just_finished(kling(task_id, "succeed", urls=[url]))
    open_site.world.fault = lambda asked: answer if asked == task_id else None
    add(open_site, task_id, "Signed", seconds=0)
    # A browser allows it after a click; the headless shell allows nothing by itself.
    with tab(browser, open_site.url, permissions=["clipboard-write"]) as page:
        if not has_clipboard:  # as on a page of another machine without TLS
            page.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        open_live(page, f"/task?account=kling&id={task_id}")
        page.wait_for("document.querySelector('figure [data-copy]') !== null")
        page.page.evaluate(NOTE_FIRST_TEXT)  # this text is shown only for a moment
        page.page.click("figure [data-copy]")
        page.wait_for("window.firstText === 'Copied'")
        page.page.focus("header input[type=search]")
        page.page.keyboard.press("Control+V")
        assert page.page.input_value("header input[type=search]") == url
        assert "s3cr3t" not in page.text("figure")


def sides(page: Tab, selector: str) -> tuple[float, float]:
    """The left and the right edge of an element."""
    box = page.page.locator(selector).bounding_box()
    assert box is not None
    return box["x"], box["x"] + box["width"]


def test_on_a_phone_the_chosen_tab_is_in_view(browser: Browser, open_site: Site) -> None:
    with tab(browser, open_site.url, width="phone") as page:
        page.open("/deliveries?state=accepted")
        left, right = sides(page, ".tabs [aria-current]")
        assert left >= 0
        assert right <= WIDTHS["phone"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_question_before_withdrawing_is_in_view(browser: Browser, open_site: Site, width: str) -> None:
    add(open_site, "asked", "Street musician")
    with tab(browser, open_site.url, width=width) as page:
        page.open("/task?account=kling&id=asked")
        page.page.click(".ask summary")
        left, right = sides(page, ".ask .dialog")
        assert left >= 0
        assert right <= WIDTHS[width]
        page.page.set_viewport_size({"width": 320, "height": 640})
        assert sides(page, ".title .acts > :last-child")[1] <= sides(page, ".story")[1]


def test_the_button_stays_where_it_is_when_it_opens_the_form(browser: Browser, open_site: Site) -> None:
    add(open_site, "first", "Street musician")
    with tab(browser, open_site.url) as page:
        page.open("/tasks")
        before = sides(page, ".add summary")
        page.page.click(".add summary")
        assert page.page.locator("#add-tasks").is_visible()
        assert sides(page, ".add summary") == pytest.approx(before)
