"""Results as files for group robots."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

import anyio
import pytest

from bridge.domain.delivery import Deferred
from bridge.domain.event import Topic
from bridge.domain.task import Snapshot
from bridge.sinks.attached_files import MOST_FILES
from bridge.sinks.chat_services import ROBOTS
from tests.loopback import Exchange
from tests.sinks.file_services import ACCEPTS, FINE, PNG, TYPES, VIDEO, Sent, accepted, service
from tests.sinks.posting import deliver
from tests.sinks.samples import COPY, as_delivery, task_sample
from tests.stopwatch import until

REFUSES: Final = {
    "telegram": (400, b'{"ok": false, "error_code": 400, "description": "Bad Request: wrong file"}'),
    "discord": (413, b'{"message": "Request entity too large", "code": 40005}'),
    "wecom": (200, b'{"errcode": 40004, "errmsg": "invalid media type"}'),
}


@pytest.mark.parametrize(
    ("names", "kind", "methods"),
    [
        (["a.mp4"], "videos", ["sendVideo"]),
        (["a.png"], "images", ["sendPhoto"]),
        (["a.mp3"], "audios", ["sendAudio"]),
        (["a.png", "b.png", "c.png", "d.png"], "images", ["sendMediaGroup"]),
        (["a.mp3", "b.mp3"], "audios", ["sendMediaGroup"]),
        (["a.mp4", "b.mp3"], "files", ["sendMessage", "sendVideo", "sendAudio"]),
    ],
)
async def test_telegram_gets_the_files_with_the_text_as_caption(
    names: list[str], kind: str, methods: list[str]
) -> None:
    async with service("telegram") as (telegram, sink):
        detail = accepted(await deliver(sink, telegram.event(*names, kind=kind)))

        assert [each.method for each in telegram.sent] == methods
        files = [content for each in telegram.sent for content in each.files.values()]
        assert files == [TYPES[name.rpartition(".")[2]][1] for name in names]
        assert detail.endswith("1 file attached" if len(names) == 1 else f"{len(names)} files attached")
        if methods[0] != "sendMessage":
            first = telegram.sent[0]
            said = first.field("caption") if len(names) == 1 else json.loads(first.field("media"))[0]["caption"]
            assert said.startswith("<b>")
            assert "?sign=a%2Fb" in said


async def test_discord_gets_text_and_files_in_one_message() -> None:
    async with service("discord") as (discord, sink):
        assert "2 files attached" in accepted(await deliver(sink, discord.event("a.png", "b.png", kind="images")))

        [sent] = discord.sent
        assert [part.file_name for part in sent.parts.values()] == [None, "a.png", "b.png"]
        assert list(sent.files.values()) == [PNG, PNG]
        content = json.loads(sent.field("payload_json"))["content"]
        assert content.startswith("**🖼️ Lighthouse**")
        assert f"(<{discord.origin}/a.png?sign=a%2Fb>)" in content  # no second picture of the same


@pytest.mark.parametrize(
    ("names", "kind", "types"),
    [
        (["a.mp4"], "videos", ["upload", "text", "file"]),
        (["a.png", "b.png"], "images", ["text", "image", "image"]),
    ],
)
async def test_wecom_gets_pictures_and_files_after_the_text(names: list[str], kind: str, types: list[str]) -> None:
    async with service("wecom") as (wecom, sink):
        accepted(await deliver(sink, wecom.event(*names, kind=kind)))

        assert [each.message["msgtype"] if each.message else "upload" for each in wecom.sent] == types
        if types[-1] == "file":
            assert wecom.sent[-1].message["file"] == {"media_id": "m-1"}
            assert list(wecom.sent[0].files.values()) == [VIDEO]


async def test_a_stop_during_an_upload_to_wecom_does_not_repeat_the_text() -> None:
    hangs = True

    async def answered(exchange: Exchange) -> None:
        if hangs and exchange.asked.target.startswith("/cgi-bin/webhook/upload_media"):
            await anyio.sleep_forever()
        await exchange.answer(200, FINE["wecom"])

    async with service("wecom", handle=answered) as (wecom, sink):
        event = wecom.event("a.mp4")
        [parcel] = sink.parcels(event)
        async with anyio.create_task_group() as group:
            group.start_soon(sink.deliver, as_delivery(parcel, event))
            await until(lambda: bool(wecom.asked))
            group.cancel_scope.cancel()  # as when the daemon stops
        hangs = False
        accepted(await sink.deliver(as_delivery(parcel, event)))
        said = [each.message["msgtype"] if each.message else "upload" for each in wecom.sent]
        assert said.count("text") == 1
        assert said[-2:] == ["text", "file"]


@pytest.mark.parametrize("format", ACCEPTS)
async def test_files_follow_a_text_of_the_operators_own(format: str) -> None:
    async with service(format, body="{{ label }} in {{ duration }}") as (chat, sink):
        detail = accepted(await deliver(sink, chat.event("a.mp4")))

        assert detail.endswith("1 file attached")
        shown = [each for each in chat.sent if each.method != "upload_media"]
        assert "Lighthouse in 2 min 6 s" in json.dumps(shown[0].message)
        assert "a.mp4" not in json.dumps(shown[0].message)
        assert [content for each in chat.sent for content in each.files.values()] == [VIDEO]


async def test_an_upload_without_an_id_becomes_a_link() -> None:
    async with service("wecom", answer=lambda sent: (200, b'{"errcode": 0, "errmsg": "ok"}')) as (wecom, sink):
        detail = accepted(await deliver(sink, wecom.event("a.mp4")))

        assert "sent as a link: the service refused the file" in detail
        assert [each.message["msgtype"] if each.message else "upload" for each in wecom.sent] == ["upload", "text"]


@pytest.mark.parametrize("format", ACCEPTS)
async def test_a_refused_file_becomes_a_link_in_the_same_attempt(format: str) -> None:
    def answer(sent: Sent) -> tuple[int, bytes]:
        return REFUSES[format] if sent.files else (200, FINE[format])

    async with service(format, answer=answer) as (chat, sink):
        detail = accepted(await deliver(sink, chat.event("a.mp4")))

        assert "sent as a link: the service refused the file" in detail
        texts = [each for each in chat.sent if each.message is not None]
        assert len(texts) == 1
        assert f"{chat.origin}/a.mp4?sign=a%2Fb" in json.dumps(texts[0].message)


@pytest.mark.parametrize("format", [name for name in ROBOTS if name not in ACCEPTS])
async def test_a_service_without_files_gets_the_link_and_nothing_is_fetched(format: str) -> None:
    async with service(format) as (chat, sink):
        detail = accepted(await deliver(sink, chat.event("a.mp4")))

        assert "takes no files" in detail
        assert len(chat.sent) == 1
        assert chat.fetched == []


@pytest.mark.parametrize("format", ACCEPTS)
async def test_a_file_that_is_too_large_is_linked_and_not_uploaded(format: str) -> None:
    async with service(format, most_bytes=4000) as (chat, sink):
        detail = accepted(await deliver(sink, chat.event("a.mp4")))

        assert "sent as a link: larger than" in detail
        assert [each.files for each in chat.sent] == [{}]


@pytest.mark.parametrize("format", ["telegram", "discord"])
async def test_models_in_text_formats_are_attached(format: str) -> None:
    async with service(format) as (chat, sink):
        detail = accepted(await deliver(sink, chat.event("a.obj", "b.gltf", "c.dae", kind="files")))

        assert detail.endswith("3 files attached")
        names = [part.file_name for each in chat.sent for part in each.parts.values() if part.file_name]
        assert names == ["a.obj", "b.gltf", "c.dae"]


async def test_a_file_has_the_type_of_its_content() -> None:
    async with service("telegram") as (telegram, sink):
        accepted(await deliver(sink, telegram.event("a.webm")))

        [part] = [part for each in telegram.sent for part in each.parts.values() if part.file_name]
        assert (part.name, part.file_name, part.media_type) == ("document", "a.webm", "video/webm")


@pytest.mark.parametrize("format", ["telegram", "discord"])
async def test_a_rate_limit_holds_the_queue_and_the_file_is_fetched_once(format: str) -> None:
    limits = {
        "telegram": b'{"ok": false, "error_code": 429, "parameters": {"retry_after": 9}, "description": "x"}',
        "discord": b'{"message": "You are being rate limited.", "retry_after": 9.0, "global": false}',
    }
    answers = iter([(429, limits[format]), (200, FINE[format])])
    async with service(format, answer=lambda sent: next(answers)) as (chat, sink):
        event = chat.event("a.mp4")
        [parcel] = sink.parcels(event)
        held = await sink.deliver(as_delivery(parcel, event))
        assert isinstance(held, Deferred)
        assert held.delays_queue
        accepted(await sink.deliver(as_delivery(parcel, event)))

        assert [len(each.files) for each in chat.sent] == [1, 1]
        assert len(chat.fetched) == 1


async def test_a_caption_that_is_too_long_is_sent_as_a_separate_text() -> None:
    async with service("telegram") as (telegram, sink):
        names = [f"{number}-{'x' * 120}.png" for number in range(9)]
        event = telegram.event(*names, kind="images")
        long = replace(event, data={**event.data, "label": "word " * 20, "reason": "word " * 300})
        accepted(await deliver(sink, long))

        assert [each.method for each in telegram.sent] in (
            ["sendMediaGroup"],
            ["sendMessage", *["sendPhoto"] * len(names)],
        )


async def test_results_beyond_an_album_and_those_needing_the_key_are_links() -> None:
    async with service("telegram") as (telegram, sink):
        many = [f"{number}.png" for number in range(MOST_FILES + 1)]
        assert "more than 10 results" in accepted(await deliver(sink, telegram.event(*many, kind="images")))
        url = f"{telegram.origin}/a.mp4"
        closed = Snapshot(result={"videos": [{"url": url, "needs_key": True}]}, urls=(url,))
        assert "only with the API key" in accepted(await deliver(sink, task_sample(snapshot=closed)))
        assert telegram.fetched == []


@pytest.mark.parametrize("is_closed", [False, True])
async def test_the_copy_in_the_archive_is_attached_and_nothing_is_fetched(is_closed: bool) -> None:
    read: list[str] = []

    def read_copy(path: str, most_bytes: int) -> bytes | None:
        read.append(path)
        return VIDEO if len(VIDEO) <= most_bytes else None

    async with service("telegram", read_copy=read_copy) as (telegram, sink):
        event = telegram.event("a.mp4")
        if is_closed:
            url = f"{telegram.origin}/a.mp4"
            closed = Snapshot(result={"videos": [{"url": url, "needs_key": True}]}, urls=(url,))
            event = task_sample(snapshot=closed)
        with_copies = replace(event, data={**event.data, "archive": [COPY]})
        for each in (with_copies, replace(with_copies, topic=Topic.TASK_ARCHIVED)):
            accepted(await deliver(sink, each))

        assert [each.method for each in telegram.sent] == ["sendVideo", "sendVideo"]
        assert [list(each.files.values()) for each in telegram.sent] == [[VIDEO], [VIDEO]]
        assert telegram.fetched == []
    assert set(read) == {COPY["path"]}


async def test_if_a_copy_is_gone_or_too_large_its_url_is_fetched() -> None:
    async with service("telegram", read_copy=lambda path, most_bytes: None) as (telegram, sink):
        event = telegram.event("a.mp4")
        accepted(await deliver(sink, replace(event, data={**event.data, "archive": [COPY]})))

        assert [each.method for each in telegram.sent] == ["sendVideo"]
        assert len(telegram.fetched) == 1
