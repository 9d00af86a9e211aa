"""The page of the demo, as README shows it."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.http.page.browser import tab
from tests.programs import ended

pytestmark = [pytest.mark.xdist_group("chromium"), pytest.mark.timeout(180), pytest.mark.long]

PICTURE = Path(__file__).parents[3] / "docs/page.png"
SIZE = (1280, 800)
MOST_BYTES = 150 * 1024


def test_the_page_of_the_demo_looks_as_in_the_readme(browser: Browser, tmp_path: Path) -> None:
    """Compares size and structure. To renew the picture: `cp` the new one, which the failed test names."""
    command = [sys.executable, "-m", "bridge", "demo", "--keep"]
    with ended(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)) as demo:
        assert demo.stdout is not None
        while not (line := demo.stdout.readline()).startswith("Page:"):
            pass
        with tab(browser, line.removeprefix("Page:").strip().rstrip("/")) as page:
            page.page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
            page.open("/")
            page.wait_for("document.querySelectorAll('[data-list=finished] > .card').length >= 5")
            page.wait_for("document.querySelectorAll('[data-list=running] > li').length >= 1")
            page.wait_for("[...document.querySelectorAll('video')].every(one => one.readyState >= 2)")
            new = tmp_path / "page.png"
            page.page.screenshot(path=new)
            labels = page.page.locator("[data-list=finished] .name").all_inner_texts()
            shown = page.page.locator("[data-list=finished] img, [data-list=finished] video").count()
            page.elsewhere.clear()  # the results lie at the simulated provider, which the settings allow
    assert "Four posters" in labels
    assert shown >= 5
    assert size_of(new) == size_of(PICTURE) == SIZE, f"cp {new} {PICTURE}"
    assert PICTURE.stat().st_size <= MOST_BYTES


def size_of(png: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", png.read_bytes()[16:24])
    return width, height
