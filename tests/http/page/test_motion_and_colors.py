"""With reduced motion, nothing moves. With forced colors, every state still looks different from the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Route

from tests.http.page.browser import Tab, tab
from tests.http.page.now_store import CDN
from tests.http.page.page_states import ADDRESSES, needs
from tests.http.page.still_sites import still_sites

pytestmark = pytest.mark.timeout(180)

IS_LIVE: Final = "document.querySelector('[data-live] .dot:not(.off)') !== null"
MOVING: Final = """
    [...document.querySelectorAll("*")].flatMap(one => ["", "::before", "::after"].map(part => [one, part]))
        .filter(([one, part]) => {
            const style = getComputedStyle(one, part || null);
            return style.animationName !== "none" || style.transitionDuration.split(", ").some(time => time !== "0s");
        }).map(([one, part]) => one.localName + "." + one.getAttribute("class") + part)
"""
SIGNS: Final = """
    [...document.querySelectorAll(".st, .pill")].map(one => {
        const sign = one.querySelector("svg.i");
        return [one.innerText.trim(), sign.querySelector("use").getAttribute("href"), getComputedStyle(sign).stroke]
    })
"""
PLACES: Final = """
    [...document.querySelectorAll(".top > :not(.live), nav a, h1, main > *, .bar > *")]
        .map(one => [one, one.getBoundingClientRect()]).filter(([, box]) => box.width && box.height)
        .map(([one, box]) => [one.localName + "." + one.className, box.x, box.y])
"""
# Where everything of the running rows begins while their times change.
TICKING: Final = """
    [["[data-age]", "2 min", "26 min 10 s"], ["[data-due]", "now", "in 59 s"], [".when", "64 %", "longer than usual"]]
        .flatMap(([selector, ...texts]) => texts.map(text => {
            document.querySelectorAll(`.runs ${selector}`).forEach(one => { one.textContent = text });
            return JSON.stringify([...document.querySelectorAll(".runs :is(li, li > *, .row > *, .meta > *), h2")]
                .map(one => one.getBoundingClientRect()).map(box => [box.x, box.y]));
        }))
"""
PAPER: Final = "getComputedStyle(document.querySelector('.sheet, .dialog')).backgroundColor"
LOOKS: Final = """
    [...document.querySelectorAll("nav a, .tabs a")].map(one => {
        const style = getComputedStyle(one), group = one.closest("nav") ? "nav" : "tabs";
        return [group, one.ariaCurrent, style.backgroundColor + style.borderBottomColor + style.color]
    })
"""
RING: Final = """
    (() => {
        const one = document.querySelector("main a[href]");
        one.focus({focusVisible: true});
        const style = getComputedStyle(one);
        return [style.outlineStyle, parseFloat(style.outlineWidth), style.outlineColor]
    })()
"""


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with still_sites() as made:
        yield made.serve(tmp_path_factory.mktemp("motion"), fill=needs)


def open_live(page: Tab, path: str) -> None:
    assert page.open(path) == 200
    page.wait_for(IS_LIVE)


@pytest.mark.parametrize("width", ["phone", "desk"])
@pytest.mark.parametrize("path", ADDRESSES)
def test_the_script_moves_nothing_when_it_starts(browser: Browser, still: str, path: str, width: str) -> None:
    with tab(browser, still, width=width) as page:
        held: list[Route] = []
        page.page.route("**/assets/page.*.js", lambda route: held.append(route))
        page.answer_for(CDN)
        page.page.goto(page.origin + path, wait_until="commit")
        page.page.wait_for_selector("#texts", state="attached")
        page.wait_for("[...document.querySelectorAll('link[rel=stylesheet]')].every(one => one.sheet)")
        drawn = page.page.evaluate(PLACES)
        held[0].continue_()
        page.wait_for(IS_LIVE)
        assert page.page.evaluate(PLACES) == drawn
        page.elsewhere.clear()


@pytest.mark.parametrize("width", ["phone", "desk"])
def test_times_change_without_moving_anything(browser: Browser, still: str, width: str) -> None:
    with tab(browser, still, width=width) as page:
        page.answer_for(CDN)
        open_live(page, "/")
        assert len(set(page.page.evaluate(TICKING))) == 1
        page.elsewhere.clear()


def test_a_phase_is_no_wider_than_its_word_on_a_phone(browser: Browser, still: str) -> None:
    with tab(browser, still, width="phone") as page:
        for phase in ("canceled", "timed_out"):
            open_live(page, f"/task?account=kling&id=end-{phase}")
            assert page.page.evaluate("document.querySelector('.title .pill').clientWidth") < 150


@pytest.mark.parametrize("path", ADDRESSES)
def test_only_the_dot_is_animated_and_nothing_with_reduced_motion(browser: Browser, still: str, path: str) -> None:
    with tab(browser, still, reduced_motion="reduce") as page:
        page.answer_for(CDN)
        open_live(page, path)
        assert page.page.evaluate(MOVING) == []
        assert page.page.evaluate("document.getAnimations().length") == 0
        page.page.emulate_media(reduced_motion="no-preference")
        assert page.page.evaluate(MOVING) == ["span.dot"]
        page.elsewhere.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_with_forced_colors_states_differ_by_word_and_sign(browser: Browser, still: str, theme: str) -> None:
    signs: dict[str, str] = {}
    with tab(browser, still, forced_colors="active", color_scheme=theme) as page:
        page.answer_for(CDN)
        for path in ADDRESSES:
            open_live(page, path)
            assert page.page.evaluate("matchMedia('(forced-colors: active)').matches")
            paper = page.page.evaluate(PAPER)
            for word, sign, stroke in page.page.evaluate(SIGNS):
                assert word
                assert stroke != paper, word
                signs[word] = sign
        page.elsewhere.clear()
    words = ("Succeeded", "Failed", "Held back", "Canceled", "Not found", "Running", "Submitted")
    assert len({signs[word] for word in words}) == len(words)


def test_with_forced_colors_the_focus_and_the_selection_are_visible(browser: Browser, still: str) -> None:
    with tab(browser, still, forced_colors="active") as page:
        page.answer_for(CDN)
        for path in ADDRESSES:
            open_live(page, path)
            looks = page.page.evaluate(LOOKS)
            for group in {group for group, _, _ in looks}:
                chosen = {look for name, is_current, look in looks if name == group and is_current}
                others = {look for name, is_current, look in looks if name == group and not is_current}
                assert len(chosen) == 1, (path, group)
                assert not chosen & others, (path, group)
            style, width, color = page.page.evaluate(RING)
            assert style == "solid"
            assert width >= 2
            assert color != page.page.evaluate(PAPER)
        page.elsewhere.clear()
