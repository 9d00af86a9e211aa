"""Downloads of results that are cut, resumed, stalled, too long, or something else."""

from __future__ import annotations

import base64
import gzip
import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from bridge.archive.part_file import PartFile
from bridge.domain.delivery import Accepted, Deferred, Undeliverable
from bridge.net.outside_client import Pace
from tests.archive.copies import FOLDER, MP4, archive_in, copied, files, finished, ranges, sha256
from tests.loopback import Exchange, answers, loopback
from tests.sinks.samples import ENDED_AT

PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


async def test_a_download_that_is_cut_is_resumed(tmp_path: Path) -> None:
    body = MP4 * 30
    async with loopback(ranges(body, cut_at=100_000)) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Accepted)
    assert (tmp_path / FOLDER / "cat-1.mp4").read_bytes() == body
    asked = [one.headers.get("range") for one in server.asked]
    assert asked == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]


async def test_synced_bytes_are_used_by_the_next_attempt(tmp_path: Path) -> None:
    body = MP4 * 30
    part = tmp_path / ".partial"
    async with loopback(ranges(body)) as server:
        event = finished(f"{server.url}/a.mp4")
        with PartFile(part / f"{event.event_id[4:12]}-1") as begun:
            begun.restart(f"{server.url}/a.mp4", '"v1"')
            begun.write([body[:50_000]])
            begun.sync()
            begun.write([b"lost in a power cut"])
        await copied(archive_in(tmp_path), event)

    assert [one.headers.get("range") for one in server.asked] == ["bytes=50000-"]
    assert (tmp_path / FOLDER / "cat-1.mp4").read_bytes() == body


async def test_a_file_that_has_changed_at_the_server_begins_again(tmp_path: Path) -> None:
    async with loopback(ranges(MP4 * 2, etag='"v2"')) as server:
        event = finished(f"{server.url}/a.mp4")
        with PartFile(tmp_path / ".partial" / f"{event.event_id[4:12]}-1") as begun:
            begun.restart(f"{server.url}/a.mp4", '"v1"')
            begun.write([b"something else"])
            begun.sync()
        await copied(archive_in(tmp_path), event)

    assert (tmp_path / FOLDER / "cat-1.mp4").read_bytes() == MP4 * 2


async def test_a_cut_download_with_an_etag_beyond_ascii_begins_again(tmp_path: Path) -> None:
    lengths = iter((50_000, len(MP4) * 30))

    async def cut_once(exchange: Exchange) -> None:
        head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(MP4) * 30}\r\nETag: "\u00e9"\r\n\r\n'
        await exchange.raw(head.encode() + (MP4 * 30)[: next(lengths)])
        await exchange.close()

    async with loopback(cut_once) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Accepted)
    assert (tmp_path / FOLDER / "cat-1.mp4").read_bytes() == MP4 * 30


async def test_a_server_that_resumes_at_the_wrong_position_damages_no_file(tmp_path: Path) -> None:
    body = MP4 * 30
    async with loopback(ranges(body, cut_at=200_000, honest=False)) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert "wrong position" in outcome.reason
    assert not (tmp_path / FOLDER / "cat-1.mp4").exists()


async def test_a_content_range_with_a_huge_number_is_a_wrong_position(tmp_path: Path) -> None:
    body, many = MP4 * 30, "9" * 5000

    async def script(exchange: Exchange) -> None:
        if exchange.asked.headers.get("range") is None:
            head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nETag: "v1"\r\n\r\n'
            await exchange.raw(head.encode() + body[:50_000])
            return await exchange.close()
        await exchange.answer(206, body[50_000:], {"ETag": '"v1"', "Content-Range": f"bytes 50000-{many}/{many}"})

    async with loopback(script) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert "wrong position" in outcome.reason


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"v2"', "Content-Range": f"bytes 50000-{len(MP4) * 30 - 1}/{len(MP4) * 30}"},
        {"ETag": '"v1"', "Content-Range": "bytes 50000-50003/50004"},
        {"Content-Range": "bytes 50000-50003/50004"},
    ],
)
async def test_the_rest_of_another_file_is_not_appended(tmp_path: Path, headers: Mapping[str, str]) -> None:
    body = MP4 * 30

    async def ignores_if_range(exchange: Exchange) -> None:
        if exchange.asked.headers.get("range") is None:
            head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nETag: "v1"\r\n\r\n'
            await exchange.raw(head.encode() + body[:50_000])
            return await exchange.close()
        size = 4 if "50004" in headers["Content-Range"] else len(body) - 50_000
        await exchange.answer(206, b"x" * size, headers)

    async with loopback(ignores_if_range) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert "the file at the server has changed" in outcome.reason
    assert not (tmp_path / FOLDER / "cat-1.mp4").exists()


@pytest.mark.parametrize(
    ("status", "body", "headers", "reason"),
    [
        (200, PAGE, {"Content-Type": "video/mp4"}, "page"),
        (200, b'{"error": "expired"}', {"Content-Type": "video/mp4"}, "application/json"),
        (200, b"<?xml version='1.0'?><Error>AccessDenied</Error>", {}, "application/xml"),
        (200, b"", {}, "empty"),
        (200, MP4, {"Content-Encoding": "gzip"}, "damaged"),
        (200, gzip.compress(MP4, mtime=0)[:-1], {"Content-Encoding": "gzip"}, "incomplete"),
        (200, MP4, {"Content-Encoding": "br"}, "encoding"),
        (200, MP4, {"Repr-Digest": f"sha-256=:{base64.b64encode(b'x' * 32).decode()}:"}, "sha256"),
        (404, b"", {}, "HTTP 404"),
        (503, b"", {"Retry-After": "7"}, "HTTP 503"),
    ],
)
async def test_a_download_of_something_else_is_retried(
    tmp_path: Path, status: int, body: bytes, headers: dict[str, str], reason: str
) -> None:
    async with loopback(answers(status, body, headers)) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert reason in outcome.reason
    assert outcome.retry_after_s == (7.0 if status == 503 else None)
    assert set(files(tmp_path)) - {f"{FOLDER}/cat.json"} == {
        f".partial/{p.name}" for p in (tmp_path / ".partial").iterdir()
    }


async def test_a_file_that_the_server_always_compresses_is_copied(tmp_path: Path) -> None:
    body = gzip.compress(MP4 * 2) + gzip.compress(MP4)  # a server may compress it piece by piece
    digest = base64.b64encode(bytes.fromhex(sha256(body))).decode()
    headers = {"Content-Encoding": "gzip", "ETag": '"v1"', "Repr-Digest": f"sha-256=:{digest}:"}
    async with loopback(answers(200, body, headers)) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Accepted)
    assert (tmp_path / FOLDER / "cat-1.mp4").read_bytes() == MP4 * 3
    assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_a_compressed_file_cannot_exceed_max_size(tmp_path: Path) -> None:
    written: list[int] = []

    def space(more_bytes: int) -> None:
        written.append(sum(path.stat().st_size for path in (tmp_path / ".partial").glob("*")))

    body = gzip.compress(MP4 + bytes(200_000_000))  # 200 kB
    async with loopback(answers(200, body, {"Content-Encoding": "gzip"})) as server:
        sink = archive_in(tmp_path, most_bytes=3_000_000, space=space)
        outcome = await copied(sink, finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Undeliverable)
    assert "max_size" in outcome.reason
    assert max(written) <= 3_000_000


async def test_a_resumed_file_that_is_now_compressed_begins_again(tmp_path: Path) -> None:
    whole = ranges(MP4 * 30, cut_at=100_000)

    async def script(exchange: Exchange) -> None:
        if "range" not in exchange.asked.headers:
            return await whole(exchange)
        headers = {"Content-Encoding": "gzip", "Content-Range": f"bytes 100000-{len(MP4) * 30 - 1}/{len(MP4) * 30}"}
        await exchange.answer(206, gzip.compress((MP4 * 30)[100_000:]), headers)

    async with loopback(script) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert "wrong position" in outcome.reason
    assert not list(tmp_path.rglob("*.mp4"))


async def test_a_stated_sha256_that_is_right_is_accepted(tmp_path: Path) -> None:
    digest = base64.b64encode(bytes.fromhex(sha256(MP4))).decode()
    async with loopback(answers(200, MP4, {"x-amz-checksum-sha256": digest})) as server:
        assert isinstance(await copied(archive_in(tmp_path), finished(f"{server.url}/a")), Accepted)


async def test_a_refusal_is_final_once_the_url_has_expired(tmp_path: Path) -> None:
    async with loopback(answers(403)) as server:
        event = finished(f"{server.url}/a.mp4", expires_ms=int(ENDED_AT * 1000) + 30_000)
        early = await copied(archive_in(tmp_path, now=ENDED_AT + 10), event)
        late = await copied(archive_in(tmp_path, now=ENDED_AT + 60), event)

    assert isinstance(early, Deferred)
    assert isinstance(late, Undeliverable)
    assert "expired" in late.reason


@pytest.mark.parametrize("has_length", [True, False])
async def test_a_body_beyond_max_size_is_left(tmp_path: Path, has_length: bool) -> None:
    async def script(exchange: Exchange) -> None:
        length = "Content-Length: 999999999999\r\n" if has_length else ""
        await exchange.raw(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode() + MP4)
        while True:  # never ends
            await exchange.raw(bytes(100_000))

    async with loopback(script) as server:
        outcome = await copied(archive_in(tmp_path, most_bytes=3_000_000), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Undeliverable)
    assert "max_size" in outcome.reason
    assert files(tmp_path).keys() == {f"{FOLDER}/cat.json"}  # no unfinished file is left for another attempt


async def test_a_body_without_a_length_is_complete_if_two_downloads_are_equal(tmp_path: Path) -> None:
    ends = iter([5000, 700, len(MP4), len(MP4)])

    async def script(exchange: Exchange) -> None:
        await exchange.raw(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\n\r\n' + MP4[: next(ends)])
        await exchange.close()

    async with loopback(script) as server:
        assert isinstance(await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4")), Accepted)

    assert len(server.asked) == 4
    assert not any("range" in asked.headers for asked in server.asked)
    assert files(tmp_path)[f"{FOLDER}/cat-1.mp4"] == MP4


async def test_a_body_of_unknown_length_that_is_always_cut_is_not_copied(tmp_path: Path) -> None:
    ends = itertools.count(100)

    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\n\r\n" + MP4[: next(ends)])
        await exchange.close()

    async with loopback(script) as server:
        outcome = await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert "does not state the length of the file" in outcome.reason
    assert not list(tmp_path.rglob("*.mp4"))


async def test_a_chunked_body_says_where_it_ends(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await exchange.raw(head + f"{len(MP4):x}\r\n".encode() + MP4 + b"\r\n0\r\n\r\n")

    async with loopback(script) as server:
        assert isinstance(await copied(archive_in(tmp_path), finished(f"{server.url}/a.mp4")), Accepted)

    assert len(server.asked) == 1


async def test_a_server_that_stalls_is_left_and_what_came_is_kept(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 900000\r\n\r\n' + MP4)
        await exchange.hang()

    async with loopback(script) as server:
        outcome = await copied(archive_in(tmp_path, pace=Pace(stall_s=0.2)), finished(f"{server.url}/a.mp4"))

    assert isinstance(outcome, Deferred)
    assert "the server sent nothing" in outcome.reason
    assert any(name.startswith(".partial/") and content == MP4 for name, content in files(tmp_path).items())
