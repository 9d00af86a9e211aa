"""Attempts at a chat that are slow, unanswered, rate limited, or partly delivered."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from bridge.domain.delivery import Accepted, Deferred, Outcome
from bridge.net.client import Answer
from bridge.sinks.apprise_plugin import ApprisePlugin, check_url, separate_targets, usable_plugin
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.chat_attempts import failed
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.requests_hook import Exchange
from bridge.sinks.url_scrubber import without_secrets
from tests.sinks.receivers import HANG, answer, free_port, http_receiver
from tests.sinks.samples import SUCCEEDED, as_delivery, task_sample
from tests.stopwatch import Stopwatch

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

EVENT = task_sample()
TELEGRAM_429 = b'{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":14}}'
DISCORD_429 = b'{"message":"You are being rate limited.","retry_after":0.65,"global":false}'


def chat(*urls: str, timeout_s: float = 10.0, give_up_s: float = 600.0, language: str = "en") -> ChatSink:
    named, style = [ChatUrl(text=url, url=url) for url in urls], ChatStyle(language=language)
    return ChatSink(
        name="chat", urls=named, title=None, body=None, timeout_s=timeout_s, give_up_s=give_up_s, style=style
    )


async def deliver(sink: ChatSink, place: int = 0, **changes: Any) -> Outcome:
    return await sink.deliver(as_delivery(sink.parcels(EVENT)[place], EVENT, **changes))


class Slow:
    """A service that answers each POST after a while. It refuses the topic `refused`."""

    def __init__(self, after_s: float, refused: str | None = None) -> None:
        self.told: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.delays_s: list[float] = []
        slow = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                slow.told.append(body)
                time.sleep(slow.delays_s.pop(0) if slow.delays_s else after_s)
                status = (
                    slow.statuses.pop(0) if slow.statuses else 500 if refused and body.get("topic") == refused else 200
                )
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@contextmanager
def slow_service(after_s: float = 0.0, refused: str | None = None) -> Iterator[Slow]:
    slow = Slow(after_s, refused)
    thread = threading.Thread(target=slow.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield slow
    finally:
        slow.server.shutdown()
        slow.server.server_close()
        thread.join()


async def test_an_attempt_without_a_free_thread_uses_up_no_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    outcome = await deliver(chat("json://127.0.0.1:1/room"))
    assert isinstance(outcome, Deferred)
    assert outcome.reason == "this machine has no free thread"
    assert not outcome.is_counted


async def test_a_late_outcome_settles_an_attempt_longer_than_the_time_out() -> None:
    assert check_url("json://127.0.0.1") is None  # loads Apprise
    with slow_service(1.0) as slow:
        outcome = await deliver(chat(f"json://127.0.0.1:{slow.port}/room?rto=30", timeout_s=0.2))
        assert outcome == Accepted(detail="JSON")
        assert len(slow.told) == 1


async def test_a_plugins_url_may_replace_the_delivery_time_out() -> None:
    assert check_url("json://127.0.0.1") is None
    async with http_receiver(HANG) as receiver:
        watch = Stopwatch()
        outcome = await deliver(chat(f"json://127.0.0.1:{receiver.port}/room", timeout_s=0.5))
        assert watch.seconds < 3.5, "Apprise's own is 4 s"
        assert isinstance(outcome, Deferred)
        assert outcome.is_unanswered
        patient = await deliver(chat(f"json://127.0.0.1:{receiver.port}/room?rto=0.1", timeout_s=60))
    assert isinstance(patient, Deferred)
    assert "0.1" in patient.reason


async def test_a_request_that_was_never_sent_is_not_taken_for_unanswered() -> None:
    outcome = await deliver(chat(f"json://127.0.0.1:{free_port()}/room"))
    assert isinstance(outcome, Deferred)
    assert not outcome.is_unanswered


async def test_an_abandoned_attempt_counts_as_unanswered() -> None:
    assert check_url("json://127.0.0.1") is None
    async with http_receiver(HANG) as receiver:
        outcome = await deliver(chat(f"json://127.0.0.1:{receiver.port}/room?rto=60", give_up_s=0.3))
    assert outcome == Deferred(reason="no answer within 0.3 s; the message may still arrive", is_unanswered=True)


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        (answer(429, TELEGRAM_429), 14.0),
        (answer(429, DISCORD_429, Retry_After="0.65"), 0.65),
        (answer(429, b"slow down", X_RateLimit_Reset_After="1.337"), 1.337),
        (answer(503, b"", Retry_After="120"), 120.0),
    ],
)
async def test_a_retry_time_from_a_service_holds_the_queue(said: bytes, wait_s: float) -> None:
    async with http_receiver(said) as receiver:
        outcome = await deliver(chat(f"json://127.0.0.1:{receiver.port}/room"))
    assert isinstance(outcome, Deferred)
    assert (outcome.retry_after_s, outcome.delays_queue) == (wait_s, True)


async def test_each_target_of_a_url_has_its_own_delivery() -> None:
    with slow_service(refused="b") as slow:
        sink = chat(f"ntfy://127.0.0.1:{slow.port}/a/b/c")
        outcomes = [await deliver(sink, place) for place in range(3)]
        assert [type(outcome) for outcome in outcomes] == [Accepted, Deferred, Accepted]
        assert [body["topic"] for body in slow.told] == ["a", "b", "c"]
    queues = sink.targets()
    assert [queue.partition(":")[0] for queue in queues] == ["1.1", "1.2", "1.3"]
    assert len({queue.partition(":")[2] for queue in queues}) == 3


async def test_a_delivery_stored_for_a_whole_url_goes_to_all_targets() -> None:
    with slow_service() as slow:
        text = f"ntfy://127.0.0.1:{slow.port}/a/b"
        sink = chat(text)
        whole = f"1:{ChatUrl(text=text, url=text).digest}"
        assert whole not in sink.targets()
        assert isinstance(await deliver(sink, target=whole), Accepted)
        assert sorted(body["topic"] for body in slow.told) == ["a", "b"]


async def test_a_target_is_found_when_its_url_moves_in_the_list() -> None:
    with slow_service() as slow:
        url = f"ntfy://127.0.0.1:{slow.port}/a/b"
        waiting = chat(url).targets()[1]
        moved = chat("json://127.0.0.1:9", url)
        assert isinstance(await deliver(moved, target=waiting), Accepted)
        changed = chat(f"ntfy://127.0.0.1:{slow.port}/c/d")
        assert isinstance(await deliver(changed, target=waiting), Accepted)
        single = chat(f"ntfy://127.0.0.1:{slow.port}/c")
        assert isinstance(await deliver(single, target=waiting), Deferred)
        assert [body["topic"] for body in slow.told] == ["b", "d"]


def test_queues_keep_the_names_that_stored_deliveries_have() -> None:
    url = "tgram://123456789:abcdefg_hijklmnop-qrstuvwxyz12345678/1/2"
    assert chat(url, "json://x/y").targets() == ["1.1:b1ea33eaac78", "1.2:e2f9c7272f8e", "2:6b496559b959"]


def test_queue_names_do_not_reveal_their_targets() -> None:
    assert not any("12223334567" in queue for queue in chat("signal://127.0.0.1/12223334567/12223334568/x").targets())


@pytest.mark.parametrize(
    ("url", "count"),
    [
        ("tgram://123456789:abcdefg_hijklmnop-qrstuvwxyz12345678/1/2", 2),
        ("tgram://123456789:abcdefg_hijklmnop-qrstuvwxyz12345678/1", 1),
        ("mailto://robot:pw@mail.example.com?to=a@example.com,b@example.com&from=x@example.com", 2),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#a/#b", 2),
        ("mmost://127.0.0.1/token?channels=a,b", 2),
        ("rocket://user:pw@127.0.0.1/#a/@b", 2),
        ("smseagle://token@127.0.0.1/12223334567/#g/@c", 3),
        ("dingtalk://abcdefghijklmnopqrst/12223334567/12223334568", 1),  # people mentioned in one message
        ("mastodon://token@127.0.0.1/@a/@b", 1),
        ("json://127.0.0.1/a/b?x=y,z", 1),
        ("discord://1234567890/abcdefghijkl", 1),
    ],
)
def test_targets_are_found_whatever_the_plugin_calls_them(url: str, count: int) -> None:
    assert len(chat(url).targets()) == count
    assert not usable_plugin(url).mixes_targets


def test_each_matrix_room_of_a_url_gets_ids_of_its_own_kind() -> None:
    new, old = f"!{'a' * 43}", "!room:example.com"
    url = f"matrixs://user:password@example.com/{new}/{old}"
    plugins = [ApprisePlugin(url, target=target).plugin for target in separate_targets(url)]
    assert [(plugin.rooms, plugin.hsreq) for plugin in plugins] == [([new], False), ([old], True)]


LONG = tuple(f"https://cdn.example.com/{number}.mp4?X-Amz-Signature={'s' * 1850}&n={number}" for number in range(40))


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("scheme", "field", "count"),
    [
        ("ntfy://{}/a", "message", 4),  # no more: Apprise keeps 5.5 s between two messages there
        ("mmost://{}/token", "text", 4),
        ("mmost://{}/token", "text", 40),
        ("json://{}/a", "message", 40),
        ("json://{}/a?format=html", "message", 40),
    ],
)
async def test_every_long_url_arrives_whole_in_messages_the_service_takes(scheme: str, field: str, count: int) -> None:
    event = task_sample(snapshot=SUCCEEDED._replace(urls=LONG[:count]))
    with slow_service() as slow:
        sink = chat(scheme.format(f"127.0.0.1:{slow.port}"))
        [parcel] = sink.parcels(event)
        assert isinstance(await sink.deliver(as_delivery(parcel, event)), Accepted)
    texts = [body[field] for body in slow.told]
    limit = {"ntfy": 7800, "mmost": 4000, "json": 32768}[scheme.partition(":")[0]]
    assert max(map(len, texts)) <= limit
    lines = [html.unescape(line) for text in texts for line in re.split(r"\n|<br ?/>", text)]
    assert [line for line in lines if line.startswith("http")] == list(LONG[:count])


@pytest.mark.parametrize(("language", "notice"), [("en", "4 more results: {}"), ("zh", "另有 4 个结果\uff0c见 {}")])
async def test_results_too_long_for_any_message_are_counted(language: str, notice: str) -> None:
    urls = tuple(f"https://cdn.example.com/{number}?{'s' * 4300}" for number in range(4))
    event = task_sample(snapshot=SUCCEEDED._replace(urls=urls))
    with slow_service() as slow:
        sink = chat(f"mmost://127.0.0.1:{slow.port}/token", language=language)
        [parcel] = sink.parcels(event)
        assert isinstance(await sink.deliver(as_delivery(parcel, event)), Accepted)
    [body] = slow.told
    assert "https://" not in body["text"]
    assert notice.format(f"genbridge show {event.subject}") in body["text"]


@pytest.mark.parametrize(("statuses", "delays_s", "reason"), [([200, 500], [], "HTTP"), ([], [0.0, 5.0], "no answer")])
async def test_a_retry_starts_with_the_message_that_failed(
    statuses: list[int], delays_s: list[float], reason: str
) -> None:
    event = task_sample(snapshot=SUCCEEDED._replace(urls=LONG[:4]))
    with slow_service() as slow:
        slow.statuses, slow.delays_s = statuses, delays_s
        url = f"mmost://127.0.0.1:{slow.port}/token?rto=30"
        assert check_url(url) is None  # loads Apprise
        sink = chat(url, give_up_s=3.0)
        [parcel] = sink.parcels(event)
        outcome = await sink.deliver(as_delivery(parcel, event))
        assert isinstance(outcome, Deferred)
        assert outcome.reason.startswith(f"message 2 of 2: {reason}")
        delivery = as_delivery(parcel, event, attempts=1, sent_so_far=outcome.sent_so_far)
        assert isinstance(await chat(url).deliver(delivery), Accepted)  # after a restart
    first, failed, again = (body["text"] for body in slow.told)
    assert failed == again
    assert [url for url in LONG[:4] if url in first or url in again] == list(LONG[:4])


class SlowMailbox:
    def __init__(self, after_s: float) -> None:
        self.after_s = after_s
        self.mails = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails += 1
        time.sleep(self.after_s)
        return "250 taken"


@pytest.mark.parametrize(("option", "kind", "after_s"), [("&cto=2", Deferred, 5.0), ("", Accepted, 1.5)])
async def test_a_slow_mail_server_does_not_get_the_email_again_at_once(
    option: str, kind: type[Outcome], after_s: float
) -> None:
    mailbox = SlowMailbox(after_s)
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{controller.port}?smtp=127.0.0.1&mode=insecure&from=x@example.com&to=y@example.com"
        outcome = await deliver(chat(url + option, timeout_s=30.0))
    finally:
        controller.stop()
    assert isinstance(outcome, kind)
    assert mailbox.mails == 1
    assert not isinstance(outcome, Deferred) or outcome.is_unanswered


class StrictMailbox:
    """Refuses the sender, the recipients or the text, whichever has an answer here."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        envelope.mail_from = address
        return self.answers.get("sender", "250 fine")

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        said = self.answers.get(address.partition("@")[0], "250 fine")
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return self.answers.get("text", "250 taken")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"you": "550 no such user"}, 'you@example.com: 550 no such user; Sending email to "you@example.com" failed.'),
        ({"them": "550 gone"}, 'SMTP recipient them@example.com was refused: 550 gone; Sending email to "you@example'),
        ({"sender": '553 it\'s "unknown"'}, '553 it\'s "unknown"; Sending email to "you@example.com" failed.'),
        ({"text": "554-spam\r\n554 see RFC 5321"}, '554 spam see RFC 5321; Sending email to "you@example.com" failed.'),
    ],
)
async def test_the_words_of_a_mail_server_are_the_reason(answers: dict[str, str], reason: str) -> None:
    controller = Controller(StrictMailbox(**answers), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{controller.port}?smtp=127.0.0.1&mode=insecure&from=x@example.com&to=you@example.com"
        outcome = await deliver(chat(url + ("&cc=them@example.com" if "them" in answers else "")))
    finally:
        controller.stop()
    assert isinstance(outcome, Deferred)
    assert outcome.reason.startswith(reason)


def test_a_reason_hides_values_of_options_and_not_their_names() -> None:
    url = "mailto://example.com?pass=s3same-0pen&from=me@example.com&dG9rZW4tdG9rZW4="
    said = "the message from the server: no pass for s3same-0pen or dG9rZW4tdG9rZW4"
    assert without_secrets([said], url=url) == "the message from the server: no pass for *** or ***"


def test_a_reason_has_no_empty_lines_of_a_plugin() -> None:
    assert without_secrets(["", " ", ": ", "chat not found: "], url="tgram://token/room") == "chat not found"


async def test_a_mail_server_that_refuses_is_not_taken_for_unanswered() -> None:
    url = f"mailto://127.0.0.1:{free_port()}?smtp=127.0.0.1&mode=insecure&from=x@example.com&to=y@example.com"
    outcome = await deliver(chat(url))
    assert isinstance(outcome, Deferred)
    assert not outcome.is_unanswered


@pytest.mark.parametrize(
    ("url", "pause_s"),
    [
        ("ntfy://topic-of-mine", 1.0),
        ("mailto://me:pass@example.com", 0.5),
        ("wecombot://key-of-a-robot", 3.0),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", 1.2),
    ],
)
def test_the_pause_between_messages_is_the_limit_of_the_service(url: str, pause_s: float) -> None:
    assert ApprisePlugin(url).plugin.request_rate_per_sec == pause_s


def test_a_rate_limit_code_of_a_failed_plugin_holds_the_queue() -> None:
    body = b'{"errcode":45009,"errmsg":"api freq out of limit"}'
    limited = Answer(status=200, headers={}, body=body, complete=True, trouble="", is_over_cap=False)
    for host, schemes in (("127.0.0.1", {"wecombot"}), ("qyapi.weixin.qq.com", set[str]())):
        exchange = Exchange(method="POST", url=f"https://{host}/x", answer=limited)
        assert failed([exchange], schemes, []) == Deferred(reason="", retry_after_s=60.0, delays_queue=True)


async def test_a_failures_reason_is_status_and_message_of_the_service() -> None:
    said = answer(429, b'{"errcode":"M_LIMIT","error":"slow down, 3ccdd113474722377935511fc85d3dd4"}')
    async with http_receiver(said) as receiver:
        outcome = await deliver(chat(f"mmost://127.0.0.1:{receiver.port}/3ccdd113474722377935511fc85d3dd4"))
    assert outcome == Deferred(reason="HTTP 429 Too Many Requests: slow down, ***")


def test_the_server_of_a_chat_url_has_its_address_without_brackets() -> None:
    assert usable_plugin("json://[fd99::2]:8001/x").server == ("fd99::2", 8001)
