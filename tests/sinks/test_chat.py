"""Apprise against real services on loopback: HTTP, SMTP, MQTT, and some that hang."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default as email_policy
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.domain.delivery import Accepted, Deferred, Outcome
from bridge.domain.event import Topic
from bridge.redaction import hide
from bridge.sinks.apprise_plugin import check_url
from bridge.sinks.chat import ChatSink, ChatUrl
from tests.sinks.chat_servers import Subscriber, mosquitto, smtp_server
from tests.sinks.receivers import (
    HANG,
    answer,
    free_port,
    http_receiver,
    silent_service,
)
from tests.sinks.samples import FAILED, TASK_ID, URL, as_delivery, task_sample
from tests.stopwatch import until

# Loading Apprise's plugins imports a module that Python 3.13 has removed. Apprise can do without it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

EVENT = task_sample()
TOKEN = "s3cr3t-t0ken-of-the-chat"


def chat(
    *urls: str, timeout_s: float = 10.0, give_up_s: float = 600.0, title: str | None = None, body: str | None = None
) -> ChatSink:
    return ChatSink(
        name="chat",
        urls=[ChatUrl(text=url, url=url) for url in urls],
        title=title,
        body=body,
        timeout_s=timeout_s,
        give_up_s=give_up_s,
    )


async def deliver(sink: ChatSink, place: int = 0) -> Outcome:
    return await sink.deliver(as_delivery(sink.parcels(EVENT)[place], EVENT))


def json_url(port: int) -> str:
    return f"json://robot:{TOKEN}@127.0.0.1:{port}/room"


async def test_a_message_reaches_the_service_with_title_text_and_tone() -> None:
    async with http_receiver() as receiver:
        assert await deliver(chat(json_url(receiver.port))) == Accepted(detail="JSON")
    told = json.loads(receiver.requests[0].partition(b"\r\n\r\n")[2])
    assert told["title"] == "🎬 trailer, take 3"
    assert told["message"].splitlines()[0] == URL
    assert told["type"] == "success"
    assert b"genbridge" in receiver.requests[0].partition(b"\r\n\r\n")[0]


async def test_each_url_has_its_own_queue_named_by_position_and_digest() -> None:
    sink = ChatSink(
        name="chat",
        urls=[ChatUrl(text="json://${A}", url="json://a"), ChatUrl(text="json://${B}", url="json://b")],
        title=None,
        body=None,
        timeout_s=1,
    )
    digests = [hashlib.sha256(text.encode()).hexdigest()[:12] for text in ("json://${A}", "json://${B}")]
    assert sink.targets() == [f"1:{digests[0]}", f"2:{digests[1]}"]
    assert [parcel.target for parcel in sink.parcels(EVENT)] == list(sink.targets())
    assert {parcel.body for parcel in sink.parcels(EVENT)} == {sink.parcels(EVENT)[0].body}


async def test_a_queue_finds_its_url_by_its_text_then_by_its_place() -> None:
    async with http_receiver() as one, http_receiver() as two:
        old = chat(json_url(one.port), json_url(two.port))
        waiting = as_delivery(old.parcels(EVENT)[0], EVENT)
        assert isinstance(await chat(json_url(two.port), json_url(one.port)).deliver(waiting), Accepted)
        assert (len(one.requests), len(two.requests)) == (1, 0)
        assert isinstance(await chat(json_url(two.port)).deliver(waiting), Accepted)
        assert (len(one.requests), len(two.requests)) == (1, 1)
        gone = as_delivery(old.parcels(EVENT)[1], EVENT)
        outcome = await chat("json://127.0.0.1:9").deliver(gone)
    assert outcome == Deferred(reason="its URL is no longer in the settings (endpoints.chat.urls)")


@pytest.mark.parametrize("target", ["", "0:x", "-1:x", "9:x", "²:x", "x"])
async def test_a_delivery_to_an_unknown_queue_waits(target: str) -> None:
    sink = chat("json://127.0.0.1:9")
    outcome = await sink.deliver(as_delivery(sink.parcels(EVENT)[0], EVENT, target=target))
    assert isinstance(outcome, Deferred)
    assert "no longer in the settings" in outcome.reason


async def test_a_delivery_created_for_a_webhook_is_not_sent_to_a_chat() -> None:
    sink = chat("json://127.0.0.1:9")
    [parcel] = sink.parcels(EVENT)
    for body in (b'{"topic":"task_succeeded","data":{}}', b"[]", b"no json"):
        outcome = await sink.deliver(as_delivery(type(parcel)(endpoint="chat", target=parcel.target, body=body), EVENT))
        assert isinstance(outcome, Deferred)
        assert "created for a webhook" in outcome.reason


async def test_a_failure_keeps_the_services_reason() -> None:
    async with http_receiver(answer(500)) as receiver:
        outcome = await deliver(chat(json_url(receiver.port)))
    assert isinstance(outcome, Deferred)
    assert "500" in outcome.reason


async def test_the_reason_of_a_failed_connection_holds_no_token() -> None:
    outcome = await deliver(chat(json_url(free_port())))
    assert isinstance(outcome, Deferred)
    assert "refused" in outcome.reason
    assert TOKEN not in outcome.reason
    assert outcome.reason.isprintable()


async def test_a_url_apprise_cannot_use_is_a_reason_not_an_error() -> None:
    outcome = await deliver(chat(f"nosuch://{TOKEN}/x"))
    assert isinstance(outcome, Deferred)
    assert outcome.reason == (
        'not a URL Apprise can use: unknown service "nosuch"; https://github.com/caronc/apprise/wiki lists all'
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("tgram://bad", "it is incomplete or wrong for Telegram; write it like tgram://{bot_token}"),
        (
            "discord://12345678",
            (
                "it is incomplete or wrong for Discord; write it like discord://{webhook_id}/{webhook_token}; "
                "An invalid Discord Webhook Token (None) was specified."
            ),
        ),
        (
            "mailto://x",
            "it is incomplete or wrong for E-Mail; write it like mailto://{host}; Invalid ~From~ email specified",
        ),
        ("hello", "it has no scheme, such as tgram://"),
    ],
)
def test_an_unusable_url_is_explained_with_the_form_that_the_service_needs(url: str, reason: str) -> None:
    assert check_url(url) == f"not a URL Apprise can use: {reason}"


def test_a_service_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from apprise.manager_plugins import NotificationManager

    manager = NotificationManager()  # type: ignore[no-untyped-call]
    monkeypatch.setattr(manager["mqtt"], "enabled", False)
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    packages = project["optional-dependencies"]["notify"]
    how = f"{sys.executable} -m pip install {' '.join(map(repr, packages))} (or, in a checkout, '.[notify]')"
    assert check_url("mqtt://127.0.0.1/topic") == f"the Python package for MQTT Notification is missing: {how}"


@contextmanager
def strange_service(kind: str) -> Iterator[None]:
    """A badly written plugin. It raises, returns False or exits, and logs its URL each time."""
    decorators = importlib.import_module("apprise.decorators")
    plugins = importlib.import_module("apprise.manager_plugins").NotificationManager()

    def wrapper(body: str, title: str, notify_type: str, meta: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        logging.getLogger("apprise").warning("calling %s", meta["url"])
        if kind == "raises":
            raise ValueError(f"no luck with {meta['url']}")
        if kind == "exits":
            sys.exit(3)
        return False

    decorators.notify(on="strange")(wrapper)
    try:
        yield
    finally:
        plugins.remove("strange")


@pytest.mark.parametrize("kind", ["raises", "exits", "refuses"])
async def test_every_behavior_of_a_plugin_is_an_outcome_without_secrets(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with strange_service(kind):
        outcome = await deliver(chat(f"strange://user:{TOKEN}@host/path%20{TOKEN}?key={TOKEN}x"))
    assert isinstance(outcome, Deferred)
    assert outcome.reason
    assert TOKEN not in outcome.reason
    assert TOKEN not in "".join(capfd.readouterr())


async def test_secrets_known_to_the_log_are_hidden_in_reasons() -> None:
    hide(["room-from-the-environment"])
    async with http_receiver(answer(404)) as receiver:
        outcome = await deliver(chat(f"json://127.0.0.1:{receiver.port}/room-from-the-environment"))
    assert isinstance(outcome, Deferred)
    assert "room-from" not in outcome.reason


async def test_a_third_attempt_waits_while_two_abandoned_ones_still_hang() -> None:
    assert check_url("json://127.0.0.1") is None  # loads Apprise, which takes longer than the time-out here
    async with http_receiver(HANG) as receiver:
        sink = chat(json_url(receiver.port) + "?rto=60", give_up_s=0.3)
        outcomes = [await deliver(sink) for _ in range(3)]
        assert len(receiver.requests) == 2
    assert [outcome.reason for outcome in outcomes if isinstance(outcome, Deferred)] == [
        "no answer within 0.3 s; the message may still arrive",
        "no answer within 0.3 s; the message may still arrive",
        "earlier attempts have not returned yet",
    ]


async def test_redirects_are_not_followed() -> None:
    async with http_receiver() as other:
        async with http_receiver(answer(307, location=other.url)) as receiver:
            assert isinstance(await deliver(chat(json_url(receiver.port))), Deferred)
    assert other.requests == []


@pytest.mark.parametrize("form", ["markdown", "text"])
async def test_links_stay_exact_and_strings_harmless_in_every_markup(form: str) -> None:
    event = task_sample(reason="see **b** [c](https://evil.example) @everyone")
    async with http_receiver(answer(200, b"{}")) as receiver:
        sink = chat(f"gotify://127.0.0.1:{receiver.port}/AbCdEfGhIjKlMnO?format={form}")
        [parcel] = sink.parcels(event)
        assert isinstance(await sink.deliver(as_delivery(parcel, event)), Accepted)
    text = json.loads(receiver.requests[0].partition(b"\r\n\r\n")[2])["message"]
    first, second, _ = [line.strip() for line in text.splitlines()]
    assert second == "see \u2217\u2217b\u2217\u2217 (c)(https://evil.example) @\u200beveryone."
    assert first == (URL if form == "text" else f"[Watch the video]({URL})")


async def test_a_service_that_renders_html_gets_it_escaped() -> None:
    async with http_receiver() as receiver:
        await deliver(chat(f"json://127.0.0.1:{receiver.port}/?format=html"))
    text = json.loads(receiver.requests[0].partition(b"\r\n\r\n")[2])["message"]
    assert text.split("<br/>")[0] == URL.replace("&", "&amp;")


def mail_url(port: int) -> str:
    return (
        f"mailto://robot:{TOKEN}@127.0.0.1:{port}?smtp=127.0.0.1&mode=insecure"
        "&from=genbridge@example.com&to=somebody@example.com"
    )


async def test_a_mail_arrives_through_a_real_smtp_server_with_its_link_intact() -> None:
    with smtp_server() as (port, mailbox):
        outcome = await deliver(chat(mail_url(port).replace(f"robot:{TOKEN}@", "")))
    assert outcome == Accepted(detail="E-Mail")
    mail = message_from_bytes(mailbox.mails[0], policy=email_policy)
    assert mail["subject"] == "🎬 trailer, take 3"
    texts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    assert URL in texts.get("text/plain", "") or URL.replace("&", "&amp;") in texts["text/html"]


@pytest.mark.real
async def test_hanging_services_do_not_delay_email_and_mqtt(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as broker:
        with smtp_server() as (smtp, mailbox), silent_service() as silent:
            subscriber = Subscriber(broker, "studio/done")
            await until(lambda: subscriber.is_ready)
            hanging = [json_url(silent) + f"?rto=30&room={room}" for room in range(8)]
            mail = mail_url(smtp).replace(f"robot:{TOKEN}@", "")
            sink = chat(*hanging, mail, f"mqtt://127.0.0.1:{broker}/studio/done?qos=1", timeout_s=8)
            outcomes: dict[int, tuple[Outcome, float]] = {}
            begun_at = time.monotonic()

            async def one(place: int) -> None:
                outcome = await deliver(sink, place)
                outcomes[place] = (outcome, time.monotonic() - begun_at)

            async with anyio.create_task_group() as group:
                for place in range(10):
                    group.start_soon(one, place)
                await until(lambda: {8, 9} <= outcomes.keys())
                assert len(outcomes) == 2, "the hanging ones still hang"
                group.cancel_scope.cancel()
            assert outcomes[8][0] == Accepted(detail="E-Mail")
            assert outcomes[9][0] == Accepted(detail="MQTT Notification")
            assert max(took_s for _, took_s in outcomes.values()) < 6
            await until(lambda: subscriber.messages)
            subscriber.close()
    assert len(mailbox.mails) == 1
    [message] = subscriber.messages
    assert message.splitlines()[0] == "🎬 trailer, take 3"
    assert message.splitlines()[1] == URL


@pytest.mark.real
async def test_a_broker_that_restarts_gets_the_next_attempt(tmp_path: Path) -> None:
    port = free_port()
    sink = chat(f"mqtt://127.0.0.1:{port}/x?qos=1")
    assert isinstance(await deliver(sink), Deferred)
    async with mosquitto(tmp_path, port=port):
        assert isinstance(await deliver(sink), Accepted)
    assert isinstance(await deliver(sink), Deferred)
    async with mosquitto(tmp_path, port=port):
        assert isinstance(await deliver(sink), Accepted)


@pytest.mark.parametrize("options", ["", "?qos=0"])
async def test_a_message_to_a_broker_that_hangs_is_not_accepted(options: str) -> None:
    with silent_service() as port:
        outcome = await deliver(chat(f"mqtt://127.0.0.1:{port}/studio/done{options}", timeout_s=1.0))
    assert isinstance(outcome, Deferred), outcome
    assert "the broker did not answer" in outcome.reason


@pytest.mark.real
async def test_a_broker_that_refuses_the_login_is_the_reason(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    async with mosquitto(tmp_path, is_open=False) as port:
        outcome = await deliver(chat(f"mqtt://me:wrong-{TOKEN}@127.0.0.1:{port}/studio/done", timeout_s=60.0))
    assert isinstance(outcome, Deferred), outcome
    assert "the broker refused the login: Not authorized" in outcome.reason
    assert TOKEN not in outcome.reason
    assert not [each for each in {*threading.enumerate()} - before if each.name.startswith("paho")]


@pytest.mark.parametrize("option", ["retry=3", "wait=1", "RETRY=1", "a=b&%72etry=2"])
def test_retries_of_apprise_are_refused_with_a_hint(option: str) -> None:
    reason = check_url(f"json://127.0.0.1/?{option}")
    assert reason is not None
    assert "delivery.retries" in reason


def test_checking_a_url_sends_nothing_and_shows_no_secret() -> None:
    assert check_url(f"json://127.0.0.1:9/{TOKEN}") is None
    assert check_url("tgram://123456789:abcdefg_hijklmnop-qrstuvwxyz12345678/1") is None
    for url in ("", "nonsense", f"nosuch://{TOKEN}", f"tgram://{TOKEN}", f"mailto://{TOKEN}"):
        reason = check_url(url)
        assert reason
        assert TOKEN not in reason
        assert reason.isprintable()


def test_wrong_templates_are_found_when_the_endpoint_is_made() -> None:
    with pytest.raises(ValueError, match="unknown name"):
        chat("json://127.0.0.1", body="{{ nonsense }}")


def test_a_stored_message_holds_its_text_and_the_same_in_parts() -> None:
    event = task_sample(Topic.TASK_FAILED, FAILED, reason="moderation")
    [parcel] = chat("json://127.0.0.1").parcels(event)
    stored = json.loads(parcel.body)
    assert stored["title"] == stored["card"]["title"] == "⚠️ trailer, take 3 failed"
    lines = ["moderation.", "“The prompt was refused by content moderation”", "kling · after 31 s", TASK_ID]
    assert stored["body"].splitlines() == lines
    card = stored["card"]
    assert [*card["before"], card["facts"], *card["after"]] == lines
    assert card["tone"] == "failure"


async def test_a_message_stored_by_an_earlier_version_is_still_sent() -> None:
    async with http_receiver() as receiver:
        sink = chat(json_url(receiver.port))
        [parcel] = sink.parcels(EVENT)
        for card in ({}, {"card": {"title": "of another version"}}):
            body = json.dumps({"title": "the title", "body": "the body", **card}).encode()
            old = type(parcel)(endpoint="chat", target=parcel.target, body=body)
            assert isinstance(await sink.deliver(as_delivery(old, EVENT)), Accepted)
    told = json.loads(receiver.requests[1].partition(b"\r\n\r\n")[2])
    assert (told["title"], told["message"]) == ("the title", "the body")


def test_apprise_is_loaded_with_the_first_message_and_not_before() -> None:
    code = (
        "import sys; from bridge.sinks.chat import ChatSink, ChatUrl\n"
        "from bridge.sinks.webhook import WebhookSink\n"
        "from tests.sinks.samples import task_sample\n"
        "urls = [ChatUrl(text='json://x', url='json://x')]\n"
        "sink = ChatSink(name='chat', urls=urls, title=None, body=None, timeout_s=1)\n"
        "sink.parcels(task_sample())\n"
        "assert not [name for name in sys.modules if name.startswith(('apprise', 'requests'))]\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
