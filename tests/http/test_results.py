"""Signed links to copies in a real daemon, from the finish of a task to the bytes of its file."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from bridge.domain.store_key import result_link
from tests.archive.buckets import BUCKET, distant, environment, s3_server
from tests.archive.file_server import file_server
from tests.fork_server import completed
from tests.http.site import Site, running_site
from tests.world import Answer, kling, until

pytestmark = [pytest.mark.usefixtures("unmeasured"), pytest.mark.long]

PUBLIC = "https://bridge.example.com"
FILES = {
    "/film.mp4": b"\x00\x00\x00\x18ftypmp42" + random.Random(1).randbytes(300_000),
    "/draw.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "/page.html": b"<html><script>alert(1)</script></html>",
}
ROUTES = [{"topics": ["task_archived"], "endpoints": ["hook"]}]


def archived(site: Site, url: str, task_id: str, **result: list[str]) -> list[dict[str, Any]]:
    """Finish a task with these results, and return its `archive`."""

    def answer(_: str) -> Answer:
        body = kling(task_id, "succeed", urls=[])
        items = {kind: [{"url": url + path} for path in paths] for kind, paths in result.items()}
        body["data"]["task_result"] = items
        return 200, json.dumps(body).encode(), {}

    site.world.fault = answer
    site.add(task_id)
    until(lambda: any(one.data["task_id"] == task_id for one in site.world.received), seconds=30, what="task_archived")
    found: list[dict[str, Any]] = next(one for one in site.world.received if one.data["task_id"] == task_id).data[
        "archive"
    ]
    return found


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    with file_server(FILES) as url:
        yield url


@pytest.fixture(scope="module", params=["folder", "bucket"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    http = {"public_url": PUBLIC}
    if request.param == "folder":
        with running_site(folder, http=http, routes=ROUTES, archive={"to": "archive"}) as running:
            yield running
        return
    with s3_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(url).items():
            patch.setenv(name, value)
        with running_site(folder, http=http, routes=ROUTES, archive={"to": f"s3://{BUCKET}/x"}) as running:
            yield running


def local(url: str) -> str:
    assert url.startswith(f"{PUBLIC}/results/")
    return url.removeprefix(PUBLIC)


def test_a_link_gives_the_file_without_a_token_and_supports_ranges(site: Site, files: str) -> None:
    [copy] = archived(site, files, "film", videos=["/film.mp4"])
    link, film = local(copy["url"]), FILES["/film.mp4"]

    whole = site.stranger.get(link)
    assert (whole.status_code, whole.content) == (200, film)
    assert whole.headers["content-type"] == copy["media_type"] == "video/mp4"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-disposition"].startswith("inline")
    for given, start, stop in (
        ("bytes=100-199", 100, 200),
        ("bytes=299000-", 299_000, len(film)),
        ("bytes=-5", -5, None),
    ):
        part = site.stranger.get(link, headers={"Range": given})
        assert (part.status_code, part.content) == (206, film[start:stop])
    assert site.stranger.get(link, headers={"Range": "bytes=999999-"}).status_code == 416
    head = site.stranger.head(link, headers={"Range": "lines=1-2"})
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(film)))


def test_an_unsatisfiable_range_gets_a_problem_and_a_malformed_one_the_file(site: Site, files: str) -> None:
    [copy] = archived(site, files, "ranges", videos=["/film.mp4"])
    link, film = local(copy["url"]), FILES["/film.mp4"]

    for given in ("bytes=999999-", "bytes=-0", "bytes=400000-400001,500000-"):
        answer = site.stranger.get(link, headers={"Range": given})
        assert (answer.status_code, answer.headers["content-type"]) == (416, "application/problem+json")
        assert answer.headers["content-range"] == f"bytes */{len(film)}"
        assert answer.json()["detail"] == f"the file has {len(film)} bytes, and none in this range"
    for given in ("bytes=5-2", "lines=0-1", "bytes=x", "bytes", "bytes=", "bytes=0-1,x", "bytes=-"):
        answer = site.stranger.get(link, headers={"Range": given})
        assert (answer.status_code, answer.content) == (200, film), given
    part = site.stranger.get(link, headers={"Range": "bytes=0-1,999999-"})
    assert (part.status_code, part.content) == (206, film[:2])


def test_a_file_that_the_client_has_is_not_sent_again(site: Site, files: str) -> None:
    [copy] = archived(site, files, "known", videos=["/film.mp4"])
    link, film = local(copy["url"]), FILES["/film.mp4"]
    whole = site.stranger.head(link).headers
    if "etag" not in whole:
        return  # files in this bucket have no version
    tag, day = whole["etag"], whole["last-modified"]

    for known in ({"If-None-Match": tag}, {"If-None-Match": f'"x", W/{tag}'}, {"If-Modified-Since": day}):
        answer = site.stranger.get(link, headers=known)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    old = "Sat, 01 Nov 2025 12:00:00 GMT"
    for other in (
        {"If-None-Match": '"x"', "If-Modified-Since": day},
        {"If-Modified-Since": old},
        {"If-Modified-Since": "x"},
    ):
        assert site.stranger.get(link, headers=other).content == film
    for version, status in ((tag, 206), (day, 206), ('"x"', 200), (f"W/{tag}", 200)):
        answer = site.stranger.get(link, headers={"Range": "bytes=0-9", "If-Range": version})
        assert answer.status_code == status


def test_pages_and_drawings_are_only_saved(site: Site, files: str) -> None:
    drawing, page = archived(site, files, "mixed", images=["/draw.svg"], files=["/page.html"])

    for copy, media_type in ((drawing, "image/svg+xml"), (page, "text/html")):
        answer = site.stranger.get(local(copy["url"]))
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == media_type
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]


def raw(site: Site, target: str) -> int:
    """The status of the answer to a request with exactly this target."""
    host = urlsplit(site.url).netloc
    with socket.create_connection((host.partition(":")[0], int(host.partition(":")[2])), timeout=20) as wire:
        wire.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return int(wire.recv(4096).split(b" ")[1])


def test_only_signed_copies_can_be_downloaded(site: Site, files: str) -> None:
    [copy] = archived(site, files, "closed", videos=["/film.mp4"])
    link, path = urlsplit(local(copy["url"])), copy["path"]
    other = f"/results/{path.rpartition('.')[0].removesuffix('-1')}.json?{link.query}"
    forged = local(copy["url"])[:-1] + ("A" if copy["url"][-1] != "A" else "B")
    targets = [other, forged, f"/results/{path}", "/results/", "/results", f"/results/?{link.query}"]
    targets += [
        f"/results/{path}?expires=99999999999&{link.query.partition('&')[2]}",
        f"/results//etc/passwd?{link.query}",
    ]
    targets += [f"/results/{up}etc/passwd?{link.query}" for up in ("../../../", "..%2f..%2f", "%2e%2e/%2e%2e/")]

    assert {target: raw(site, target) for target in targets} == dict.fromkeys(targets, 404)


def test_links_forged_with_the_key_cannot_leave_the_archive(site: Site, files: str) -> None:
    archived(site, files, "key", videos=["/film.mp4"])
    key = store_key(site.folder)
    (site.folder / "secret.txt").write_text("canary")
    inside = site.folder / "archive"
    if inside.is_dir():
        (inside / "link.mp4").symlink_to(site.folder / "secret.txt")
        (inside / "up").symlink_to(site.folder)
    for path in ("../secret.txt", "x/../../secret.txt", "link.mp4", "up/secret.txt", ".partial/x", "/etc/passwd", ""):
        target = result_link(key, path, expires_s=int(time.time()) + 60)
        assert raw(site, target) == 404, path
    expired = result_link(key, "a.mp4", expires_s=int(time.time()) - 1)
    assert raw(site, expired) == 410


def store_key(folder: Path) -> bytes:
    import sqlite3

    with sqlite3.connect(folder / "state.db") as store:
        found: bytes = store.execute("SELECT key FROM keys WHERE purpose = 'results'").fetchone()[0]
        return found


def test_revoked_links_are_void_and_later_ones_work(site: Site, files: str) -> None:
    [before] = archived(site, files, "before", videos=["/film.mp4"])
    assert site.stranger.get(local(before["url"])).status_code == 200

    assert completed("revoke-links", "-c", site.folder / "genbridge.yaml").returncode == 0

    assert site.stranger.get(local(before["url"])).status_code == 404
    [after] = archived(site, files, "after", videos=["/film.mp4"])
    assert site.stranger.get(local(after["url"])).status_code == 200


def test_the_page_shows_each_task_its_own_copy_of_equal_urls(site: Site, files: str) -> None:
    paths = [archived(site, files, name, videos=["/film.mp4"])[0]["path"] for name in ("equal-1", "equal-2")]

    def shows_both() -> bool:
        page = site.client.get("/", follow_redirects=True).text
        return all(f"/results/{path}" in page for path in paths)

    until(shows_both, seconds=10, what="the links to both copies")


def test_the_page_finds_all_copies_in_a_distant_bucket(tmp_path: Path, files: str) -> None:
    with (
        s3_server() as server,
        distant(server, pause_s=0.05) as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment(url).items():
            patch.setenv(name, value)
        archive = {"to": f"s3://{BUCKET}/x"}
        with running_site(tmp_path, http={"public_url": PUBLIC}, routes=ROUTES, archive=archive) as site:
            urls = [f"/film.mp4?{number}" for number in range(8)]
            paths = [archived(site, files, f"seen-{url[-1]}", videos=[url])[0]["path"] for url in urls]

            def shows_all() -> bool:
                page = site.client.get("/", follow_redirects=True).text
                return all(f"/results/{path}" in page for path in paths)

            until(shows_all, seconds=10, what="the links to all copies")


def test_a_link_names_no_bucket_while_the_bucket_is_down(tmp_path: Path, files: str) -> None:
    with ExitStack() as bucket, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(bucket.enter_context(s3_server())).items():
            patch.setenv(name, value)
        archive = {"to": f"s3://{BUCKET}/x"}
        with running_site(tmp_path, http={"public_url": PUBLIC}, routes=ROUTES, archive=archive) as site:
            [copy] = archived(site, files, "film", videos=["/film.mp4"])
            bucket.close()
            answer = site.stranger.get(local(copy["url"]))
    assert (answer.status_code, answer.json()["detail"]) == (503, "the copy cannot be read now; try again later")


def test_a_problem_is_answered_as_a_document(site: Site) -> None:
    answer: httpx.Response = site.stranger.get("/results/a.mp4")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "unknown link"
