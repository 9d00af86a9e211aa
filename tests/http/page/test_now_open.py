"""The first view in a real Chromium: results that cannot be loaded, and no requests to other hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from bridge.http.page.now_view import MOST_CARDS
from tests.http.page.browser import tab
from tests.http.page.now_store import ELSEWHERE, filled, open_site
from tests.http.site import Site, free_port

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def nobody() -> str:
    """An allowed origin at which no server answers."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, nobody: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("open")
    with filled(folder) as store:
        store.finished("elsewhere", {"videos": [{"url": f"{ELSEWHERE}/v.mp4"}]})
        store.finished("video", {"videos": [{"url": f"{nobody}/v.mp4"}]})
        store.finished("images", {"images": [{"url": f"{nobody}/{n}.png"} for n in range(3)]})
    with open_site(folder, http={"previews": [nobody]}) as running:
        yield running


def test_a_box_shows_error_and_link_if_its_files_cannot_load(browser: Browser, site: Site, nobody: str) -> None:
    with tab(browser, site.url) as page:
        page.open("/")
        for task_id in ("images", "video"):
            box = f".card[data-task='kling {task_id}'] .pic"
            page.wait_for(f"document.querySelector(`{box}`).classList.contains('broken')")
            assert page.page.locator(f"{box} .lost a").is_visible()
        assert page.page.locator(".lost:visible").count() == 2
        assert {url[: len(nobody)] for url in page.elsewhere} == {nobody}
        page.elsewhere.clear()


def test_new_tasks_are_only_counted_while_many_finish(browser: Browser, tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        for number in range(MOST_CARDS):
            store.finished(f"one-of-many{number}", age=-600)  # in the future, so that this lasts
    with open_site(tmp_path) as site, tab(browser, site.url) as page:
        page.open("/")
        page.wait_for("document.querySelector('[data-live] .dot:not(.off)') !== null")
        assert "shown when you ask for them" in page.text(".busy")
        site.add("new", seconds=0)
        page.wait_for("!document.querySelector('[data-new]').hidden")
        page.page.wait_for_timeout(8_000)  # longer than until the reader counts as away and the list is made anew
        assert page.text("[data-new]") == "1 new"


@pytest.mark.parametrize("width", [1360, 800, 390, 320])
def test_the_first_view_has_no_sideways_scroll(browser: Browser, site: Site, width: int) -> None:
    with tab(browser, site.url) as page:
        page.page.set_viewport_size({"width": width, "height": 900})
        page.open("/")
        page.wait_for("document.querySelector('[data-live] .dot:not(.off)') !== null")
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.elsewhere.clear()
