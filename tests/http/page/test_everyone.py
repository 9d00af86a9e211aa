"""The page is accessible and safe in every state: axe-core finds nothing, nothing scrolls sideways, and hostile texts
do nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Dialog

from bridge.domain.daemon_state import DaemonNow
from bridge.http.page.page_routes import VIEWS
from tests.http.page.browser import Tab, tab
from tests.http.page.now_store import CDN
from tests.http.page.page_states import ATTACK, HOSTILE, busy, hostile, needs, reject_a_file, well
from tests.http.page.still_sites import WORKS, StillSites, still_sites
from tests.http.site import READ_TOKEN, TOKEN

pytestmark = pytest.mark.timeout(180)

CHINESE_STOPS: Final = "\u3002\uff0c\uff1a\uff1b"  # they contain their space
ENGLISH_COMMAS: Final = "[\u4e00-\u9fff], |, [\u4e00-\u9fff]"  # beside Chinese
LOOKS: Final = (("light", "en"), ("dark", "zh"))
IS_LIVE: Final = "document.querySelector('[data-live] .dot:not(.off)') !== null"
# A theme and a language change colors and names. A width changes everything except colors. Checks of colors take most
# of the time.
EVERY_RULE: Final = ""
LOOK_RULES: Final = "runOnly: ['color-contrast', 'html-has-lang', 'button-name', 'link-name', 'label']"
LAYOUT_RULES: Final = "rules: {'color-contrast': {enabled: false}}"
# Elements that should be on one line but are not.
ON_ONE_LINE: Final = ".brand, nav a, .live, button, .button, .chip, .tabs a, .axis :last-child, .tasks td:nth-child(2)"
BROKEN: Final = f"""
    [...document.querySelectorAll("{ON_ONE_LINE}")].filter(one => {{
        const texts = [...one.childNodes].filter(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
        return one.checkVisibility() && texts.some(text => {{
            const range = document.createRange();
            range.selectNodeContents(text);
            return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1;
        }});
    }}).map(one => one.outerHTML.slice(0, 200))
"""
# Names that are cut to a few letters, and elements beyond the edge of their table or picture.
INSIDE: Final = "td .name, td .st, td button, .chip, .runs .meta > :first-child"
CRAMPED: Final = f"""
    [...document.querySelectorAll("{INSIDE}")].filter(one => one.checkVisibility() && (
        one.clientWidth < one.scrollWidth && one.clientWidth < 48
        || one.closest(".scroll, .pic")?.getBoundingClientRect().right < one.getBoundingClientRect().right
    )).map(one => one.outerHTML.slice(0, 200))
"""
SIGN_IN: Final = (
    f"document.getElementById('token').value = '{READ_TOKEN}', document.querySelector('main form').submit()"
)
NEW: Final = (
    "{ const [one] = document.querySelectorAll('[data-new]'); one.hidden = false; one.lastChild.textContent = '3 new' }"
)
OPEN_ALL: Final = "document.querySelectorAll('details').forEach(one => { one.open = true })"


class Place(NamedTuple):
    """A view in a state. After it is opened, `script` brings it into that state. Then an element matches `has`."""

    site: str
    path: str
    status: int = 200
    script: str = ""
    has: str = "main"


PLACES: Final = {
    "now-empty": Place("empty", "/"),
    "tasks-empty": Place("empty", "/tasks"),
    "deliveries-empty": Place("empty", "/deliveries"),
    "health-empty": Place("empty", "/health"),
    "now-well": Place("well", "/"),
    "keys": Place("well", "/", 200, "document.getElementById('keys').showModal()"),
    "new": Place("well", "/", 200, NEW),
    "stale": Place("well", "/", 200, "document.querySelector('[data-not-live]').hidden = false"),
    "tasks-well": Place("well", "/tasks", 200, OPEN_ALL),
    "tasks-none-match": Place("well", "/tasks?q=nothing&account=kling&phase=failed&since=1h"),
    "tasks-wrong": Place("well", "/tasks?since=never", 422),
    "story-running": Place("well", "/task?account=kling&id=progress", 200, OPEN_ALL),
    "story-late": Place("well", "/task?account=kling&id=late"),
    "story-video": Place("well", "/task?account=kling&id=told"),
    "story-images": Place("well", "/task?account=kling&id=shown"),
    "story-elsewhere": Place("well", "/task?account=kling&id=images"),
    "story-song": Place("well", "/task?account=kling&id=heard"),
    "story-gone": Place("well", "/task?account=kling&id=gone"),
    "story-failed": Place("well", "/task?account=kling&id=failed"),
    "story-unknown": Place("well", "/task?account=kling&id=unknown", 404),
    "deliveries-accepted": Place("well", "/deliveries?state=accepted"),
    "health-well": Place("well", "/health"),
    "add": Place("well", "/add"),
    "nothing": Place("well", "/nothing", 404),
    "now-needs": Place("needs", "/"),
    "story-held": Place("needs", "/task?account=runway&id=blocked0", 200, OPEN_ALL),
    "story-dead": Place("needs", "/task?account=kling&id=dead0"),
    "deliveries-needs": Place("needs", "/deliveries"),
    "deliveries-open": Place(
        "needs", "/deliveries?state=dead", 200, "document.querySelector('[data-open]').click()", ".open"
    ),
    "redeliver": Place("needs", "/redeliver?state=dead&endpoint=automation&back=/"),
    "redeliver-none": Place("well", "/redeliver?state=dead&endpoint=automation&back=/", 409),
    "health-needs": Place("needs", "/health"),
    "now-busy": Place("busy", "/", has=".busy"),
    "now-hostile": Place("hostile", "/"),
    "tasks-hostile": Place("hostile", "/tasks"),
    "search-hostile": Place("hostile", f"/tasks?q={quote(ATTACK)}&label={quote('y' * 400)}"),
    "deliveries-hostile": Place("hostile", "/deliveries?state=all"),
    "health-hostile": Place("hostile", "/health"),
    "now-failing": Place("failing", "/"),
    "health-failing": Place("failing", "/health"),
    "now-starting": Place("starting", "/"),
    "signin": Place("closed", "/signin?next=/tasks"),
    "signin-again": Place("closed", "/signin", 200, "document.querySelector('main form').submit()", ".banner.bad"),
    "read-only": Place("closed", "/signin?next=/", 200, SIGN_IN, ".figures"),
    "read-only-refused": Place("closed", "/signin?next=/redeliver%3Fstate%3Ddead", 200, SIGN_IN, "nav"),
    **{
        f"story-hostile-{number}": Place(
            "hostile", f"/task?account=kling&id={quote(f'bad{number}{text[:200]}', safe='')}"
        )
        for number, text in enumerate(HOSTILE)
    },
}
AT_ANY_WIDTH: Final = (
    *("now-hostile", "tasks-hostile", "story-dead", "deliveries-needs", "redeliver", "health-needs", "add", "signin"),
)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of a site in each state."""
    with still_sites() as made:
        yield dict(_served(made, tmp_path_factory))


def _served(made: StillSites, folders: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    yield "empty", made.serve(folders.mktemp("empty"), accounts=("kling",))
    yield "well", made.serve(folders.mktemp("well"), fill=well)
    folder = folders.mktemp("needs")
    reject_a_file(folder)
    yield "needs", made.serve(folder, fill=needs)
    yield "hostile", made.serve(folders.mktemp("hostile"), fill=hostile)
    yield "busy", made.serve(folders.mktemp("busy"), fill=busy)
    yield "failing", made.serve(folders.mktemp("failing"), fill=needs, state=_failing())
    yield "starting", made.serve(folders.mktemp("starting"), state=DaemonNow(is_working=False))
    yield "closed", made.serve(folders.mktemp("closed"), fill=well, token=TOKEN, read_token=READ_TOKEN)


def _failing() -> DaemonNow:
    """The address of a daemon that cannot write to its store."""
    return replace(WORKS, is_working=False, store_failed_at=1_762_000_000.0)


@pytest.fixture(scope="module")
def page(browser: Browser, sites: dict[str, str]) -> Iterator[Tab]:
    """One tab that visits all sites. A page that it leaves may still send requests to its own site."""
    with tab(browser, "") as opened:
        opened.answer_for(CDN)
        opened.page.add_init_script(AXE_SCRIPT)  # compiled once, not for each page
        yield opened
        forget(opened, CDN, *sites.values())


def forget(page: Tab, *origins: str) -> None:
    """Forget the requests to these hosts, because they are allowed."""
    page.elsewhere = [url for url in page.elsewhere if not url.startswith(tuple(f"{one}/" for one in origins))]


def shown(page: Tab, sites: dict[str, str], place: Place, *, language: str = "en") -> None:
    page.origin = sites[place.site]
    sign = "&" if "?" in place.path else "?"
    assert page.open(f"{place.path}{sign}lang={language}") == place.status
    if place.script:
        page.page.evaluate(place.script)
    page.wait_for(f"document.readyState === 'complete' && document.querySelector('{place.has}') !== null")


def found_by_axe(page: Tab, options: str = EVERY_RULE) -> list[Any]:
    """What axe-core finds wrong."""
    run = f"axe.run({{resultTypes: ['violations'], selectors: false, {options}}})"
    passes, violations = page.page.evaluate(f"{run}.then(found => [found.passes.length, found.violations])")
    assert passes > (0 if options == LOOK_RULES else 10)  # axe-core has run
    return [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in violations]


def is_narrow(page: Tab, width: int) -> bool:
    """Whether the document has no sideways scroll."""
    page.page.set_viewport_size({"width": width, "height": 800})
    return bool(page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("name", PLACES)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(page: Tab, sites: dict[str, str], name: str) -> None:
    for theme, language in LOOKS:
        page.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type] # "light" or "dark"
        page.page.set_viewport_size({"width": 1280, "height": 900})
        shown(page, sites, PLACES[name], language=language)
        assert found_by_axe(page, EVERY_RULE if theme == "light" else LOOK_RULES) == [], (theme, language)
        assert is_narrow(page, 320), (theme, language)
        text = page.text("body")
        assert re.findall(rf".{{0,9}}[{CHINESE_STOPS}] |.{{0,9}}(?:{ENGLISH_COMMAS})", text) == []
    page.faults.clear()  # that a page was not found


@pytest.mark.parametrize("name", AT_ANY_WIDTH)
def test_axe_finds_nothing_at_any_width(page: Tab, sites: dict[str, str], name: str) -> None:
    page.page.emulate_media(color_scheme="light")
    page.page.set_viewport_size({"width": 320, "height": 900})
    shown(page, sites, PLACES[name])
    for width in (320, 390, 768, 2560):
        assert is_narrow(page, width), width
        assert page.page.evaluate(BROKEN) == page.page.evaluate(CRAMPED) == [], width
        assert found_by_axe(page, EVERY_RULE if width == 320 else LAYOUT_RULES) == [], width


@pytest.mark.parametrize("names", [PLACES, AT_ANY_WIDTH])
def test_each_view_is_among_the_checked_places(names: Iterable[str]) -> None:
    assert {view.path for view in VIEWS} <= {urlsplit(PLACES[name].path).path for name in names}


def test_attacks_are_shown_as_text_and_have_no_effect(browser: Browser, sites: dict[str, str]) -> None:
    with tab(browser, sites["hostile"]) as page:
        page.answer_for(CDN)
        asked: list[str] = []

        def dismiss(dialog: Dialog) -> None:
            asked.append(dialog.message)
            dialog.dismiss()

        page.page.on("dialog", dismiss)
        for place in PLACES.values():
            if place.site == "hostile":
                shown(page, sites, place)
                page.wait_for(IS_LIVE)
                assert page.page.evaluate("[...document.scripts].map(one => one.id || one.src.split('/')[3])") == [
                    "assets",
                    "texts",
                ]
                links = page.page.evaluate("[...document.links].map(one => one.protocol)")
                assert set(links) <= {"http:", "https:"}
                assert page.page.evaluate("window.attacked === undefined")
        page.open("/tasks")
        assert json.dumps(ATTACK)[1:-1] in json.dumps(page.page.locator("[data-list=tasks]").inner_text())
        assert asked == []
        forget(page, CDN)
