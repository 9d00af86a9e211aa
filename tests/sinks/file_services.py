"""Chat services that take files: each request is checked against the limits that the service documents."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from bridge.domain.delivery import Accepted, Outcome
from bridge.domain.event import Event
from bridge.net.outside_client import OutsideClient
from bridge.sinks.attached_files import ReadCopy, ResultFiles
from bridge.sinks.chat_services.chat_service import Chat
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.robot import RobotSink
from tests.loopback import Asked, Exchange, loopback
from tests.sinks.posting import post_to
from tests.sinks.robot_answers import OK
from tests.sinks.samples import SUCCEEDED, task_sample

VIDEO: Final = b"\x00\x00\x00\x18ftypmp42" + random.Random(1).randbytes(5000)
PNG: Final = b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(3000)
MP3: Final = b"ID3" + random.Random(3).randbytes(3000)
OBJ: Final = b"v 1.0 2.0 3.0\nf 1 2 3\n"
GLTF: Final = b'{"asset": {"version": "2.0"}}'
DAE: Final = b"<?xml version='1.0'?><COLLADA/>"
TYPES: Final = {
    "mp4": ("video/mp4", VIDEO),
    "png": ("image/png", PNG),
    "mp3": ("audio/mpeg", MP3),
    "obj": ("text/plain", OBJ),
    "gltf": ("model/gltf+json", GLTF),
    "dae": ("model/vnd.collada+xml", DAE),
    "webm": ("video/mp4", b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm"),
}


@dataclass(frozen=True)
class Part:
    name: str
    file_name: str | None
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Sent:
    """One request to the service: the method from its path, and its form or its JSON."""

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
    """Parse the request with a parser that genbridge does not use."""
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
    body: str | None = None,
    handle: Callable[[Exchange], Awaitable[None]] | None = None,
) -> AsyncIterator[tuple[Service, RobotSink]]:
    fine = answer or (lambda sent: (200, FINE.get(format, OK[format])))

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
            body=body,
            chat=Chat(chat_id="-42"),
            style=ChatStyle(files=True),
            files=ResultFiles(client, most_bytes=most_bytes, within_s=20.0, read_copy=read_copy),
        )
        yield Service(format, robot.url, files.url, fine, robot.asked, files.asked), sink


def accepted(outcome: Outcome) -> str:
    assert isinstance(outcome, Accepted), outcome
    return outcome.detail
