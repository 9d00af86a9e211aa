"""Every message of `docs/chat.md`, as it is sent to each service."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.policy import default as email_policy
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from bridge.domain.delivery import Accepted
from bridge.domain.event import Event, Topic
from bridge.domain.task import Snapshot
from bridge.sinks.attached_files import ResultFiles
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.chat_services import ROBOTS
from bridge.sinks.chat_services.chat_service import Chat
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.requests_hook import ChatNetwork
from tests.loopback import Asked, Exchange, loopback
from tests.net.tunnel import context_for, tunnel
from tests.sinks.chat_servers import Subscriber, mosquitto, smtp_server
from tests.sinks.limits import within_limits
from tests.sinks.posting import deliver, robot_at
from tests.sinks.reading import text_of
from tests.sinks.receivers import http_receiver
from tests.sinks.robot_answers import sent, taken
from tests.sinks.samples import (
    FAILED,
    IMAGE_URLS,
    IMAGES,
    POSTERS,
    SONG,
    SONG_URLS,
    SUCCEEDED,
    TASK_ID,
    URL,
    archived_sample,
    as_delivery,
    every_sample,
    task_sample,
)
from tests.stopwatch import until

pytestmark = [
    pytest.mark.usefixtures("unmeasured"),
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

PAGE: Final = (Path(__file__).parents[2] / "docs" / "chat.md").read_text()
BERLIN: Final = ChatStyle(timezone="Europe/Berlin")
CHINESE: Final = ChatStyle(language="zh", timezone="Asia/Shanghai")
HOSTILE: Final = "@everyone <!channel> **x** [y](https://evil.example)\u202e\n# z & <b>"
LONG: Final = "A lighthouse at dawn with a long slow camera move over the water, seagulls, volumetric light, take 3"
GONE: Final = "the task has succeeded, but the provider has already deleted its result"

SHORT_LIVED: Final = SUCCEEDED._replace(
    result={"images": [{"url": "https://delivery.bfl.example/t.png?sig=1"}]},
    urls=("https://delivery.bfl.example/t.png?sig=1",),
    expires_ms=1_762_000_725_500,
)
LYRICS: Final = Snapshot(
    status="SUCCESS", result={"texts": [{"text": "[Verse]\nRain on the window\n\n[Chorus]\nOh, rain"}]}
)


def _timed_out() -> Event:
    event = task_sample(
        Topic.TASK_TIMED_OUT, None, reason="not finished after 86400 s (give_up_after)", label="Old pier"
    )
    return replace(event, data={**event.data, "watched_at": event.data["ended_at"] - 86_400_000})


REFUSED: Final = FAILED._replace(error_code="1301", message="")
MESSAGES: Final[dict[str, Event]] = {
    "One video": task_sample(label="Lighthouse at dawn, take 3"),
    "A video without a label": task_sample(label=None),
    "Four images": POSTERS,
    "A song": SONG,
    "Lyrics": task_sample(snapshot=LYRICS, label="Rainy city, the words"),
    "A result that expires soon": task_sample(snapshot=SHORT_LIVED, label="Glass teapot, steam"),
    "A failure": task_sample(
        Topic.TASK_FAILED, REFUSED, reason="The prompt was refused by content moderation.", label="Dragon in the rain"
    ),
    "A time-out": _timed_out(),
    "A result that is gone": task_sample(snapshot=Snapshot(result_missing=True), reason=GONE, label="Koi pond"),
    "Copies with links": archived_sample(),
    "Copies without links": archived_sample(url=None, count=4, label="Night train, four posters"),
    **{event.topic.value: event for event in every_sample() if event.topic.value.startswith(("account", "endpoint"))},
    "A long label": task_sample(label=LONG),
    "A hostile label": task_sample(Topic.TASK_FAILED, REFUSED, reason=HOSTILE, label=HOSTILE),
}
UNSHOWN: Final = {"A hostile label"}  # invisible characters have no place in the documentation


@dataclass
class Services:
    """One server that plays every chat service. A tunnel leads their hosts to it."""

    network: ChatNetwork
    asked: list[Asked] = field(default_factory=list)


HOSTS: Final = (
    *("api.telegram.org", "discord.com", "hooks.slack.com", "qyapi.weixin.qq.com", "matrix.example.com"),
    *("open.feishu.cn", "oapi.dingtalk.com", "slack.com", "files.slack.com", "ntfy.sh", "api.day.app"),
)
_MATRIX: Final = {"access_token": "t", "user_id": "@a:b", "home_server": "b", "room_id": "!r:b", "event_id": "$e"}


async def _play(exchange: Exchange) -> None:
    if exchange.asked.headers.get("host", "").startswith("hooks.slack.com"):
        await exchange.answer(200, b"ok")
    elif exchange.asked.method == "GET":
        await exchange.answer(404)
    else:
        await exchange.answer(200, json.dumps({"ok": True, "errcode": 0, "code": 0, "id": "1", **_MATRIX}).encode())


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with loopback(_play, tls=context_for(authority, *HOSTS)) as server, tunnel(server.port) as proxy:
        network = ChatNetwork(proxy=f"http://127.0.0.1:{proxy.port}", ca_file=str(tmp_path / "ca.pem"))
        yield Services(network, server.asked)


URLS: Final = {
    "telegram": "tgram://123456789:abcdefg_hijklmnop-qrstuvwxyz12345678/-42",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "wecom": "wecombot://BOTKEY1234",
}


async def by_apprise(
    services: Services, url: str, event: Event, style: ChatStyle, files: ResultFiles | None = None
) -> list[Asked]:
    """The requests that Apprise makes for this event."""
    before = len(services.asked)
    urls = [ChatUrl(text=url, url=url)]
    sink = ChatSink(
        name="chat",
        urls=urls,
        title=None,
        body=None,
        timeout_s=10,
        network=services.network,
        style=style,
        files=files,
    )
    outcome = await sink.deliver(as_delivery(sink.parcels(event)[0], event))
    assert isinstance(outcome, Accepted), outcome
    assert outcome.doubt == ""
    return services.asked[before:]


async def by_robot(form: str, event: Event, style: ChatStyle, **options: Any) -> list[dict[str, Any]]:
    """The bodies that a robot sends for this event, within the limits of its service."""
    chat = Chat(chat_id="-42", previews=style.previews)
    async with http_receiver(taken(form)) as receiver:
        async with robot_at(receiver.url, form, chat=chat, style=style, **options) as sink:
            outcome = await deliver(sink, event)
    assert isinstance(outcome, Accepted), outcome
    for message, request in zip(sent(receiver), receiver.requests, strict=True):
        within_limits(form, message, request.partition(b"\r\n\r\n")[2])
    return sent(receiver)


def shown_in_docs(heading: str, language: str) -> list[str]:
    """The fenced blocks of this language below a heading."""
    section = re.split(r"^##+ ", PAGE.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)\n```$", section, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", [name for name in MESSAGES if name not in UNSHOWN])
async def test_the_page_shows_the_text_as_it_is_sent(name: str) -> None:
    texts = []
    for style in (BERLIN, CHINESE):
        [message] = await by_robot("wecom", MESSAGES[name], style)
        texts.append(text_of("wecom", message))
    heading = f"`{name}`" if name in {topic.value for topic in Topic} else name
    assert shown_in_docs(heading, "text") == texts


@pytest.mark.parametrize("form", ROBOTS)
async def test_the_page_shows_the_body_of_each_robot(form: str) -> None:
    bodies = [await by_robot(form, MESSAGES[name], BERLIN) for name in ("One video", "A failure")]
    shown = [json.loads(block) for block in shown_in_docs(f"`{form}`", "json")]
    assert shown == [body for [body] in bodies]


@pytest.mark.parametrize("previews", [False, True], ids=["link", "preview"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("form", ROBOTS)
async def test_every_message_keeps_to_the_limits_of_each_robot(form: str, language: str, previews: bool) -> None:
    style = ChatStyle(language=language, previews=previews)
    for name, event in MESSAGES.items():
        messages = await by_robot(form, event, style)
        assert len(messages) == 1, name
        text = text_of(form, messages[0])
        urls = {"Four images": IMAGE_URLS, "A song": SONG_URLS, "One video": (URL,)}.get(name, ())
        assert [url for url in re.findall(r"https://\S+", text) if "evil" not in url][: len(urls)] == list(urls)
        raw = json.dumps(messages[0], ensure_ascii=False).lower()
        assert "@everyone" not in raw
        assert "<!channel" not in raw
        assert "](https://evil" not in raw
        assert "\u202e" not in raw


@pytest.mark.parametrize("form", ROBOTS)
async def test_with_link_no_picture_is_named_and_with_preview_it_is(form: str) -> None:
    for previews in (False, True):
        style = ChatStyle(previews=previews)
        [posters] = await by_robot(form, POSTERS, style)
        [song] = await by_robot(form, SONG, style)
        shown = json.dumps([posters, song])
        has_pictures = {
            "feishu": False,  # shows uploaded pictures only
            "dingtalk": "![](" in shown,
            "wecom": '"picurl"' in shown,
            "slack": shown.count('"image_url"') == 5,
            "discord": shown.count('"image"') == 4,
            "telegram": '"show_above_text": true' in shown,
        }[form]
        assert has_pictures == (previews and form != "feishu")


async def test_a_preview_of_a_3d_model_is_its_picture() -> None:
    model, picture = "https://cdn.example.com/dragon.glb", "https://cdn.example.com/dragon.webp"
    with_cover = {"files": [{"url": model, "thumbnail_url": picture}]}
    with_image = {"files": [{"url": model}], "images": [{"url": picture}]}
    for result, urls in ((with_cover, (model,)), (with_image, (model, picture))):
        event = task_sample(snapshot=SUCCEEDED._replace(result=result, urls=urls), label="Dragon")
        [message] = await by_robot("telegram", event, ChatStyle(previews=True))
        assert message["link_preview_options"]["url"] == picture
        [message] = await by_robot("discord", event, ChatStyle(previews=True))
        shown = [each["image"]["url"] for each in message.get("embeds", [])] + message["content"].splitlines()
        assert picture in shown


async def test_a_single_image_beside_another_file_has_a_named_link() -> None:
    result = {"files": [{"url": "https://cdn.example.com/a.glb"}], "images": [{"url": "https://cdn.example.com/a.png"}]}
    seen = SUCCEEDED._replace(result=result, urls=("https://cdn.example.com/a.glb", "https://cdn.example.com/a.png"))
    [message] = await by_robot("telegram", task_sample(snapshot=seen), ChatStyle())
    assert re.findall(r">([^<]+)</a>", message["text"]) == ["Download the file (glb)", "Open the image"]


async def test_wecom_has_the_facts_of_several_articles_in_the_first_title() -> None:
    for event, first in (
        (POSTERS, "🖼️ Night train, four posters · 4 images · mj · took 52 s"),
        (SONG, "🎵 Rainy city, lo-fi · 2 versions, 2:34 and 2:41 · suno · took 1 min 58 s"),
    ):
        [message] = await by_robot("wecom", event, ChatStyle(previews=True))
        articles = message["news"]["articles"]
        assert all("description" not in each for each in articles)
        assert articles[0]["title"] == first
    seen = IMAGES._replace(result={"images": [{"url": IMAGE_URLS[0]}]}, urls=IMAGE_URLS[:1])
    [message] = await by_robot("wecom", task_sample(snapshot=seen, label="Poster"), ChatStyle(previews=True))
    [article] = message["news"]["articles"]
    assert (article["title"], article["description"]) == ("🖼️ Poster", "1 image · kling · took 52 s")


async def test_titles_in_dingtalk_are_dark_enough_to_read() -> None:
    for name in ("A failure", "account_blocked"):
        [message] = await by_robot("dingtalk", MESSAGES[name], BERLIN)
        [color] = re.findall(r'color="#(\w{6})"', message["markdown"]["text"])
        assert contrast_with_white(color) >= 4.5


def contrast_with_white(color: str) -> float:
    """The contrast ratio of WCAG 2."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


async def test_a_picture_on_a_private_host_is_never_named() -> None:
    seen = SUCCEEDED._replace(result={"videos": [{"url": URL, "cover_url": "http://10.0.0.7/cover.jpg"}]})
    for form in ROBOTS:
        [message] = await by_robot(form, task_sample(snapshot=seen), ChatStyle(previews=True))
        assert "10.0.0.7" not in json.dumps(message)


@pytest.mark.parametrize("service", URLS)
@pytest.mark.parametrize("style", [BERLIN, CHINESE, ChatStyle(previews=True)], ids=["en", "zh", "preview"])
async def test_every_message_keeps_to_the_limits_of_each_service_behind_apprise(
    service: str, style: ChatStyle, services: Services
) -> None:
    for name, event in MESSAGES.items():
        [asked] = await by_apprise(services, URLS[service], event, style)
        message = json.loads(asked.body)
        within_limits(service, message, asked.body)
        text = text_of(service, message).replace("\r", "")
        lines = [line for line in text.split("\n") if line.strip()]
        expected = await by_robot("wecom", event, replace(style, previews=False))
        assert "\n".join(lines) == text_of("wecom", expected[0]).replace("\n\n", "\n"), name
        if service == "telegram":
            assert message["disable_web_page_preview"] is not style.previews


@pytest.mark.parametrize("service", ["telegram", "discord", "slack"])
async def test_the_page_shows_the_body_of_each_service_behind_apprise(service: str, services: Services) -> None:
    [asked] = await by_apprise(services, URLS[service], MESSAGES["One video"], BERLIN)
    [shown] = shown_in_docs(f"{service.title()} through Apprise", "json")
    assert json.loads(shown) == json.loads(asked.body)


async def test_messages_contain_nothing_about_apprise(services: Services) -> None:
    urls = [f"{url}{'&' if '?' in url else '?'}{more}" for url in URLS.values() for more in ("a=b", "format=markdown")]
    for url in [
        *urls,
        "matrixs://a:b@matrix.example.com/!r:b",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?image=yes",
    ]:
        for asked in await by_apprise(services, url, MESSAGES["One video"], BERLIN):
            everything = asked.target.encode() + repr(asked.headers).encode() + asked.body
            assert b"apprise" not in everything.lower(), everything
            assert b"github" not in everything.lower()
            assert b"avatar" not in asked.body
            assert b"footer" not in asked.body


async def test_matrix_gets_named_links_and_the_whole_url_as_plain_text(services: Services) -> None:
    url = "matrixs://a:b@matrix.example.com/!r:b"
    asked = await by_apprise(services, url, MESSAGES["One video"], BERLIN)
    message = json.loads(asked[-1].body)
    assert asked[-1].target.startswith("/_matrix/client/v3/rooms/")
    assert message["msgtype"] == "m.text"
    assert message["body"].splitlines() == ["🎬 Lighthouse at dawn, take 3", URL, "5 s · kling · took 2 min 4 s"]
    assert f'<a href="{URL.replace("&", "&amp;")}">Watch the video</a>' in message["formatted_body"]


async def test_a_mail_says_the_same_in_both_parts() -> None:
    with smtp_server() as (port, mailbox):
        url = f"mailto://127.0.0.1:{port}?smtp=127.0.0.1&mode=insecure&from=studio@example.com&to=me@example.com"
        for style in (BERLIN, CHINESE):
            for name, event in MESSAGES.items():
                urls = [ChatUrl(text=url, url=url)]
                sink = ChatSink(name="chat", urls=urls, title=None, body=None, timeout_s=10, style=style)
                assert await sink.deliver(as_delivery(sink.parcels(event)[0], event)) == Accepted(detail="E-Mail")
                mail = message_from_bytes(mailbox.mails[-1], policy=email_policy)
                parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
                assert set(parts) == {"text/plain", "text/html"}
                expected = text_of("wecom", (await by_robot("wecom", event, style))[0]).split("\n")
                assert mail["subject"] == expected[0]
                lines = [line.strip() for line in parts["text/plain"].splitlines() if line.strip()]
                assert [line for line in lines if line in expected] == [line for line in expected if line], name
                assert all(line.replace("&", "&amp;") in parts["text/html"] for line in expected), name
                assert "apprise" not in mail.as_string().lower()
                assert mail["from"] == "genbridge <studio@example.com>"
                assert mail["auto-submitted"] == "auto-generated"
                assert not re.search("[^d-]color:(?!inherit|#ffffff)", parts["text/html"]), "dark mailboxes"
    [shown] = shown_in_docs("Mail", "text")
    plain = message_from_bytes(mailbox.mails[0], policy=email_policy).get_body(("plain",))
    assert plain is not None
    assert shown == plain.get_content().replace("\r\n", "\n").strip()


@pytest.mark.real
async def test_a_broker_passes_on_every_message_as_plain_text(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as port:
        subscriber = Subscriber(port, "studio/done")
        await until(lambda: subscriber.is_ready)
        url = f"mqtt://127.0.0.1:{port}/studio/done?qos=1"
        expected = []
        sink = ChatSink(name="chat", urls=[ChatUrl(text=url, url=url)], title=None, body=None, timeout_s=10)
        for event in MESSAGES.values():
            assert isinstance(await sink.deliver(as_delivery(sink.parcels(event)[0], event)), Accepted)
            expected.append(text_of("wecom", (await by_robot("wecom", event, ChatStyle()))[0]))
        await until(lambda: len(subscriber.messages) == len(MESSAGES))
        subscriber.close()
    assert [message.replace("\r", "") for message in subscriber.messages] == expected


@pytest.mark.parametrize("form", ROBOTS)
async def test_with_a_public_page_the_last_line_links_to_the_task(form: str) -> None:
    style = ChatStyle(page_url="https://bridge.example.com")
    story = f"https://bridge.example.com/task?account=kling&id={TASK_ID}"
    for name in ("One video", "A failure"):
        [message] = await by_robot(form, MESSAGES[name], style)
        raw = json.dumps(message).replace("&amp;", "&")
        assert raw.count(story) == 1
    [blocked] = await by_robot(form, MESSAGES["account_blocked"], style)
    assert "bridge.example.com" not in json.dumps(blocked)


async def test_with_apprise_the_last_line_links_to_the_history_too(services: Services) -> None:
    story = f"https://bridge.example.com/task?account=kling&id={TASK_ID}"
    for url in URLS.values():
        style = ChatStyle(page_url="https://bridge.example.com")
        [asked] = await by_apprise(services, url, MESSAGES["One video"], style)
        assert asked.body.decode().replace("&amp;", "&").count(story) == 1
