"""The page by keyboard alone: every control can be reached, seen and used, and updates leave the focus where it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser

from bridge.http.page.page_routes import NAVIGATION
from tests.http.page.browser import WIDTHS, Tab, tab
from tests.http.page.now_store import CDN
from tests.http.page.page_states import ADDRESSES, needs, reject_a_file
from tests.http.page.still_sites import still_sites
from tests.http.site import Site, running_site
from tests.world import until

pytestmark = pytest.mark.timeout(240)

IS_LIVE: Final = "document.querySelector('[data-live] .dot:not(.off)') !== null"
CONTROLS: Final = """
    [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
        .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.disabled && one.type !== "hidden")
"""
WIDTH_OF_OPEN: Final = "document.querySelector('.open td').clientWidth"
NUMBER: Final = f"{CONTROLS}.forEach((one, place) => {{ one.place = place }}), {CONTROLS}.length"
FOCUSED: Final = """
    (() => {
        const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
        const top = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height, 8) / 2);
        return {
            place: one.place ?? null,
            tag: one.localName,
            ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
            color: style.outlineColor,
            inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
            covered: top !== null && !one.contains(top) && !top.contains(one) && top.closest("header, nav") !== null,
            html: one.outerHTML.slice(0, 150),
        };
    })()
"""


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("keyboard")
    reject_a_file(folder)
    with still_sites() as made:
        yield made.serve(folder, fill=needs)


@pytest.fixture
def page(browser: Browser, still: str) -> Iterator[Tab]:
    with tab(browser, still) as opened:
        opened.answer_for(CDN)
        yield opened
        opened.elsewhere.clear()


def focused(page: Tab) -> Any:
    return page.page.evaluate(FOCUSED)


def open_live(page: Tab, path: str) -> None:
    assert page.open(path) == 200
    page.wait_for(IS_LIVE)


@pytest.mark.parametrize("path", [*ADDRESSES, "/task?account=runway&id=blocked0"])
def test_every_control_is_reachable_by_tab_and_shows_its_focus(page: Tab, path: str) -> None:
    open_live(page, path)
    page.page.evaluate("document.activeElement.blur()")
    page.page.evaluate("document.querySelector('.skip').focus()")
    page.page.keyboard.press("Shift+Tab")
    wanted = page.page.evaluate(NUMBER)
    reached = set[int]()
    for _ in range(wanted + 40):  # the Tab key stops several times in a player
        page.page.keyboard.press("Tab")
        found = focused(page)
        if found["place"] is None:
            if found["tag"] == "body" and reached:
                break
            continue
        assert found["ring"], found
        assert found["inside"], found
        assert not found["covered"], found
        reached.add(int(found["place"]))
    missed = [page.page.evaluate(f"{CONTROLS}[{one}].outerHTML.slice(0, 150)") for one in set(range(wanted)) - reached]
    assert missed == []


@pytest.mark.parametrize(("width", "height"), [("phone", 844), ("phone", 256), ("desk", 700)])
def test_the_bars_never_cover_the_focus_in_either_direction(page: Tab, width: str, height: int) -> None:
    """256 px is the height of a desktop at a zoom of 400 %."""
    page.page.set_viewport_size({"width": WIDTHS[width], "height": height})
    open_live(page, "/deliveries?state=all")
    for key in ("Tab", "Shift+Tab"):
        page.page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
        for _ in range(60):
            page.page.keyboard.press(key)
            found = focused(page)
            assert not found["covered"], (key, found)


def test_the_first_tab_stop_skips_to_the_content(page: Tab) -> None:
    open_live(page, "/")
    page.page.keyboard.press("Tab")
    link = page.page.locator(".skip")
    box = link.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert link.evaluate("one => one === document.activeElement")
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.getElementById('main').contains(document.activeElement)")


def test_keyboard_shortcuts_move_open_rows_and_switch_views(page: Tab) -> None:
    open_live(page, "/")
    keys = page.page.keyboard
    keys.press("j")
    first = focused(page)["html"]
    keys.press("j")
    second = focused(page)["html"]
    keys.press("k")
    assert focused(page)["html"] == first != second
    keys.press("Enter")
    page.page.wait_for_url("**/task?account=*")
    for view in NAVIGATION:
        keys.press("g")
        keys.press(view.name[0])
        page.page.wait_for_url(f"**{view.path}")
    keys.press("/")
    assert focused(page)["tag"] == "input"
    keys.type("gt")
    keys.press("Enter")
    page.page.wait_for_url("**/tasks?q=gt")


def test_a_letter_opens_and_closes_a_row_and_the_focus_stays(page: Tab) -> None:
    open_live(page, "/deliveries?state=dead")
    keys = page.page.keyboard
    keys.press("j")
    keys.press("j")
    row = page.page.evaluate("document.activeElement.closest('[data-delivery]').dataset.delivery")
    keys.press("o")
    page.page.wait_for_selector("tr.open")
    page.wait_for(f"document.activeElement.closest('[data-delivery]')?.dataset.delivery === '{row}'")
    assert focused(page)["ring"]
    page.page.set_viewport_size({"width": 640, "height": 800})  # a desktop at a zoom of 200 %
    assert page.page.evaluate(f"{WIDTH_OF_OPEN} > 0.9 * document.querySelector('table').clientWidth")
    keys.press("Escape")
    page.page.wait_for_selector("tr.open", state="detached")
    page.wait_for(f"document.activeElement.closest('[data-delivery]')?.dataset.delivery === '{row}'")


def test_enter_and_space_activate_the_focused_control(page: Tab) -> None:
    open_live(page, "/tasks")
    page.page.locator(".add summary").focus()
    page.page.keyboard.press("Enter")
    assert page.page.locator("#add-tasks").is_visible()
    page.page.keyboard.press("Space")
    assert not page.page.locator("#add-tasks").is_visible()
    page.page.keyboard.press("Space")
    page.page.locator("#add-tasks").fill("one task")
    page.page.keyboard.press("Escape")
    assert not page.page.locator("#add-tasks").is_visible()
    assert page.page.evaluate("document.activeElement.matches('.add summary')")
    assert page.page.locator("#add-tasks").input_value() == "one task"
    page.page.locator("[data-keys]").focus()
    page.page.keyboard.press("Enter")
    assert page.page.locator("#keys").is_visible()
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.getElementById('keys').contains(document.activeElement)")
    page.page.keyboard.press("Escape")
    assert not page.page.locator("#keys").is_visible()
    assert page.page.evaluate("document.activeElement.matches('[data-keys]')")


def test_updates_leave_the_focus_where_it_is(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("focus")
    http = {"token": None, "read_token": None}
    settings: dict[str, Any] = {"webhooks": ("hook", "crm"), "delivery": {"retries": ["0.1s"]}}
    with running_site(folder, http=http, **settings) as site, tab(browser, site.url) as page:
        site.add("row")
        site.world.hooks = {"/crm": (410, b"", {})}
        site.add("disables", seconds=0)
        open_live(page, "/")
        page.wait_for("document.querySelector('[data-part=needs] form button') !== null")
        _check_focus_in_a_row(page, site)
        _check_focus_on_a_need(page, site)


def _check_focus_in_a_row(page: Tab, site: Site) -> None:
    page.page.focus("[data-list=running] [data-task='kling row'] a")
    site.world.ends_at["row"] = 0.0
    page.wait_for("document.querySelector('[data-task=\"kling row\"].finished') !== null")
    assert page.page.evaluate("document.activeElement.closest('[data-task]').dataset.task") == "kling row"


def _check_focus_on_a_need(page: Tab, site: Site) -> None:
    """Check that a need keeps the focus when a worse need appears above it."""
    page.page.focus("[data-part=needs] form button")
    assert page.page.evaluate("document.activeElement.form.endpoint.value") == "crm"
    site.world.hooks = {"/hook": (503, b"", {}), "/crm": (410, b"", {})}
    site.add("dies", seconds=0)
    dead = {"state": "dead"}
    until(
        lambda: site.client.get("/api/v1/deliveries", params=dead).json()["deliveries"], seconds=30, what="a dead one"
    )
    page.wait_for("document.querySelector('[data-part=needs]').innerText.includes('Redeliver')")
    assert page.page.evaluate("document.activeElement.form?.endpoint?.value") == "crm"
