"""Results as attachments never delay, lose or double a message."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.policy import default as email_policy
from pathlib import Path
from typing import Final

import pytest
import trustme

from bridge.domain.delivery import Accepted, Deferred, Outcome
from bridge.domain.event import Event
from bridge.net.outside_client import OutsideClient
from bridge.sinks.attached_files import ResultFiles
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.requests_hook import ChatNetwork
from tests.loopback import Asked, Exchange, Script, answers, loopback
from tests.net.tunnel import context_for, tunnel
from tests.sinks.chat_servers import smtp_server
from tests.sinks.samples import IMAGES, SUCCEEDED, URL, as_delivery, task_sample
from tests.sinks.test_messages import HOSTS, URLS

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

VIDEO: Final = b"\x00\x00\x00\x18ftypmp42" + b"v" * 1000
PICTURE: Final = b"\x89PNG\r\n\x1a\n" + b"p" * 500
Answer = Callable[[Asked], tuple[int, bytes]]


def says_ok(asked: Asked) -> tuple[int, bytes]:
    return 200, b'{"ok": true, "id": "1"}'


@dataclass
class Studio:
    """A chat service behind a tunnel, and a server with the results."""

    network: ChatNetwork
    origin: str
    sent: list[Asked] = field(default_factory=list)
    fetched: list[Asked] = field(default_factory=list)

    def sink(
        self,
        url: str,
        *,
        most_bytes: int = 8_000_000,
        within_s: float = 20.0,
        allowed: bool = True,
        body: str | None = None,
    ) -> ChatSink:
        client = OutsideClient(hosts=["127.0.0.1"] if allowed else [])
        return ChatSink(
            name="chat",
            urls=[ChatUrl(text=url, url=url)],
            title=None,
            body=body,
            timeout_s=20,
            network=self.network,
            style=ChatStyle(files=True),
            files=ResultFiles(client, most_bytes=most_bytes, within_s=within_s),
        )

    def video(self, name: str = "take-3.mp4") -> Event:
        url = f"{self.origin}/{name}?sign=a%2Fb"
        item = {"id": "d7f0", "url": url, "duration": "5.1", "cover_url": f"{self.origin}/cover.png"}
        return task_sample(snapshot=SUCCEEDED._replace(result={"videos": [item]}, urls=(url,)))

    def images(self, count: int = 4) -> Event:
        urls = tuple(f"{self.origin}/{number}.png" for number in range(count))
        return task_sample(snapshot=IMAGES._replace(result={"images": [{"url": url} for url in urls]}, urls=urls))


async def serve_result(exchange: Exchange) -> None:
    """Answer with a video or a picture, or with the fault that the file name stands for."""
    name = exchange.asked.target.partition("?")[0]
    if name == "/hangs.mp4":
        await exchange.hang()
    elif name == "/gone.mp4":
        await exchange.answer(404, b"gone")
    elif name == "/page.mp4":
        await exchange.answer(200, b"<!DOCTYPE html><html>log in</html>", {"content-type": "video/mp4"})
    elif name == "/error.mp4":
        await exchange.answer(200, b'{"code": "AccessDenied"}', {"content-type": "video/mp4"})
    elif name == "/endless.mp4":
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n" + VIDEO[:500])
        await exchange.close()
    elif name == "/compressed.mp4":
        await exchange.answer(200, gzip.compress(VIDEO), {"content-type": "video/mp4", "content-encoding": "gzip"})
    elif name == "/song.wav":
        await exchange.answer(200, b"RIFF\0\0\0\0WAVEfmt ", {"content-type": "audio/wav"})
    elif name == "/empty.mp4":
        await exchange.answer(200)
    else:
        is_video = name.endswith(".mp4")
        media_type = "video/mp4" if is_video else "image/png"
        await exchange.answer(200, VIDEO if is_video else PICTURE, {"content-type": media_type})


@asynccontextmanager
async def studio(folder: Path, answer: Answer = says_ok) -> AsyncIterator[Studio]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))

    async def chat(exchange: Exchange) -> None:
        await exchange.answer(*answer(exchange.asked))

    results: Script = serve_result
    async with (
        loopback(chat, tls=context_for(authority, *HOSTS)) as service,
        tunnel(service.port) as proxy,
        loopback(results) as files,
    ):
        network = ChatNetwork(proxy=f"http://127.0.0.1:{proxy.port}", ca_file=str(folder / "ca.pem"))
        yield Studio(network, files.url, service.asked, files.asked)


async def deliver(sink: ChatSink, event: Event) -> Outcome:
    return await sink.deliver(as_delivery(sink.parcels(event)[0], event))


def mail_url(port: int) -> str:
    return f"mailto://127.0.0.1:{port}?smtp=127.0.0.1&mode=insecure&from=studio@example.com&to=me@example.com"


def methods(sent: list[Asked]) -> list[str]:
    return [asked.target.rpartition("/")[2] for asked in sent]


async def test_telegram_gets_video_and_caption_in_one_request(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        outcome = await deliver(here.sink(URLS["telegram"]), here.video())
    assert outcome == Accepted(detail="Telegram, 1 file attached")
    assert methods(here.sent) == ["sendVideo"]
    body = here.sent[0].body
    assert VIDEO in body
    assert "🎬 trailer, take 3</b>".encode() in body
    assert b"sign=a%2Fb" in body, "the link stays"
    assert b'filename="take-3.mp4"' in body


async def test_a_compressed_file_is_attached_as_it_was(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        outcome = await deliver(here.sink(URLS["telegram"]), here.video("compressed.mp4"))
    assert outcome == Accepted(detail="Telegram, 1 file attached")
    assert VIDEO in here.sent[0].body


async def test_a_file_of_a_type_that_apprise_does_not_know_is_attached(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        outcome = await deliver(here.sink(URLS["telegram"]), here.video("song.wav"))
    assert outcome == Accepted(detail="Telegram, 1 file attached")
    assert b"\r\n\r\nRIFF" in here.sent[0].body


async def test_a_text_of_the_operators_own_is_sent_with_the_file(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        outcome = await deliver(here.sink(URLS["telegram"], body="by {{ account }} & co"), here.video())
        with smtp_server() as (port, mailbox):
            mailed = await deliver(here.sink(mail_url(port), body="by {{ account }}"), here.images(1))
    assert outcome == Accepted(detail="Telegram, 1 file attached")
    assert methods(here.sent) == ["sendVideo"]
    assert b"by kling &amp; co" in here.sent[0].body
    assert b"Watch the video" not in here.sent[0].body
    assert mailed == Accepted(detail="E-Mail, 1 file attached")
    [mail] = mailbox.mails
    assert b"by kling" in mail


async def test_telegram_gets_four_images_as_one_album_in_one_request(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        outcome = await deliver(here.sink(URLS["telegram"]), here.images())
    assert outcome == Accepted(detail="Telegram, 4 files attached")
    assert methods(here.sent) == ["sendMediaGroup"]
    assert here.sent[0].body.count(PICTURE) == 4
    assert len(here.fetched) == 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.mp4", "its URL answered HTTP 404"),
        ("endless.mp4", "the server does not state the length of the file, so it may be incomplete"),
        ("page.mp4", "the server sent a page (HTML), not a file"),
        ("error.mp4", "the server sent application/json, not a file of videos"),
        ("empty.mp4", "the file is empty"),
        ("hangs.mp4", "not fetched within 0.5 s"),
    ],
)
async def test_an_unavailable_result_is_sent_as_a_link_at_once(name: str, reason: str, tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        within_s = 0.5 if name == "hangs.mp4" else 20.0
        outcome = await deliver(here.sink(URLS["telegram"], within_s=within_s), here.video(name))
    assert outcome == Accepted(detail=f"Telegram, sent as a link: {reason}")
    assert methods(here.sent) == ["sendMessage"]
    assert name in json.loads(here.sent[0].body)["text"]


async def test_a_result_over_attach_max_is_sent_as_a_link(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        one = await deliver(here.sink(URLS["telegram"], most_bytes=900), here.video())
        four = await deliver(here.sink(URLS["telegram"], most_bytes=1900), here.images())
    for outcome in (one, four):
        assert isinstance(outcome, Accepted)
        assert "sent as a link: larger than 0.00" in outcome.detail
    assert methods(here.sent) == ["sendMessage", "sendMessage"]


async def test_no_file_is_fetched_from_a_private_address(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        outcome = await deliver(here.sink(URLS["telegram"], allowed=False), here.video())
    assert isinstance(outcome, Accepted)
    assert "sent as a link: " in outcome.detail
    assert here.fetched == []
    assert methods(here.sent) == ["sendMessage"]


async def test_a_refused_upload_becomes_a_link_in_the_same_attempt(tmp_path: Path) -> None:
    def refuses_files(asked: Asked) -> tuple[int, bytes]:
        is_text = asked.target.endswith("/sendMessage")
        return (200, b'{"ok": true}') if is_text else (413, b'{"ok": false, "description": "Request Entity Too Large"}')

    async with studio(tmp_path, refuses_files) as here:
        outcome = await deliver(here.sink(URLS["telegram"]), here.video())
    assert outcome == Accepted(detail="Telegram, sent as a link: the service refused the file")
    assert methods(here.sent) == ["sendVideo", "sendDocument", "sendMessage"]


async def test_a_file_is_fetched_once_for_all_attempts_during_a_rate_limit(tmp_path: Path) -> None:
    limited = iter([(429, b'{"ok": false, "parameters": {"retry_after": 7}}')])
    async with studio(tmp_path, lambda asked: next(limited, (200, b'{"ok": true}'))) as here:
        sink = here.sink(URLS["telegram"])
        first, second = await deliver(sink, here.video()), await deliver(sink, here.video())
    assert isinstance(first, Deferred)
    assert (first.retry_after_s, first.delays_queue) == (7.0, True)
    assert second == Accepted(detail="Telegram, 1 file attached")
    assert methods(here.sent) == ["sendVideo", "sendVideo"]
    assert len(here.fetched) == 1


async def test_discord_gets_files_after_the_text_and_may_refuse_them(tmp_path: Path) -> None:
    def refuses_files(asked: Asked) -> tuple[int, bytes]:
        return (200, b'{"id": "1"}') if asked.headers["content-type"].startswith("application/json") else (413, b"{}")

    refused = "sent as a link: the service refused the file"
    for answer, note in ((says_ok, "4 files attached"), (refuses_files, refused)):
        async with studio(tmp_path, answer) as here:
            assert await deliver(here.sink(URLS["discord"]), here.images()) == Accepted(detail=f"Discord, {note}")
        text, files = here.sent
        content = json.loads(text.body)["content"]
        assert content.count("](<http://127.0.0.1") == 4, "links without previews, as the files follow"
        assert files.body.count(PICTURE) == 4


def parts_of(mail: bytes) -> tuple[str, str, dict[str, bytes]]:
    """The plain text, the HTML, and the pictures by their Content-ID."""
    parts = list(message_from_bytes(mail, policy=email_policy).walk())
    texts = {part.get_content_type(): part.get_content() for part in parts if part.get_content_maintype() == "text"}
    pictures = [part for part in parts if part.get_content_maintype() == "image"]
    assert all(part.get_content_disposition() == "inline" for part in pictures)
    by_id = {part["content-id"].strip("<>"): part.get_content() for part in pictures}
    assert len(by_id) == len(pictures)
    return texts["text/plain"], texts["text/html"], by_id


IMAGE: Final = re.compile(r'<a href="([^"]+)"><img src="cid:([^"]+)" width="(\d+)" alt="([^"]+)"')


async def test_an_email_has_linked_images_and_never_a_video(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        with smtp_server() as (port, mailbox):
            sink = here.sink(mail_url(port))
            assert await deliver(sink, here.images()) == Accepted(detail="E-Mail, 4 files attached")
            assert await deliver(sink, here.video()) == Accepted(detail="E-Mail")  # its cover is on a private host
    plain, text, pictures = parts_of(mailbox.mails[0])
    assert pictures == {f"{number}.png": PICTURE for number in range(4)}
    assert IMAGE.findall(text) == [
        (f"{here.origin}/{number}.png", f"{number}.png", "300", f"Image {number + 1}") for number in range(4)
    ]
    assert text.count("cid:") == 4
    lines = ["🖼️ trailer, take 3"]
    lines += [line for number in range(4) for line in (f"Image {number + 1}", f"{here.origin}/{number}.png")]
    assert [line for line in plain.splitlines() if line] == [*lines, "4 images · kling · took 52 s"]
    plain, text, pictures = parts_of(mailbox.mails[1])
    assert pictures == {}
    assert "<img" not in text
    assert b"ftypmp42" not in mailbox.mails[1]


async def test_the_cover_in_an_email_leads_to_the_video(tmp_path: Path) -> None:
    cover = "https://cdn.example.com/works/d7f0.jpg"
    seen = SUCCEEDED._replace(result={"videos": [{"url": URL, "cover_url": cover}]})
    files = ResultFiles(OutsideClient(hosts=[]), most_bytes=8_000_000, within_s=20, known={cover: PICTURE})
    with smtp_server() as (port, mailbox):
        urls = [ChatUrl(text="mail", url=mail_url(port))]
        style = ChatStyle(files=True)
        sink = ChatSink(name="chat", urls=urls, title=None, body=None, timeout_s=20, style=style, files=files)
        assert await deliver(sink, task_sample(snapshot=seen)) == Accepted(detail="E-Mail, 1 file attached")
    plain, text, pictures = parts_of(mailbox.mails[0])
    assert pictures == {"d7f0.png": PICTURE}
    assert IMAGE.findall(text) == [(URL.replace("&", "&amp;"), "d7f0.png", "480", "Watch the video")]
    lines = [line for line in plain.splitlines() if line]
    assert lines == ["🎬 trailer, take 3", "Watch the video", URL, "1 video · kling · took 2 min 4 s"]


async def test_pictures_of_one_name_are_shown_each_in_its_place(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        urls = tuple(f"{here.origin}/{folder}/image.png" for folder in "abc")
        event = task_sample(snapshot=IMAGES._replace(result={"images": [{"url": url} for url in urls]}, urls=urls))
        with smtp_server() as (port, mailbox):
            assert await deliver(here.sink(mail_url(port)), event) == Accepted(detail="E-Mail, 3 files attached")
    _, text, pictures = parts_of(mailbox.mails[0])
    shown = [name for _, name, _, _ in IMAGE.findall(text)]
    assert shown == list(pictures) == ["image.png", "2-image.png", "3-image.png"]


async def test_a_plugin_finds_its_files_by_path_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    async with loopback(serve_result) as results, loopback(answers(200)) as form:
        here = Studio(ChatNetwork(), results.url)
        sink = here.sink(f"form://127.0.0.1:{form.port}/")
        assert await deliver(sink, here.images(2)) == Accepted(detail="Form, 2 files attached")
    assert sum(asked.body.count(PICTURE) for asked in form.asked) == 2
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_service_without_attachments_has_nothing_fetched(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda asked: (200, b'{"errcode": 0}')) as here:
        assert isinstance(await deliver(here.sink(URLS["wecom"]), here.video()), Accepted)
    assert here.fetched == []
    assert len(here.sent) == 1


async def test_an_incoming_webhook_of_slack_has_nothing_fetched(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda asked: (200, b"ok")) as here:
        assert await deliver(here.sink(URLS["slack"]), here.video()) == Accepted(detail="Slack")
    assert here.fetched == []
    assert len(here.sent) == 1


async def test_more_results_than_an_album_holds_are_sent_as_links(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        outcome = await deliver(here.sink(URLS["telegram"]), here.images(11))
    assert outcome == Accepted(detail="Telegram, sent as links: more than 10 results")
    assert here.fetched == []


async def test_a_result_that_needs_the_key_is_not_fetched(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        url = f"{here.origin}/a.mp4"
        seen = SUCCEEDED._replace(result={"videos": [{"url": url, "needs_key": True}]}, urls=(url,))
        outcome = await deliver(here.sink(URLS["telegram"]), task_sample(snapshot=seen))
    assert outcome == Accepted(detail="Telegram, sent as a link: it opens only with the API key")
    assert here.fetched == []


async def test_the_targets_of_an_endpoint_share_fetched_files(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        sink, event = here.sink(f"{URLS['telegram']}/-43"), here.video()
        for parcel in sink.parcels(event):
            assert await sink.deliver(as_delivery(parcel, event)) == Accepted(detail="Telegram, 1 file attached")
    assert methods(here.sent) == ["sendVideo", "sendVideo"]
    assert len(here.fetched) == 1


async def test_tasks_whose_results_have_the_same_url_get_their_own_files(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        sink, event = here.sink(URLS["telegram"]), here.video()
        for task_id in ("one", "two", "one"):
            await deliver(sink, replace(event, subject=task_id))
    assert len(here.fetched) == 2
