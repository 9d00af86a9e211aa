"""The page for everybody: axe-core finds nothing, nothing scrolls sideways, and it can be used without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.http.page.browser import Tab, tab
from tests.http.site import Site, running_site
from tests.world import until

pytestmark = [pytest.mark.xdist_group("chromium"), pytest.mark.timeout(180)]

LABELS = ["灯塔日出", "<script>alert(1)</script>", "ال" * 40, "x" * 500, '"quotes" & more', ""]
VIEWS = {
    "now": "/",
    "tasks": "/tasks",
    "failed": "/tasks?phase=failed",
    "nothing": "/tasks?q=nothing-has-this-name",
    "story": "/task?account=kling&id=done0",
    "running": "/task?account=kling&id=live0",
    "unknown": "/task?account=kling&id=unknown",
    "deliveries": "/deliveries?state=accepted",
    "undelivered": "/deliveries",
    "health": "/health",
    "keys": "/",
}
LOOKS: dict[str, dict[str, Any]] = {
    "desk": {"width": "desk"},
    "phone": {"width": "phone", "locale": "zh-CN", "color_scheme": "dark", "reduced_motion": "reduce"},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Tasks that run, that have finished, and one with every label that somebody might choose."""
    with running_site(tmp_path_factory.mktemp("everyone"), http={"token": None, "read_token": None}) as running:
        running.add(*(f"live{number}" for number in range(4)))
        running.add(*(f"done{number}" for number in range(6)), seconds=0)
        tasks = [{"id": f"label{number}", "label": label} for number, label in enumerate(LABELS)]
        assert running.client.post("/api/v1/tasks", json=tasks).status_code == 201
        until(lambda: len(running.world.by_task()) >= 6, seconds=30, what="the webhooks")
        yield running


def shown(page: Tab, view: str) -> None:
    assert page.open(VIEWS[view]) == (404 if view == "unknown" else 200)
    page.faults.clear()  # that a page was not found
    page.wait_for("document.readyState === 'complete'")
    if view == "keys":
        page.page.keyboard.press("?")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(browser: Browser, site: Site, view: str, look: str) -> None:
    with tab(browser, site.url, **LOOKS[look]) as page:
        shown(page, view)
        found = Axe().run(page.page).response
        assert len(found["passes"]) > 10  # it has looked
        assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]] == []
        widths = page.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]


@pytest.mark.parametrize("view", ["now", "tasks", "story", "deliveries", "health"])
def test_nothing_scrolls_sideways_on_the_smallest_and_the_widest_screen(
    browser: Browser, site: Site, view: str
) -> None:
    with tab(browser, site.url) as page:
        shown(page, view)
        for width in (320, 2560):
            page.page.set_viewport_size({"width": width, "height": 800})
            assert page.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("view", ["now", "tasks", "story", "deliveries", "health"])
def test_every_view_has_one_heading_and_says_how_old_it_is_without_scripts(
    browser: Browser, site: Site, view: str
) -> None:
    with tab(browser, site.url, java_script_enabled=False) as page:
        page.open(VIEWS[view])
        assert page.page.locator("h1").count() == 1
        assert page.text("[data-words]").startswith("As of ")
        assert page.page.locator("[data-live] a").inner_text() == "Refresh"
        assert not page.page.locator("[data-keys]").is_visible()
