"""Small windows, paper, and names that are written from right to left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser

from bridge.domain.delivery_state import DeliveryState
from tests.http.page.browser import tab
from tests.http.page.now_store import CDN, Filler
from tests.http.page.page_states import needs
from tests.http.page.still_sites import still_sites
from tests.http.page.test_everyone import forget
from tests.http.site import TOKEN

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

HEBREW: Final = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
VIEWS: Final = ("/", "/tasks", "/deliveries?state=dead", "/health", "/task?account=kling&id=dead0", "/add")
USELESS_ON_PAPER: Final = "nav, button, .button, input, select, textarea, .live"
# How far elements are beyond the box around them.
BEYOND: Final = """
    ([inner, outer]) => [...document.querySelectorAll(inner)].filter(one => one.checkVisibility()).map(one => {
        const [box, around] = [one, one.closest(outer)].map(each => each.getBoundingClientRect());
        return Math.max(around.left - box.left, box.right - around.right, around.top - box.top);
    })
"""


def fill(store: Filler) -> None:
    needs(store)
    for number in range(40):
        accepted = {"hook": DeliveryState.ACCEPTED}
        store.finished(f"row{number}", label=f"Foggy forest {number}", age=3600 + number, states=accepted)
    store.finished("rtl", label=HEBREW, states={"hook": DeliveryState.ACCEPTED})


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with still_sites() as made:
        yield made.serve(tmp_path_factory.mktemp("windows"), fill=fill)


@pytest.mark.parametrize("path", VIEWS)
def test_nothing_that_a_reader_clicks_is_on_paper(browser: Browser, still: str, path: str) -> None:
    with tab(browser, still) as page:
        page.answer_for(CDN)
        page.open(path)
        page.page.emulate_media(media="print")
        shown = page.page.locator(f":is({USELESS_ON_PAPER}):visible")
        assert [shown.nth(number).inner_text() for number in range(shown.count())] == []
        forget(page, CDN)


@pytest.mark.parametrize(("width", "height"), [(844, 390), (340, 225)])
def test_in_a_short_window_the_views_fill_the_line(browser: Browser, still: str, width: int, height: int) -> None:
    with tab(browser, still) as page:
        page.answer_for(CDN)
        page.page.set_viewport_size({"width": width, "height": height})
        page.open("/tasks")
        assert max(page.page.evaluate(BEYOND, ["nav a", ".top"])) <= 0
        assert min(page.page.evaluate("[...document.querySelectorAll('nav a')].map(one => one.clientHeight)")) >= 40
        assert page.page.evaluate("getComputedStyle(document.querySelector('nav')).position") == "static"
        forget(page, CDN)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_on_a_small_phone_buttons_stay_inside_their_cards(browser: Browser, still: str, language: str) -> None:
    with tab(browser, still) as page:
        page.answer_for(CDN)
        page.page.set_viewport_size({"width": 360, "height": 6000})
        page.open(f"/?lang={language}")
        found = page.page.evaluate(BEYOND, [".card .button", ".pic"])  # all cards are in the window
        assert found
        assert max(found) < 0
        forget(page, CDN)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_on_a_small_phone_buttons_stay_inside_their_results(browser: Browser, still: str, language: str) -> None:
    with tab(browser, still) as page:
        page.page.set_viewport_size({"width": 320, "height": 2000})
        page.open(f"/task?account=kling&id=images&lang={language}")
        found = page.page.evaluate(BEYOND, [".pic .button", ".pic"])
        assert len(found) == 6
        assert max(found) < 0


def test_a_browser_with_wide_fields_still_shows_the_whole_sign_in(browser: Browser, tmp_path: Path) -> None:
    with still_sites() as made, tab(browser, made.serve(tmp_path, token=TOKEN), width="phone") as page:
        page.open("/signin")
        page.page.evaluate("document.querySelector('#token').size = 80")  # as wide as Firefox makes it in Chinese
        assert max(page.page.evaluate(BEYOND, ["#token", "main"])) <= 0


@pytest.mark.parametrize("path", ["/deliveries?state=accepted", "/tasks?phase=withdrawn"])
def test_on_a_phone_the_current_tab_is_inside_its_line(browser: Browser, still: str, path: str) -> None:
    with tab(browser, still, width="phone") as page:
        page.answer_for(CDN)
        page.open(path)
        page.wait_for("document.querySelector('.tabs').scrollLeft > 0")
        assert max(page.page.evaluate(BEYOND, [".tabs [aria-current]", ".tabs"])) < 1
        forget(page, CDN)


@pytest.mark.parametrize("path", ["/tasks", "/deliveries?state=accepted"])
def test_names_from_right_to_left_begin_where_all_names_begin(browser: Browser, still: str, path: str) -> None:
    with tab(browser, still) as page:
        page.answer_for(CDN)
        page.open(path)
        texts = page.page.locator("td bdi")
        left = [box["x"] for box in (text.bounding_box() for text in texts.all()) if box]
        assert HEBREW in texts.all_inner_texts()
        assert len(set(left)) == 1
        forget(page, CDN)


@pytest.mark.parametrize("path", ["/tasks?phase=succeeded&q=foggy", "/deliveries?state=accepted"])
def test_a_row_that_is_not_drawn_yet_has_the_height_of_others(browser: Browser, still: str, path: str) -> None:
    with tab(browser, still, width="phone") as page:
        page.answer_for(CDN)
        page.open(path)
        rows = "[...document.querySelectorAll('[data-list] > tr')].map(one => one.offsetHeight)"
        heights = page.page.evaluate(f"{rows}.slice(0, 40)")  # those at the end are far below the window
        assert max(heights) - min(heights) <= 2
        forget(page, CDN)


@pytest.mark.parametrize("path", ["/deliveries?state=all", "/health", "/tasks"])
def test_no_button_of_a_table_is_cut_at_any_width(browser: Browser, still: str, path: str) -> None:
    with tab(browser, still) as page:
        page.answer_for(CDN)
        page.open(path)
        for width in (721, 760, 862, 901, 1000, 1081, 1130, 1200):
            page.page.set_viewport_size({"width": width, "height": 900})
            hidden = "[...document.querySelectorAll('.scroll')].map(one => one.scrollWidth - one.clientWidth)"
            assert max(page.page.evaluate(hidden)) <= 0, width
        forget(page, CDN)
