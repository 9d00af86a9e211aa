"""500 streams at one daemon: each gets every event in order, and memory does not grow."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

import pytest

from tests.http.site import READ_TOKEN, running_site

pytestmark = pytest.mark.usefixtures("unmeasured")

STREAMS: Final = 500
ROUND: Final = 40  # events


class _Counting(asyncio.Protocol):
    """Reads one stream and records the ids of its events."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.has_begun = asyncio.Event()
        self.ids: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"retry:"):
                self.has_begun.set()
            elif found := re.fullmatch(rb"id: (\d+)", line):
                self.ids.append(int(found[1]))


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@pytest.mark.usefixtures("unmeasured_programs")
@pytest.mark.long
@pytest.mark.timeout(180)
def test_five_hundred_streams_get_every_event_and_memory_stays_flat(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        port = int(site.url.rpartition(":")[2])
        request = (
            f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {READ_TOKEN}\r\n\r\n"
        ).encode()

        async def arrived(streams: list[_Counting], count: int) -> None:
            async with asyncio.timeout(60):
                while any(len(stream.ids) < count for stream in streams):
                    await asyncio.sleep(0.05)

        async def follow() -> list[float]:
            loop = asyncio.get_running_loop()
            streams: list[_Counting] = []
            transports: list[asyncio.Transport] = []
            for _ in range(STREAMS):
                transport, stream = await loop.create_connection(lambda: _Counting(request), "127.0.0.1", port)
                transports.append(transport)
                streams.append(stream)
            for stream in streams:
                await asyncio.wait_for(stream.has_begun.wait(), 60)
            used = []
            for round_ in range(4):
                ids = [f"{round_}-{number}" for number in range(ROUND)]
                await asyncio.to_thread(lambda ids=ids: site.add(*ids, seconds=0))  # type: ignore[misc]
                await arrived(streams, ROUND * (round_ + 1))
                used.append(rss_mb(site.daemon.pid))
            for stream in streams:
                assert stream.ids == streams[0].ids == sorted(set(stream.ids))
            for transport in transports:
                transport.abort()
            await asyncio.sleep(0.1)  # each is closed in the next turn of the loop
            return used

        used = asyncio.run(follow())
        assert used[-1] - used[0] < 8, used
