"""Results are fetched once for all that attach them, and reach each service as it takes them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from bridge.domain.delivery import Accepted
from bridge.domain.ids import WatchKey
from bridge.net.outside_client import OutsideClient
from bridge.sinks.attached_files import ResultFiles
from bridge.sinks.chat_cards import CardLink
from tests.loopback import Asked, answers, loopback
from tests.sinks.test_attachments import VIDEO, deliver, serve_result, studio

KEY: Final = WatchKey("kling", "task-1")


def as_slack(asked: Asked) -> tuple[int, bytes]:
    """The API of Slack for a bot. It refuses a message without any text."""
    if asked.target.startswith("/upload/"):
        return 200, b"OK - 1008"
    if "files.getUploadURLExternal" in asked.target:
        return 200, b'{"ok": true, "upload_url": "https://files.slack.com/upload/1", "file_id": "F1"}'
    if asked.target.endswith("chat.postMessage") and not any(
        each["text"] for each in json.loads(asked.body)["attachments"]
    ):
        return 200, b'{"ok": false, "error": "no_text"}'
    return 200, b'{"ok": true, "channel": "C1", "files": [{"id": "F1"}]}'


async def test_a_slack_bot_uploads_the_file_after_the_text(tmp_path: Path) -> None:
    async with studio(tmp_path, as_slack) as here:
        outcome = await deliver(here.sink("slack://xoxb-1234-1234-4ddbaae3f3ac/#general"), here.video())
    assert outcome == Accepted(detail="Slack, 1 file attached")
    texts = [json.loads(each.body)["attachments"][0]["text"] for each in here.sent if "postMessage" in each.target]
    assert "Watch the video" in texts[0]
    assert texts[1:] == ["📎"]
    assert any(VIDEO in each.body for each in here.sent)


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
