"""Results as files for group robots: each request is checked against the limits that the service documents."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from bridge.domain.delivery import Accepted, Deferred, Outcome
from bridge.domain.event import Event, Topic
from bridge.domain.task import Snapshot
from bridge.net.outside_client import OutsideClient
from bridge.sinks.attached_files import MOST_FILES, ReadCopy, ResultFiles
from bridge.sinks.chat_services import ROBOTS
from bridge.sinks.chat_services.chat_service import Chat
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.robot import RobotSink
from tests.loopback import Asked, Exchange, loopback
from tests.sinks.posting import deliver, post_to
from tests.sinks.samples import COPY, SUCCEEDED, as_delivery, task_sample
from tests.stopwatch import until

VIDEO: Final = b"\x00\x00\x00\x18ftypmp42" + random.Random(1).randbytes(5000)
PNG: Final = b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(3000)
MP3: Final = b"ID3" + random.Random(3).randbytes(3000)
TYPES: Final = {"mp4": ("video/mp4", VIDEO), "png": ("image/png", PNG), "mp3": ("audio/mpeg", MP3)}


@dataclass(frozen=True)
class Part:
    """One part of a form."""

    name: str
    file_name: str | None
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Sent:
    """One request at the service: its method in the path, its form or its JSON."""

    method: str
    query: Mapping[str, Sequence[str]]
    parts: Mapping[str, Part]
    message: Any

    @property
    def files(self) -> dict[str, bytes]:
        return {name: part.content for name, part in self.parts.items() if part.file_name is not None}

    def field(self, name: str) -> str:
        assert self.parts[name].file_name is None
        return self.parts[name].content.decode()


def parsed(asked: Asked) -> Sent:
    """The request, as a parser of another kind reads it."""
    split = urlsplit(asked.target)
    kind = asked.headers["content-type"]
    if kind == "application/json":
        return Sent(split.path.rpartition("/")[2], parse_qs(split.query), {}, json.loads(asked.body))
    whole = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + asked.body, policy=HTTP)
    assert whole.get_content_type() == "multipart/form-data"
    parts = {}
    for each in whole.iter_parts():
        content, name = each.get_payload(decode=True), str(each.get_param("name", header="content-disposition"))
        assert isinstance(content, bytes)
        parts[name] = Part(name, each.get_filename(), each.get_content_type(), content)
    return Sent(split.path.rpartition("/")[2], parse_qs(split.query), parts, None)


def telegram_accepts(sent: Sent) -> None:
    """The Bot API: one file by its own method, or an album of 2 to 10; captions of up to 1024 characters."""
    if sent.message is not None:
        assert sent.method == "sendMessage"
        return
    assert sent.field("chat_id") == "-42"
    captions = [sent.parts["caption"].content.decode()] if "caption" in sent.parts else []
    if sent.method == "sendMediaGroup":
        media = json.loads(sent.field("media"))
        assert 2 <= len(media) <= 10
        kinds = {each["type"] for each in media}
        assert kinds <= {"photo", "video"} or len(kinds) == 1
        assert [each["media"] for each in media] == [f"attach://{name}" for name in sent.files]
        captions = [each["caption"] for each in media if "caption" in each]
        assert len(captions) <= 1
    else:
        [name] = sent.files
        assert sent.method == f"send{name.capitalize()}"
        assert name in {"photo", "video", "audio", "document"}
    for text in captions:
        assert 1 <= len(re.sub(r"<[^>]*>", "", text)) <= 1024
    for name, content in sent.files.items():
        assert len(content) <= (10_000_000 if name == "photo" else 50_000_000)


def discord_accepts(sent: Sent) -> None:
    """At most 10 files of 10 MiB, and a content of at most 2000 characters."""
    message = sent.message or json.loads(sent.field("payload_json"))
    assert sent.message is None or "attachments" not in sent.message
    assert message["allowed_mentions"] == {"parse": []}
    assert len(message.get("content", "").encode("utf-16-le")) // 2 <= 2000
    assert message.get("content") or message.get("embeds") or sent.files
    assert list(sent.files) == [f"files[{number}]" for number in range(len(sent.files))]
    assert len(sent.files) <= 10
    assert all(len(content) <= 10 << 20 for content in sent.files.values())


def wecom_accepts(sent: Sent) -> None:
    """A picture of up to 2 MB inside the message; an upload of 6 bytes to 20 MB, and then its id."""
    assert sent.query["key"] == ["k"]
    if sent.method == "upload_media":
        assert sent.query["type"] == ["file"]
        [content] = sent.files.values()
        assert "media" in sent.files
        assert 5 < len(content) <= 20_000_000
        return
    assert sent.method == "send"
    if sent.message["msgtype"] == "image":
        content = base64.b64decode(sent.message["image"]["base64"], validate=True)
        assert len(content) <= 2 << 20
        assert content.startswith((b"\x89PNG", b"\xff\xd8\xff"))
        assert sent.message["image"]["md5"] == hashlib.md5(content).hexdigest()
    if sent.message["msgtype"] == "file":
        assert sent.message["file"]["media_id"]


ACCEPTS: Final[Mapping[str, Callable[[Sent], None]]] = {
    "telegram": telegram_accepts,
    "discord": discord_accepts,
    "wecom": wecom_accepts,
}
PATHS: Final = {"telegram": "/botT", "discord": "/api/webhooks/1/x", "wecom": "/cgi-bin/webhook/send?key=k"}
FINE: Final = {
    "telegram": b'{"ok": true, "result": {}}',
    "discord": b'{"id": "1"}',
    "wecom": b'{"errcode": 0, "errmsg": "ok", "media_id": "m-1"}',
}
REFUSES: Final = {
    "telegram": (400, b'{"ok": false, "error_code": 400, "description": "Bad Request: wrong file"}'),
    "discord": (413, b'{"message": "Request entity too large", "code": 40005}'),
    "wecom": (200, b'{"errcode": 40004, "errmsg": "invalid media type"}'),
}


@dataclass
class Service:
    """A chat service, and a server of results."""

    format: str
    url: str
    origin: str
    answer: Callable[[Sent], tuple[int, bytes]]
    asked: list[Asked] = field(default_factory=list)
    fetched: list[Asked] = field(default_factory=list)

    @property
    def sent(self) -> list[Sent]:
        found = list(map(parsed, self.asked))
        for each in found:
            if self.format in ACCEPTS:
                ACCEPTS[self.format](each)
        return found

    def event(self, *names: str, kind: str = "videos", **more: Any) -> Event:
        urls = tuple(f"{self.origin}/{name}?sign=a%2Fb" for name in names)
        items = [{"url": url, "duration": "5.1"} for url in urls]
        return task_sample(snapshot=SUCCEEDED._replace(result={kind: items}, urls=urls, **more), label="Lighthouse")


@asynccontextmanager
async def service(
    format: str,
    *,
    answer: Callable[[Sent], tuple[int, bytes]] | None = None,
    most_bytes: int = 8_000_000,
    read_copy: ReadCopy | None = None,
    handle: Callable[[Exchange], Awaitable[None]] | None = None,
) -> AsyncIterator[tuple[Service, RobotSink]]:
    fine = answer or (lambda sent: (200, FINE.get(format, b'{"code": 0, "errcode": 0, "ok": true}')))

    async def chat(exchange: Exchange) -> None:
        await exchange.answer(*fine(parsed(exchange.asked)))

    async def results(exchange: Exchange) -> None:
        name = exchange.asked.target.partition("?")[0]
        media_type, content = TYPES[name.rpartition(".")[2]]
        await exchange.answer(200, content, {"content-type": media_type})

    async with (
        loopback(handle or chat) as robot,
        loopback(results) as files,
        post_to(f"{robot.url}{PATHS.get(format, '/')}") as post,
    ):
        client = OutsideClient(hosts=["127.0.0.1"])
        sink = RobotSink(
            name="team",
            format=format,
            settings=post,
            secret=None,
            title=None,
            body=None,
            chat=Chat(chat_id="-42"),
            style=ChatStyle(files=True),
            files=ResultFiles(client, most_bytes=most_bytes, within_s=20.0, read_copy=read_copy),
        )
        yield Service(format, robot.url, files.url, fine, robot.asked, files.asked), sink


def accepted(outcome: Outcome) -> str:
    assert isinstance(outcome, Accepted), outcome
    return outcome.detail


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
async def test_a_service_that_takes_no_files_gets_the_link_and_nothing_is_fetched(format: str) -> None:
    async with service(format) as (chat, sink):
        detail = accepted(await deliver(sink, chat.event("a.mp4")))

        assert "takes no files" in detail
        assert len(chat.sent) == 1
        assert chat.fetched == []


@pytest.mark.parametrize("format", ACCEPTS)
async def test_a_file_that_is_too_large_is_sent_as_a_link_without_an_upload(format: str) -> None:
    async with service(format, most_bytes=4000) as (chat, sink):
        detail = accepted(await deliver(sink, chat.event("a.mp4")))

        assert "sent as a link: larger than" in detail
        assert [each.files for each in chat.sent] == [{}]


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
        assert held.holds_queue
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


async def test_more_results_than_an_album_holds_and_results_for_the_key_are_links() -> None:
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


async def test_a_copy_that_is_gone_or_too_large_is_fetched_from_its_url() -> None:
    async with service("telegram", read_copy=lambda path, most_bytes: None) as (telegram, sink):
        event = telegram.event("a.mp4")
        accepted(await deliver(sink, replace(event, data={**event.data, "archive": [COPY]})))

        assert [each.method for each in telegram.sent] == ["sendVideo"]
        assert len(telegram.fetched) == 1
