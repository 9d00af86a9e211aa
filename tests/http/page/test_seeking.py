"""A copied video in a real Chromium: it starts, and a viewer can jump to any place in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Response

from tests.archive.file_server import file_server
from tests.fork_server import completed
from tests.http.page.browser import tab
from tests.http.page.watching import add, just_finished, read
from tests.http.site import Site, running_site
from tests.world import kling, until

SECONDS = 40


def film(folder: Path) -> bytes:
    """A video of about 20 MB with its index at the end, so that browsers need range requests to play it."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("install ffmpeg")
    path = folder / "film.mp4"
    source = f"testsrc=size=640x360:rate=10:duration={SECONDS},noise=alls=60:allf=t"
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10", "-b:v", "4M"]
    made = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", source, *codec, str(path)]
    subprocess.run(made, check=True, timeout=120)
    return path.read_bytes()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("seeking")
    with (
        file_server({"/film.mp4": film(folder)}) as url,
        running_site(folder, http={"token": None, "read_token": None}, archive={"to": "archive"}) as running,
    ):
        running.world.fault = lambda task_id: just_finished(kling(task_id, "succeed", urls=[f"{url}/film.mp4"]))
        add(running, {"id": "film"})
        until(lambda: bool(source(running)), seconds=30, what="a copy")
        yield running


def source(site: Site) -> str:
    """Where the page loads the video from."""
    found = re.findall(r'<video [^>]*src="(/results/[^"]*)"', read(site, "/task?account=kling&id=film"))
    return unescape(found[0]) if found else ""


def test_a_viewer_can_jump_to_any_place_of_a_copied_video(site: Site, browser: Browser) -> None:
    parts: list[tuple[int, int]] = []

    def note(answer: Response) -> None:
        if "/results/" in answer.url:
            begin = re.match(r"bytes (\d+)-", answer.headers.get("content-range", ""))
            parts.append((answer.status, int(begin[1]) if begin else -1))

    with tab(browser, site.url) as opened:
        opened.page.on("response", note)
        assert opened.open("/task?account=kling&id=film") == 200
        opened.wait_for("document.querySelector('video').readyState >= 1")
        length = opened.page.evaluate("document.querySelector('video').duration")
        assert length == pytest.approx(SECONDS, abs=0.5)
        for second in (SECONDS - 5, 3, SECONDS // 2):
            opened.page.evaluate(f"document.querySelector('video').currentTime = {second}")
            shown = "v => !v.seeking && v.readyState >= 2 && v.error === null"
            at = f"Math.abs(v.currentTime - {second}) < 0.2"
            opened.wait_for(f"({shown} && {at})(document.querySelector('video'))")

    assert {status for status, _ in parts} == {206}
    assert max(begin for _, begin in parts) > 0


def test_a_link_that_was_revoked_plays_no_more(site: Site, browser: Browser) -> None:
    link = source(site)
    assert completed("revoke-links", "-c", site.folder / "genbridge.yaml").returncode == 0

    until(lambda: site.stranger.get(link).status_code in {403, 404}, seconds=20, what="the end of the link")
    until(lambda: source(site) not in {"", link}, seconds=20, what="a new link")
    with tab(browser, site.url) as opened:
        opened.open("/task?account=kling&id=film")
        opened.wait_for("document.querySelector('video').readyState >= 1")
