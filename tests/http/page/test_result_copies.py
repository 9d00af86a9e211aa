"""Copies of results on the page: they are shown from this server, even if the results are gone."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import unescape
from pathlib import Path

import pytest

from tests.archive.file_server import file_server
from tests.http.page.watching import add, just_finished, read
from tests.http.site import Site, running_site
from tests.world import Answer, kling, until

MP4 = b"\x00\x00\x00\x18ftypmp42" + b"\0" * 2000
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9
RESULTS = {"inside": [], "film": ["/film.mp4", "/missing.mp4"], "expired": ["/old.mp4"], "drawing": ["/draw.svg"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site without previews, which loads nothing from other hosts."""
    with file_server({"/film.mp4": MP4, "/old.mp4": MP4, "/draw.svg": SVG}) as files:

        def told_by(task_id: str) -> Answer | None:
            answer = kling(task_id, "succeed", urls=[files + path for path in RESULTS[task_id]])
            if task_id == "inside":
                answer["data"]["task_result"] = {"images": [{"b64": base64.b64encode(PNG).decode()}]}
            is_old = task_id == "expired"  # the times of `kling` are long ago
            return (200, json.dumps(answer).encode(), {}) if is_old else just_finished(answer)

        with running_site(tmp_path_factory.mktemp("copies"), archive={"to": "archive"}) as running:
            running.world.fault = told_by
            add(running, *({"id": one, "label": f"The {one}/1"} for one in RESULTS))
            until(lambda: all(copies(running, one) for one in RESULTS), seconds=30, what="a copy of each")
            until(lambda: all("/results/" in card_of(running, one) for one in RESULTS), seconds=30, what="on each card")
            until(lambda: all("1 of 1" in read(running, f"/tasks?q={one}") for one in RESULTS), seconds=30, what="sent")
            yield running


def story(site: Site, task_id: str) -> str:
    return read(site, f"/task?account=kling&id={task_id}")


def copies(site: Site, task_id: str) -> list[str]:
    """The links to copies on the page."""
    return [unescape(one) for one in re.findall(r'<a href="(/results/[^"]*)"[^>]*>Open the copy', story(site, task_id))]


@pytest.mark.parametrize("task_id", ["film", "expired"])
def test_a_copied_video_is_played_from_this_server(site: Site, task_id: str) -> None:
    page = story(site, task_id)
    [source] = [unescape(one) for one in re.findall(r'<video [^>]*src="([^"]*)"', page)]
    assert [source] == copies(site, task_id)
    answer = site.stranger.get(source)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, MP4, "video/mp4")


def test_a_file_that_was_inside_the_answer_is_shown_from_its_copy(site: Site) -> None:
    for page in (story(site, "inside"), card_of(site, "inside")):
        [source] = [unescape(one) for one in re.findall(r'<img [^>]*src="(/results/[^"]*)"', page)]
        answer = site.stranger.get(source)
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PNG, "image/png")
    assert copies(site, "inside") == [source]


@pytest.mark.parametrize("task_id", ["film", "expired"])
def test_a_card_plays_the_copy(site: Site, task_id: str) -> None:
    card = card_of(site, task_id)
    [source] = [unescape(one) for one in re.findall(r'<video src="([^"]*)"', card)]
    assert [source] == copies(site, task_id)
    assert "gone" not in card


def test_a_card_of_a_copied_drawing_links_to_it(site: Site) -> None:
    card = card_of(site, "drawing")
    assert "A copy is in the archive." in card
    assert [unescape(one) for one in re.findall(r'<a class="button" href="([^"]*)"', card)] == copies(site, "drawing")


def card_of(site: Site, task_id: str) -> str:
    [found] = re.findall(rf'<article[^>]*data-task="kling {task_id}".*?</article>', read(site, "/"), re.DOTALL)
    return str(found)


def test_a_result_without_a_copy_is_named_with_its_host(site: Site) -> None:
    page = story(site, "film")
    assert page.count("is at 127.0.0.1") == 1
    assert "/missing.mp4" in page


def test_a_copied_drawing_is_a_link_and_not_shown(site: Site) -> None:
    page = story(site, "drawing")
    assert len(copies(site, "drawing")) == 1
    assert "<img" not in page
    assert "<video" not in page


def test_links_stay_the_same_so_that_browsers_keep_the_files(site: Site) -> None:
    assert copies(site, "film") == copies(site, "film")


def test_copies_are_not_listed_as_notified_endpoints(site: Site) -> None:
    page = story(site, "expired")
    notified = page[page.index("Who was notified") : page.index("What happened")]
    assert "hook" in notified
    assert "rchive" not in notified
    assert "Copies in the archive" in page
    assert "The result was copied into the archive" in page
    assert "1 of 1" in read(site, "/tasks?q=expired")


def test_a_copy_that_was_deleted_is_not_offered(site: Site) -> None:
    for file in (site.folder / "archive").rglob("*drawing*.svg"):
        file.unlink()
    assert not copies(site, "drawing")


@pytest.mark.parametrize("path", ["/tasks?q=inside", "/deliveries?state=accepted&topic=task_succeeded&q=inside"])
def test_a_row_shows_the_copy_of_an_image(site: Site, path: str) -> None:
    [source] = {unescape(one) for one in re.findall(r'<img class="thumb" src="([^"]*)"', read(site, path))}
    assert site.stranger.get(source).content == PNG
    assert source in copies(site, "inside")


def test_the_attempts_of_a_copy_are_counted_by_its_own_retries(site: Site) -> None:
    page = read(site, "/deliveries?endpoint=@archive&q=film&state=all")
    until(lambda: "of 15" in read(site, "/deliveries?endpoint=@archive&q=film&state=all"), seconds=20, what=page)


@contextmanager
def hanging(folder: Path) -> Iterator[None]:
    """An archive in this folder that does not answer when a record is read, until the end of the block."""
    records = [path for path in folder.rglob("*.json") if not path.name.endswith(".data.json")]
    for record in records:
        record.rename(record.with_suffix(".aside"))
        os.mkfifo(record)  # opening it waits for a writer
    try:
        yield
    finally:
        for record in records:
            aside, pipe = record.with_suffix(".aside"), record.with_suffix(".pipe")
            record.rename(pipe)
            aside.rename(record)
            with suppress(OSError):  # no reader waits at the pipe
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            pipe.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="counts the daemon's threads in /proc")
def test_pages_that_do_not_wait_for_an_archive_leave_few_threads_behind(site: Site) -> None:
    threads = Path(f"/proc/{site.daemon.process.pid}/task")
    before = len(list(threads.iterdir()))
    with hanging(site.folder / "archive"):
        for _ in range(30):
            read(site, "/")
        after = len(list(threads.iterdir()))
    assert after - before <= 12
    until(lambda: bool(copies(site, "film")), seconds=20, what="an archive that answers again")
