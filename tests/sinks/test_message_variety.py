"""Messages that the documentation does not show, over the wire to every service: other topics, no result or many, long
and hostile texts."""

from __future__ import annotations

import json
import re
from email import message_from_bytes
from email.policy import default as email_policy
from typing import Final

import anyio
import pytest

from bridge.domain.delivery import Accepted
from bridge.domain.event import OPERATOR_TOPICS, Event, Topic
from bridge.domain.sample import sample_event
from bridge.domain.task import Json, Snapshot
from bridge.net.outside_client import OutsideClient
from bridge.sinks.attached_files import ResultFiles
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.chat_services import ROBOTS
from bridge.sinks.chat_wording import TOPIC_LOOKS
from bridge.sinks.message_values import ChatStyle
from tests.sinks.chat_pictures import form_of
from tests.sinks.chat_servers import smtp_server
from tests.sinks.limits import within_limits, within_telegram_uploads
from tests.sinks.posting import deliver, robot_at
from tests.sinks.reading import text_of
from tests.sinks.receivers import http_receiver
from tests.sinks.robot_answers import sent, taken
from tests.sinks.samples import FAILED, IMAGES, SUCCEEDED, as_delivery, every_sample, task_sample
from tests.sinks.test_attachments import PICTURE, VIDEO, mail_url
from tests.sinks.test_messages import HOSTILE, URLS, Services, by_apprise, by_robot, services

pytestmark = [
    pytest.mark.usefixtures("unmeasured"),
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

__all__ = ["services"]  # a fixture

_FOUND: Final = re.compile(r"https://cdn\.[^\s<>]+")
ODD_URL: Final = "https://cdn.example.com/a(1)_[b]*c*~d~e.mp4?x=%22&y='z'&amp;=1#q"


def _images(*urls: str, **more: Json) -> Event:
    items = [{"url": url, **more} for url in urls]
    return task_sample(snapshot=IMAGES._replace(result={"images": items}, urls=urls), label="Posters")


def _numbered(count: int, chars: int) -> tuple[str, ...]:
    heads = [f"https://cdn.example.com/{number:02}.png?sign=" for number in range(count)]
    return tuple(head + "s" * (chars - len(head)) for head in heads)


VARIETY: Final[dict[str, Event]] = {
    **{event.topic.value: event for event in every_sample()},
    "no result": task_sample(snapshot=Snapshot(status="succeed", result_missing=True), reason="no result"),
    "nothing but a status": task_sample(snapshot=Snapshot(status="succeed")),
    "nothing at all": task_sample(Topic.TASK_FAILED, None, label=None),
    "a video inside the answer": task_sample(snapshot=SUCCEEDED._replace(result={"videos": [{"id": "1"}]}, urls=())),
    "needs the key": _images(*_numbered(1, 60), needs_key=True),
    "four": _images(*_numbered(4, 60)),
    "twelve": _images(*_numbered(12, 60)),
    "four long": _images(*_numbered(4, 1900)),
    "twelve long": _images(*_numbered(12, 1900)),
    "odd": task_sample(snapshot=SUCCEEDED._replace(result={"videos": [{"url": ODD_URL}]}, urls=(ODD_URL,))),
    "a long reason": task_sample(Topic.TASK_FAILED, FAILED, reason="The prompt was refused. " * 100),
    "a long Chinese reason": task_sample(
        Topic.TASK_FAILED, FAILED, reason="提示词未通过内容审核。" * 100, label="夜" * 90
    ),
    "hostile": task_sample(
        Topic.TASK_FAILED, FAILED._replace(message=HOSTILE, error_code=HOSTILE), reason=HOSTILE, label=HOSTILE
    ),
    "hostile beside results": task_sample(snapshot=SUCCEEDED, reason=HOSTILE, label=HOSTILE),
    "emoji": task_sample(snapshot=Snapshot(status="SUCCESS", result={"texts": [{"text": "🎵" * 1400}] * 2})),
    "hostile lyrics": task_sample(snapshot=Snapshot(status="SUCCESS", result={"texts": [{"text": HOSTILE * 50}]})),
}


WITH_RESULTS: Final = {Topic.TASK_SUCCEEDED, Topic.TASK_ARCHIVED}
MARKS_OF_SAMPLES: Final = {
    **{topic: TOPIC_LOOKS[topic].mark for topic in OPERATOR_TOPICS},  # docs/chat.md shows them
    **dict.fromkeys((Topic.TASK_FAILED, Topic.TASK_CANCELED, Topic.TASK_NOT_FOUND), "⚠️"),
    Topic.TASK_TIMED_OUT: "⏳",
}


def urls_of(event: Event) -> list[str]:
    """The results of an event, or the copies of a `task_archived`."""
    if event.topic is Topic.TASK_ARCHIVED:
        return [str(copy["url"]) for copy in event.data["archive"]]
    return [str(url) for url in event.data.get("urls") or []]


def is_harmless(raw: str) -> bool:
    shown = raw.lower().replace("\\u200b", "\u200b")
    return not any(sign in shown for sign in ("@everyone", "<!channel", "](https://evil", "\u202e", "\\u202e"))


def check(texts: list[str], event: Event, name: str) -> None:
    """Check that each URL is there once, complete and in order, that the first line names the subject, and that nothing
    is empty."""
    text = "\n".join(texts)
    assert all(each.strip() for each in texts), name
    found = [url for url in _FOUND.findall(text) if "evil" not in url]
    assert list(dict.fromkeys(found)) == found, name
    wanted = [url for url in urls_of(event) if url.startswith("https://cdn.")]
    assert found == wanted, name
    first = text.splitlines()[0]
    label = event.data.get("label")
    if event.topic.value.startswith("task") and isinstance(label, str) and label.isascii():
        assert label.split()[0] in first, name


@pytest.mark.parametrize(
    "style", [ChatStyle(), ChatStyle(language="zh"), ChatStyle(previews=True)], ids=["en", "zh", "preview"]
)
@pytest.mark.parametrize("form", ROBOTS)
async def test_a_robot_gets_it_within_its_limits(form: str, style: ChatStyle) -> None:
    for name, event in VARIETY.items():
        async with http_receiver(taken(form)) as receiver, robot_at(receiver.url, form, style=style) as sink:
            assert isinstance(await deliver(sink, event), Accepted), name
        messages = sent(receiver)
        for message, request in zip(messages, receiver.requests, strict=True):
            within_limits(form, message, request.partition(b"\r\n\r\n")[2])
            assert is_harmless(json.dumps(message, ensure_ascii=False)), name
        check([text_of(form, message) for message in messages], event, name)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("form", ROBOTS)
async def test_a_sample_of_every_topic_looks_like_a_real_message(form: str, language: str) -> None:
    style = ChatStyle(language=language, previews=True)
    wanted = [(topic, results) for topic in Topic for results in ((1, 4, 10) if topic in WITH_RESULTS else (1,))]
    async with http_receiver(taken(form)) as receiver, robot_at(receiver.url, form, style=style) as sink:
        for topic, results in wanted:
            event = sample_event(1_762_000_000.0, topic, results=results, has_images=results > 1)
            assert isinstance(await deliver(sink, event), Accepted)
    messages = sent(receiver)
    assert len(messages) == len(wanted)
    for (topic, results), message, request in zip(wanted, messages, receiver.requests, strict=True):
        within_limits(form, message, request.partition(b"\r\n\r\n")[2])
        text = text_of(form, message)
        assert text.startswith(MARKS_OF_SAMPLES.get(topic, "🎬" if results == 1 else "🖼️")), text
        assert "sample" in text.splitlines()[0]
        assert not re.search(r"None|\?|\{|\}", text), text
        if topic is Topic.TASK_SUCCEEDED:
            assert text.count("https://example.com/genbridge-sample") == results


@pytest.mark.parametrize("service", URLS)
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_a_service_behind_apprise_gets_it_within_its_limits(
    service: str, language: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apprise.plugins.wecombot.NotifyWeComBot.request_rate_per_sec", 0)  # no pause
    for name, event in VARIETY.items():
        asked = await by_apprise(services, URLS[service], event, ChatStyle(language=language))
        messages = [json.loads(each.body) for each in asked]
        for message, each in zip(messages, asked, strict=True):
            within_limits(service, message, each.body)
            assert is_harmless(json.dumps(message, ensure_ascii=False)), name
        check([text_of(service, message) for message in messages], event, name)


@pytest.mark.parametrize(
    ("service", "url"), [("feishu", f"feishu://{'a1' * 20}"), ("dingtalk", f"dingtalk://{'a1' * 16}")]
)
async def test_chinese_lyrics_behind_apprise_are_split_within_the_limits(
    service: str, url: str, services: Services
) -> None:
    lyrics = task_sample(snapshot=Snapshot(status="SUCCESS", result={"texts": [{"text": "雨夜" * 700}] * 3}))
    asked = await by_apprise(services, url, lyrics, ChatStyle(language="zh"))
    for each in asked:
        within_limits(service, json.loads(each.body), each.body)
    assert "".join(text_of(service, json.loads(each.body)) for each in asked).count("雨夜") == 2100


@pytest.mark.parametrize("url", ["ntfys://ntfy.sh/studio", "barks://api.day.app/DEVICEKEY"])
async def test_push_services_get_no_message_over_4096_bytes(url: str, services: Services) -> None:
    lyrics = task_sample(snapshot=Snapshot(status="SUCCESS", result={"texts": [{"text": "雨夜" * 700}] * 2}))
    for name, event in {"four long": VARIETY["four long"], "emoji": VARIETY["emoji"], "lyrics": lyrics}.items():
        asked = await by_apprise(services, url, event, ChatStyle())
        assert all(len(each.body) <= 8192 for each in asked) or "bark" in url, name
        messages = [json.loads(each.body) for each in asked]
        texts = [each.get("message") or each["body"] for each in messages]
        titles = [each.get("title", "") for each in messages]
        assert all(len((title + text).encode()) <= 4096 for title, text in zip(titles, texts, strict=True)), name
        check([f"{titles[0]}\n{texts[0]}".strip(), *texts[1:]], event, name)


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_a_mail_says_it_in_both_of_its_parts(language: str) -> None:
    with smtp_server() as (port, mailbox):
        urls = [ChatUrl(text="mail", url=mail_url(port))]
        style = ChatStyle(language=language)
        sink = ChatSink(name="chat", urls=urls, title=None, body=None, timeout_s=20, style=style)
        for name, event in VARIETY.items():
            assert await sink.deliver(as_delivery(sink.parcels(event)[0], event)) == Accepted(detail="E-Mail"), name
            parts = [parts_of(mail) for mail in mailbox.mails]
            assert is_harmless(repr(parts)), name
            check([f"{subject}\n{plain}" for subject, plain, _ in parts], event, name)
            links = [url for _, _, text in parts for url in re.findall(r'href="([^"]+)"', text)]
            wanted = [url.replace("&", "&amp;").replace("'", "&#x27;") for url in urls_of(event)]
            assert list(dict.fromkeys(links)) == (wanted if name != "twelve long" else []), name  # sent as text
            mailbox.mails.clear()


async def test_ten_mails_at_once_arrive_within_half_a_minute() -> None:
    with smtp_server() as (port, mailbox):
        urls = [ChatUrl(text="mail", url=mail_url(port))]
        sink, event = ChatSink(name="chat", urls=urls, title=None, body=None, timeout_s=20), VARIETY["four"]
        with anyio.fail_after(30):  # Apprise's own pause of 5.5 s would make it 50 s
            for _ in range(10):
                assert await sink.deliver(as_delivery(sink.parcels(event)[0], event)) == Accepted(detail="E-Mail")
    assert len(mailbox.mails) == 10


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_telegram_gets_it_with_files_within_the_limits_of_uploads(language: str, services: Services) -> None:
    variety = {**VARIETY, "ten": _images(*_numbered(10, 60)), "ten long": _images(*_numbered(10, 1900))}
    for name, event in variety.items():
        urls = urls_of(event)
        known = {url: VIDEO if ".mp4" in url else PICTURE for url in urls}
        files = ResultFiles(OutsideClient(hosts=[]), most_bytes=8_000_000, within_s=20, known=known)
        asked = await by_apprise(services, URLS["telegram"], event, ChatStyle(language=language, files=True), files)
        uploads = [form_of(each) for each in asked]
        for each, (fields, contents) in zip(asked, uploads, strict=True):
            if contents:
                within_telegram_uploads(each.target.rpartition("/")[2], fields, len(contents))
            else:
                within_limits("telegram", json.loads(each.body), each.body)
        is_attached = 1 <= len(urls) <= 10 and name != "needs the key"
        assert sum(len(contents) for _, contents in uploads) == (len(urls) if is_attached else 0), name
        said = [fields.get("text") or caption_of(fields) for fields, _ in uploads]
        check([text_of("telegram", {"parse_mode": "HTML", "text": each}) for each in said if each], event, name)


def caption_of(fields: dict[str, str]) -> str:
    """The caption of an upload, or of the first picture of an album."""
    return str(json.loads(fields["media"])[0].get("caption", "") if "media" in fields else fields.get("caption", ""))


def parts_of(content: bytes) -> tuple[str, str, str]:
    """The subject, the plain text and the HTML."""
    mail = message_from_bytes(content, policy=email_policy)
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    return mail["subject"], parts.get("text/plain", ""), parts.get("text/html", "")


async def test_a_link_to_a_program_names_no_format() -> None:
    files = ("https://cdn.example.com/download.php?id=1", "https://cdn.example.com/get.ashx")
    seen = SUCCEEDED._replace(result={"files": [{"url": url} for url in files]}, urls=files)
    [message] = await by_robot("telegram", task_sample(snapshot=seen), ChatStyle())
    assert re.findall(r">([^<]+)</a>", message["text"]) == ["File 1", "File 2"]
