"""Results are fetched once for all that attach them, and are kept within bounds."""

from __future__ import annotations

from functools import partial
from typing import Final

import anyio

from bridge.domain.ids import WatchKey
from bridge.net.outside_client import OutsideClient
from bridge.sinks.attached_files import ResultFiles
from bridge.sinks.chat_cards import CardLink
from tests.loopback import answers, loopback
from tests.sinks.test_attachments import VIDEO, serve_result

KEY: Final = WatchKey("kling", "task-1")


async def test_targets_that_want_a_file_at_the_same_time_share_one_fetch() -> None:
    async with loopback(serve_result) as server:
        files = ResultFiles(OutsideClient(hosts=["127.0.0.1"]), most_bytes=8_000_000, within_s=20)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(
                    partial(
                        files.fetch,
                        [CardLink(label="", kind="videos", url=f"{server.url}/a.mp4")],
                        most_bytes=8_000_000,
                        task=KEY,
                    )
                )
    assert len(server.asked) == 1


async def test_files_are_kept_within_bounds() -> None:
    async with loopback(answers(200, VIDEO[:600], {"content-type": "video/mp4"})) as server:
        files = ResultFiles(OutsideClient(hosts=["127.0.0.1"]), most_bytes=1000, within_s=20)
        for name in ("a", "b", "c", "d"):
            [file] = await files.fetch(
                [CardLink(label="", kind="videos", url=f"{server.url}/{name}.mp4")], most_bytes=1000, task=KEY
            )
            assert len(file.content) == 600
        await files.fetch([CardLink(label="", kind="videos", url=f"{server.url}/d.mp4")], most_bytes=1000, task=KEY)
        assert len(server.asked) == 4
        await files.fetch([CardLink(label="", kind="videos", url=f"{server.url}/a.mp4")], most_bytes=1000, task=KEY)
        assert len(server.asked) == 5, "the oldest were dropped"
