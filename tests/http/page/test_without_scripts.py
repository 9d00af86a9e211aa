"""The page with scripts switched off: every view is complete, and every action works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from bridge.http.access import Right
from bridge.http.page.page_routes import VIEWS
from tests.http.page.browser import Tab, tab
from tests.http.site import Site, running_site
from tests.world import until

pytestmark = pytest.mark.timeout(240)

ASKED = {  # the parameters of a view, and what it shows; of the other views: none, and a task
    "/task": ("?account=kling&id=done", "crm was notified"),
    "/deliveries": ("?state=all", "done"),
    "/redeliver": ("?state=accepted&endpoint=crm", "to crm?"),
    "/health": ("", "kling"),
    "/add": ("", "one per line"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("scripts")
    http = {"token": None, "read_token": None}
    with running_site(folder, http=http, webhooks=("hook", "crm"), delivery={"retries": ["0.1s"]}) as running:
        running.add("live")
        running.add("done", seconds=0)
        until(lambda: len(running.world.received) >= 2, seconds=30, what="the webhooks")
        yield running


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Tab]:
    with tab(browser, site.url, java_script_enabled=False) as opened:
        yield opened


def press(page: Tab, text: str, *, within: str = "main") -> str:
    """Press this button. Returns what the page says was done."""
    page.page.locator(f"{within} button:text-is('{text}'):visible").first.click()
    page.page.wait_for_load_state()
    notice = page.page.locator(".banner:not([data-not-live])")
    return notice.first.inner_text() if notice.count() else ""


def states(site: Site, endpoint: str) -> list[str]:
    found = site.client.get("/api/v1/deliveries", params={"endpoint": endpoint, "limit": 100}).json()["deliveries"]
    return [one["state"] for one in found]


@pytest.mark.parametrize("path", [view.path for view in VIEWS if view.right is not Right.OPEN])
def test_every_view_has_one_heading_and_says_how_old_it_is(page: Tab, path: str) -> None:
    query, shown = ASKED.get(path, ("", "done"))
    assert page.open(path + query) == 200
    assert page.page.locator("h1").count() == 1
    assert page.text("[data-live]").startswith("As of ")
    assert page.page.locator("[data-live] a:visible").inner_text() == "Refresh"
    assert page.page.locator(".scripted-only:visible, [data-keys]:visible, [data-copy]:visible").count() == 0
    assert shown in page.text("main")


def test_language_theme_and_zone_are_links_that_last(page: Tab) -> None:
    page.open("/tasks")
    page.page.click("footer >> text=中文")
    page.page.click("footer >> text=深色")
    page.open("/health")
    root = page.page.locator("html")
    assert (root.get_attribute("lang"), root.get_attribute("data-theme")) == ("zh", "dark")


def test_tasks_are_added_polled_withdrawn_and_watched_again(page: Tab, site: Site) -> None:
    site.world.ends_at["by-hand"] = float("inf")
    page.open("/tasks")
    page.page.click(".add summary")
    page.page.fill("#add-tasks", "by-hand")
    assert "1 task is watched now." in press(page, "Add")
    page.open("/task?account=kling&id=by-hand")
    assert "polled" in press(page, "Poll now")
    page.page.click(".ask summary")
    assert "no longer watched" in press(page, "Withdraw", within=".ask")
    assert "watched again" in press(page, "Watch again")
    page.open("/add")
    page.page.fill("main textarea", "by-hand\nby-hand-2")
    site.world.ends_at["by-hand-2"] = float("inf")
    press(page, "Add")
    assert site.client.get("/api/v1/task", params={"id": "by-hand-2"}).status_code == 200


def test_deliveries_are_opened_and_sent_again(page: Tab, site: Site) -> None:
    site.world.hooks = {"/hook": (503, b"", {})}
    site.add("lost-1", "lost-2", "lost-3", seconds=0)
    until(lambda: states(site, "hook").count("dead") == 3, seconds=40, what="dead deliveries")
    site.world.hooks = {}

    page.open("/deliveries?state=dead&endpoint=hook")
    page.page.locator("[data-open]").first.click()
    page.page.wait_for_selector("tr.open pre")
    assert "503" in page.text("tr.open .tries")
    assert "1 delivery is sent again." in press(page, "Redeliver")
    until(lambda: states(site, "hook").count("dead") == 2, seconds=30, what="one that was sent again")
    page.open("/deliveries?state=dead&endpoint=hook")
    page.page.click("main a:text-is('Redeliver 2')")
    assert page.text("h1") == "Redeliver 2 to hook?"
    assert "2 deliveries are sent again." in press(page, "Redeliver 2")
    until(lambda: "dead" not in states(site, "hook"), seconds=30, what="everything that was sent again")


def test_a_disabled_endpoint_is_enabled_and_an_endpoint_tested(page: Tab, site: Site) -> None:
    site.world.hooks = {"/crm": (410, b"", {})}
    site.add("held", seconds=0)
    until(lambda: states(site, "crm").count("waiting") >= 1, seconds=40, what="a held delivery")
    until(
        lambda: any(one["disabled"] for one in site.client.get("/api/v1/endpoints").json()["endpoints"]),
        seconds=30,
        what="a disabled endpoint",
    )
    site.world.hooks = {}
    page.open("/")
    assert "crm is enabled" in press(page, "Enable", within="[data-part=needs]")
    until(lambda: set(states(site, "crm")) == {"accepted"}, seconds=30, what="what was held")
    page.open("/health")
    assert "accepted the sample" in press(page, "Test")


def test_filters_and_searches_are_plain_forms(page: Tab) -> None:
    page.open("/tasks")
    page.page.fill("header input[type=search]", "done")
    page.page.press("header input[type=search]", "Enter")
    page.page.wait_for_url("**/tasks?q=done")
    assert page.page.locator("[data-task]").count() == 1
    page.open("/deliveries?state=all")
    page.page.select_option("select[name=endpoint]", "crm")
    page.page.click("main button:text-is('Show')")
    page.page.wait_for_url("**endpoint=crm**")
    assert page.page.locator("tr[data-delivery]").count() >= 1
