"""The views of the demo's page, as the README and the docs show them."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from bridge.http.page.page_routes import NAVIGATION
from tests.http.page.browser import tab
from tests.programs import ended

pytestmark = [pytest.mark.timeout(180), pytest.mark.long]

DOCS = Path(__file__).parents[3] / "docs"
README_PICTURES = {"en": DOCS / "page.png", "zh": DOCS / "page-zh.png"}
README_SIZE = (1280, 800)
README_BYTES = 150 * 1024
OUTLINES = DOCS / "pictures/outlines.json"
SPINNER_MS = 1500  # Chromium shows it on a video for about a second after its first frame
ALL_FINISHED = "document.querySelectorAll('tr[data-phase=succeeded], tr[data-phase=failed]').length >= 8"
HEADINGS = """
    [...document.querySelectorAll("h1, h2, th, nav a, .figures dt")].map(
        one => [one.localName, (one.firstChild?.textContent ?? "").trim()]
    )
"""
VIEWS = {
    **{view.name: view.path for view in NAVIGATION},
    "story": "/task?account=demo&id=lighthouse-at-dawn",
    "deliveries": "/deliveries?state=all",
}
LOOKS: dict[str, dict[str, Any]] = {
    "desk": {"width": "desk", "color_scheme": "light"},
    "phone": {"width": "phone", "color_scheme": "dark"},
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a demo that has just begun and continues."""
    command = [sys.executable, "-m", "bridge", "demo", "--keep"]
    folder = tmp_path_factory.mktemp("demo")
    with ended(subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)) as running:
        assert running.stdout is not None
        while not (line := running.stdout.readline()).startswith("Page:"):
            pass
        yield line.removeprefix("Page:").strip().rstrip("/")


@pytest.mark.parametrize("language", README_PICTURES)
def test_the_page_of_the_demo_looks_as_in_the_readme(
    browser: Browser, demo: str, tmp_path: Path, language: str
) -> None:
    """Compare size and structure. To renew the picture, copy the new one, which the failed test names."""
    with tab(browser, demo) as page:
        page.page.set_viewport_size({"width": README_SIZE[0], "height": README_SIZE[1]})
        page.open(f"/?lang={language}")
        page.wait_for("document.querySelectorAll('[data-list=finished] > .card').length >= 5")
        page.wait_for("[...document.querySelectorAll('video')].every(one => one.readyState >= 2)")
        page.page.wait_for_timeout(SPINNER_MS)
        new, kept = tmp_path / README_PICTURES[language].name, README_PICTURES[language]
        page.page.screenshot(path=new)
        labels = page.page.locator("[data-list=finished] .name").all_inner_texts()
        shown = page.page.locator("[data-list=finished] img, [data-list=finished] video").count()
        page.elsewhere.clear()  # the results lie at the simulated provider, which the settings allow
    assert "Four posters" in labels
    assert shown >= 5
    assert size_of(new) == size_of(kept) == README_SIZE, f"cp {new} {kept}"
    assert kept.stat().st_size <= README_BYTES


@pytest.mark.parametrize("look", LOOKS)
def test_each_view_matches_its_stored_snapshot(browser: Browser, demo: str, tmp_path: Path, look: str) -> None:
    """Compare width, height and headings. To renew the snapshots, copy the new files, which the failed test names."""
    outlines: dict[str, list[list[str]]] = {}
    with tab(browser, demo, **LOOKS[look]) as page:
        page.open("/tasks")
        page.wait_for(ALL_FINISHED, patience_ms=100_000)
        for view, path in VIEWS.items():
            assert page.open(path) == 200
            page.wait_for("document.querySelector('[data-live] .dot:not(.off)') !== null")
            page.wait_for("[...document.querySelectorAll('video')].every(one => one.readyState >= 1)")
            page.page.wait_for_timeout(SPINNER_MS)
            page.page.screenshot(path=tmp_path / f"{view}-{look}.png", full_page=True)
            found = page.page.evaluate(HEADINGS)
            outlines[f"{view}-{look}"] = [[tag, re.sub(r"\s*\d[\d,.]*", " N", text)] for tag, text in found]
        page.elsewhere.clear()
    (tmp_path / "outlines.json").write_text(json.dumps(outlines, indent=1, ensure_ascii=False))
    kept = json.loads(OUTLINES.read_text())
    assert outlines == {name: kept[name] for name in outlines}, f"renew {OUTLINES} from {tmp_path}"
    for name in outlines:
        new, old = size_of(tmp_path / f"{name}.png"), size_of(OUTLINES.with_name(f"{name}.png"))
        assert new[0] == old[0]
        assert 0.7 < new[1] / old[1] < 1.4, f"{name}: {new} instead of {old}; see {tmp_path}"


@pytest.mark.parametrize("look", LOOKS)
def test_the_newest_video_plays_with_one_click(browser: Browser, demo: str, look: str) -> None:
    with tab(browser, demo, **LOOKS[look]) as page:
        page.open("/")
        page.wait_for("document.querySelectorAll('[data-list=finished] video').length >= 1")
        page.page.locator("[data-list=finished]").hover()  # while the pointer is there, no new card moves the others
        page.wait_for("document.querySelector('[data-list=finished] video').readyState >= 2")
        box = page.page.locator("[data-list=finished] video").first.bounding_box()
        assert box is not None
        page.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
        page.wait_for("document.querySelector('[data-list=finished] video').currentTime > 0.2")
        page.elsewhere.clear()


def size_of(png: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", png.read_bytes()[16:24])
    return width, height
