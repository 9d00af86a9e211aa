"""A real Matrix homeserver: how the members of a room see every message."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

from bridge.domain.delivery import Accepted
from bridge.net.outside_client import OutsideClient
from bridge.sinks.attached_files import ResultFiles
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.requests_hook import ChatNetwork
from tests.daemon_process import DaemonProcess
from tests.loopback import loopback
from tests.sinks.matrix_server import PASSWORD, MatrixServer, MatrixUser, synapse
from tests.sinks.reading import text_of
from tests.sinks.samples import as_delivery, task_sample
from tests.sinks.test_attachments import PICTURE, VIDEO, Studio, serve_result
from tests.sinks.test_messages import BERLIN, CHINESE, MESSAGES, by_robot
from tests.world import World, drop, running_world, until

pytestmark = [
    pytest.mark.usefixtures("unmeasured"),
    pytest.mark.real,
    pytest.mark.long,
    pytest.mark.together,
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

MEGOLM: Final = "m.megolm.v1.aes-sha2"


@dataclass(frozen=True)
class Room:
    """A room with genbridge's account and a reader."""

    server: MatrixServer
    robot: MatrixUser
    reader: MatrixUser
    room_id: str

    @property
    def url(self) -> str:
        return f"matrixs://robot:{PASSWORD}@localhost:{self.server.tls_port}/{self.room_id}"

    @property
    def url_without_tls(self) -> str:
        return f"matrix://robot:{PASSWORD}@127.0.0.1:{self.server.port}/{self.room_id}"

    def sink(self, url: str, style: ChatStyle, files: ResultFiles | None = None) -> ChatSink:
        return ChatSink(
            name="chat",
            urls=[ChatUrl(text=url, url=url)],
            title=None,
            body=None,
            timeout_s=20,
            network=ChatNetwork(ca_file=str(self.server.ca_file)),
            style=style,
            files=files,
        )

    def read(self) -> list[dict[str, Any]]:
        """The messages as the reader in the room sees them."""
        events = self.reader.messages(self.room_id)
        assert all(event["sender"] == self.robot.user_id for event in events)
        return [event["content"] for event in events]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixServer]:
    with synapse(tmp_path_factory.mktemp("synapse")) as running:
        yield running


@pytest.fixture(scope="module")
def people(server: MatrixServer) -> Iterator[tuple[MatrixUser, MatrixUser]]:
    with server.user("robot") as robot, server.user("reader") as reader:
        yield robot, reader


@pytest.fixture
def room(server: MatrixServer, people: tuple[MatrixUser, MatrixUser]) -> Room:
    robot, reader = people
    return Room(server, robot, reader, robot.room_with(reader))


class _Html(HTMLParser):
    """What a client shows: lines of text, and where links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shown, self.links, self.tags = "", dict[str, str](), set[str]()
        self.href = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.href = dict(attrs).get("href") or ""
        self.shown += "\n" if tag == "br" else ""

    def handle_data(self, data: str) -> None:
        self.shown += data
        if self.href:
            self.links[data] = self.href
        self.href = ""


NAMES: Final = {
    "One video": {"en": ["Watch the video"], "zh": ["观看视频"]},
    "Four images": {"en": ["1", "2", "3", "4"], "zh": ["1", "2", "3", "4"]},
    "A song": {"en": ["Version 1", "Version 2"], "zh": ["版本 1", "版本 2"]},
}


@pytest.mark.parametrize("style", [BERLIN, CHINESE], ids=["en", "zh"])
async def test_a_room_shows_every_message_in_both_of_its_forms(room: Room, style: ChatStyle) -> None:
    url = room.url if style is BERLIN else room.url_without_tls
    sink = room.sink(url, style)
    for event in MESSAGES.values():
        assert await sink.deliver(as_delivery(sink.parcels(event)[0], event)) == Accepted(detail="Matrix")
    read = room.read()
    assert len(read) == len(MESSAGES)
    for (name, event), content in zip(MESSAGES.items(), read, strict=True):
        [robot] = await by_robot("wecom", event, style)
        plain = text_of("wecom", robot)
        assert content["msgtype"] == "m.text"
        assert content["format"] == "org.matrix.custom.html"
        assert content["body"].strip() == plain, name
        html = _Html(content["formatted_body"])
        assert html.tags <= {"b", "a", "br"}
        urls = [line for line in plain.splitlines() if line.startswith("https://")]
        assert list(html.links.values()) == urls, name
        assert list(html.links) == NAMES.get(name, {}).get(style.language, list(html.links)), "links have names"
        lines = [line for line in html.shown.splitlines() if line and line != " · ".join(html.links)]
        assert lines == [line for line in plain.splitlines() if line and line not in urls], name
        assert "apprise" not in str(content).lower()


async def test_files_follow_their_text_as_pictures_and_players(room: Room) -> None:
    client = OutsideClient(hosts=["127.0.0.1"])
    async with loopback(serve_result) as results:
        here = Studio(ChatNetwork(), results.url)
        sink = room.sink(room.url, ChatStyle(files=True), ResultFiles(client, most_bytes=8_000_000, within_s=20))
        for event, count in ((here.images(), "4 files"), (here.video(), "1 file")):
            outcome = await sink.deliver(as_delivery(sink.parcels(event)[0], event))
            assert outcome == Accepted(detail=f"Matrix, {count} attached")
    read = room.read()
    assert [each["msgtype"] for each in read] == ["m.text", *["m.image"] * 4, "m.text", "m.video"]
    assert all(each["body"] for each in read), "no empty message"
    assert [each["body"] for each in read[1:5]] == [f"{number}.png" for number in range(4)]
    for picture in read[1:5]:
        assert picture["info"]["mimetype"] == "image/png"
        assert room.reader.download(picture["url"]) == PICTURE
    assert read[6]["info"] == {"mimetype": "video/mp4", "size": len(VIDEO)}
    assert room.reader.download(read[6]["url"]) == VIDEO


async def test_an_encrypted_room_gets_nothing_in_the_clear(room: Room) -> None:
    pytest.importorskip("cryptography")
    room.robot.call("PUT", f"/rooms/{room.room_id}/state/m.room.encryption", algorithm=MEGOLM)
    async with loopback(serve_result) as results:
        here = Studio(ChatNetwork(), results.url)
        files = ResultFiles(OutsideClient(hosts=["127.0.0.1"]), most_bytes=8_000_000, within_s=20)
        sink = room.sink(room.url, ChatStyle(files=True), files)
        event = here.images(2)
        outcome = await sink.deliver(as_delivery(sink.parcels(event)[0], event))
    assert outcome == Accepted(detail="Matrix, 2 files attached")
    assert room.read() == []
    sent = room.reader.messages(room.room_id, kind="m.room.encrypted")
    assert [event["content"]["algorithm"] for event in sent] == [MEGOLM] * 3, "a text and two pictures"


async def test_rooms_of_old_versions_are_found_too(room: Room) -> None:
    old = room.robot.room_with(room.reader, version="10")
    assert ":" in old
    url = f"matrixs://robot:{PASSWORD}@localhost:{room.server.tls_port}"
    event = task_sample()
    for target in (old, old.partition(":")[0]):  # Apprise completes the second
        sink = room.sink(f"{url}/{target}", BERLIN)
        assert await sink.deliver(as_delivery(sink.parcels(event)[0], event)) == Accepted(detail="Matrix")
    assert len(room.reader.messages(old)) == 2


def test_a_daemon_notifies_a_room_of_a_finished_task(room: Room, tmp_path: Path) -> None:
    with running_world(World()) as world:
        chat = {"type": "apprise", "urls": [room.url], "ca_file": str(room.server.ca_file)}
        settings = world.settings(tmp_path, endpoints={"chat": chat})
        world.ends_at["t-1"] = time.monotonic()
        (tmp_path / "queue").mkdir()
        drop(tmp_path / "queue", "ids.txt", "t-1\n")
        with DaemonProcess(settings) as daemon:
            until(lambda: bool(room.reader.messages(room.room_id)), seconds=60, what="the message")
            assert daemon.stop() == 0
    [content] = room.read()
    assert content["body"].startswith("🎬 Video from kling, t-1\nhttps://")
