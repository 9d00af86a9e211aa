"""The pictures of `docs/chat.md`: what each service shows of the messages that genbridge really sends."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trustme
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser

from bridge.control.endpoint_sample import sample_picture
from bridge.domain.delivery import Accepted
from bridge.domain.event import Event
from bridge.net.outside_client import OutsideClient
from bridge.sinks.attached_files import ResultFiles
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.requests_hook import ChatNetwork
from tests.http.page.browser import running_browser
from tests.loopback import Exchange, loopback
from tests.net.tunnel import context_for, tunnel
from tests.sinks.chat_pictures import Sent, page
from tests.sinks.chat_servers import smtp_server
from tests.sinks.samples import IMAGE_URLS, POSTERS, SONG, SONG_URLS, SUCCEEDED, URL, as_delivery, task_sample
from tests.sinks.test_attachments import VIDEO, mail_url
from tests.sinks.test_messages import HOSTS, MESSAGES, URLS, by_robot

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

PICTURES: Final = Path(__file__).parents[2] / "docs/pictures"
OUTLINES: Final = PICTURES / "chat.json"
ALL_BYTES: Final = 400_000
WIDTH: Final = 860
COVER: Final = "https://cdn.example.com/works/cover.png"
COVERED: Final = SUCCEEDED._replace(result={"videos": [{"url": URL, "duration": "5.1", "cover_url": COVER}]})
LABELS: Final = {
    "en": ("Lighthouse at dawn, take 3", "Night train, four posters", "Rainy city, lo-fi", "Dragon in the rain"),
    "zh": ("灯塔黎明", "夜行列车海报", "雨中的城市", "雨中龙"),
}
SERVICES: Final = ("telegram", "discord", "slack", "feishu", "dingtalk", "wecom", "mail", "matrix")
DRAWN: Final = [
    *((each, "en") for each in SERVICES),
    *((each, "zh") for each in ("telegram", "feishu", "dingtalk", "wecom")),
]
_MATRIX: Final = {"access_token": "t", "user_id": "@a:b", "home_server": "b", "room_id": "!r:b", "event_id": "$e"}


def events(language: str) -> list[Event]:
    """A video, images, a song, a failure, and a blocked account."""
    labels = LABELS[language]
    found = [task_sample(snapshot=COVERED), POSTERS, SONG, MESSAGES["A failure"]]
    named = [replace(each, data={**each.data, "label": label}) for each, label in zip(found, labels, strict=True)]
    if language == "zh":
        named[3] = replace(named[3], data={**named[3].data, "reason": "提示词未通过内容审核"})
    return [*named, MESSAGES["account_blocked"]]


async def by_apprise(url: str, event: Event, style: ChatStyle, network: ChatNetwork | None = None) -> None:
    """Send this event with its files, which are sample pictures, a video and songs."""
    pictures = {address: sample_picture(number) for number, address in enumerate(IMAGE_URLS)}
    covers = dict.fromkeys((COVER, "https://cdn.suno.example/c41d.jpg"), sample_picture(1))
    known = {**pictures, **covers, URL: VIDEO, **dict.fromkeys(SONG_URLS, b"ID3")}
    files = ResultFiles(OutsideClient(hosts=[]), most_bytes=8_000_000, within_s=20, known=known)
    urls = [ChatUrl(text=url, url=url)]
    sink = ChatSink(
        name="chat", urls=urls, title=None, body=None, timeout_s=20, network=network, style=style, files=files
    )
    outcome = await sink.deliver(as_delivery(sink.parcels(event)[0], event))
    assert isinstance(outcome, Accepted), outcome
    assert "link" not in outcome.detail, outcome


async def requests_of(url: str, wanted: Sequence[Event], style: ChatStyle, folder: Path) -> list[Sent]:
    """The requests that a service gets through Apprise. A server behind a tunnel plays the service."""
    uploads = 0

    async def play(exchange: Exchange) -> None:
        nonlocal uploads
        said = {"ok": True, "id": "1", **_MATRIX, "content_uri": f"mxc://b/{uploads}"}
        uploads += "/upload" in exchange.asked.target
        is_unknown = exchange.asked.method == "GET"
        await exchange.answer(404 if is_unknown else 200, b"{}" if is_unknown else json.dumps(said).encode())

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    sent = []
    async with loopback(play, tls=context_for(authority, *HOSTS)) as server, tunnel(server.port) as proxy:
        network = ChatNetwork(proxy=f"http://127.0.0.1:{proxy.port}", ca_file=str(folder / "ca.pem"))
        for event in wanted:
            before, uploads = len(server.asked), 0
            await by_apprise(url, event, style, network)
            sent.append(Sent(requests=server.asked[before:]))
    return sent


async def record(service: str, language: str, folder: Path) -> list[Sent]:
    """The requests that this service gets for each event."""
    wanted = events(language)
    style = ChatStyle(language=language, timezone="UTC", files=True)
    if service == "mail":
        with smtp_server() as (port, mailbox):
            for event in wanted:
                await by_apprise(mail_url(port), event, style)
            return [Sent(mails=[mail]) for mail in mailbox.mails]
    if service in {"telegram", "matrix"}:
        url = URLS.get(service, "matrixs://a:b@matrix.example.com/!r:b")
        return await requests_of(url, wanted, style, folder)
    style = ChatStyle(language=language, timezone="UTC", previews=True)
    return [Sent(bodies=await by_robot(service, event, style)) for event in wanted]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.mark.parametrize(("service", "language"), DRAWN)
def test_a_service_shows_messages_as_in_the_docs(service: str, language: str, browser: Browser, tmp_path: Path) -> None:
    """Compare text and size. To renew a picture, copy the new files, which the failed test names."""
    with start_blocking_portal() as portal:  # Playwright has an event loop of its own in this thread
        sent = portal.call(record, service, language, tmp_path)
    name = service if language == "en" else f"{service}-{language}"
    context = browser.new_context(viewport={"width": WIDTH, "height": 200})
    try:
        tab = context.new_page()
        tab.set_content(page(service, sent))
        new = tmp_path / f"chat-{name}.webp"
        whole = {"format": "webp", "quality": 80, "captureBeyondViewport": True}
        tab.set_viewport_size({"width": WIDTH, "height": tab.evaluate("document.documentElement.offsetHeight")})
        new.write_bytes(base64.b64decode(context.new_cdp_session(tab).send("Page.captureScreenshot", whole)["data"]))
        shown = [line for line in tab.locator("body").inner_text().splitlines() if line.strip()]
    finally:
        context.close()
    (tmp_path / "chat.json").write_text(json.dumps({name: shown}, indent=1, ensure_ascii=False))
    kept = json.loads(OUTLINES.read_text()).get(name)
    assert shown == kept, f"renew {OUTLINES} and the picture from {tmp_path}"
    wide, high = size_of(new)
    kept_wide, kept_high = size_of(PICTURES / new.name)
    assert wide == kept_wide == WIDTH
    assert 0.7 < high / kept_high < 1.4, f"see {new}"  # fonts differ


def test_the_pictures_are_small_and_the_page_shows_each_of_them() -> None:
    names = [f"chat-{service}{'' if language == 'en' else f'-{language}'}.webp" for service, language in DRAWN]
    assert sorted(path.name for path in PICTURES.glob("chat-*.webp")) == sorted(names)
    assert sum((PICTURES / name).stat().st_size for name in names) <= ALL_BYTES
    page_text = (PICTURES.parent / "chat.md").read_text()
    assert all(f"(pictures/{name})" in page_text for name in names)


def size_of(webp: Path) -> tuple[int, int]:
    """Width and height of a picture in WebP's simple or extended format."""
    content = webp.read_bytes()
    if content[12:16] == b"VP8 ":
        return int.from_bytes(content[26:28], "little"), int.from_bytes(content[28:30], "little")
    assert content[12:16] == b"VP8X"
    return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
