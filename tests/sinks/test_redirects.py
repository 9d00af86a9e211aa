"""Receivers that answer with a redirect: reported with the Location, never followed."""

from __future__ import annotations

import pytest

from bridge.domain.delivery import Deferred
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.judging import redirection
from tests.sinks.posting import deliver, robot_at, sink_at
from tests.sinks.receivers import answer, http_receiver
from tests.sinks.samples import as_delivery, task_sample

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

ASKED = "http://hooks.example.com/services/T0KEN-abcdefgh?key=sesame-open"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://hooks.example.com/", "https://hooks.example.com/"),
        ("https://www.example.com:8443/a/b", "https://www.example.com:8443/a/b"),
        ("/login", "http://hooks.example.com/login"),
        ("//cdn.example.com/x", "http://cdn.example.com/x"),
        ("https://hooks.example.com/services/T0KEN-abcdefgh/", "https://hooks.example.com/***/***/"),
        ("https://other.example/sesame-open", "https://other.example/***"),
        ("https://other.example/x?ticket=secret", "https://other.example/x?..."),
        ("https://me:word@other.example/x", "https://other.example/x"),
        ("https://other.example/d41d8cd98f00b204e9800998ecf8427e", "https://other.example/***"),
        ("http://[::1", "an invalid address"),
    ],
)
def test_the_location_is_shown_without_secrets(location: str, shown: str) -> None:
    assert redirection(302, location, asked=ASKED) == f"redirects to {shown}; redirects are not followed"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_every_3xx_is_a_redirect_with_or_without_location(status: int) -> None:
    assert redirection(status, None, asked=ASKED) == "a redirect without a Location; redirects are not followed"
    assert redirection(200, "https://x", asked=ASKED) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_webhooks_and_robots_report_redirects_and_do_not_follow_them(status: int) -> None:
    async with http_receiver() as other:
        said = answer(status, location=f"http://127.0.0.1:{other.port}/elsewhere")
        async with http_receiver(said) as receiver, sink_at(f"{receiver.url}/hook") as sink:
            hook = await deliver(sink)
        async with http_receiver(said) as receiver, robot_at(f"{receiver.url}/hook", "feishu") as sink:
            robot = await deliver(sink)

    for outcome in (hook, robot):
        assert isinstance(outcome, Deferred)
        assert f"redirects to http://127.0.0.1:{other.port}/elsewhere; redirects are not followed" in outcome.reason
    assert other.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_chat_reports_a_redirect_and_does_not_follow_it(status: int) -> None:
    async with (
        http_receiver() as other,
        http_receiver(answer(status, location=f"http://127.0.0.1:{other.port}/elsewhere")) as receiver,
    ):
        url = f"json://127.0.0.1:{receiver.port}/room"
        sink = ChatSink(name="chat", urls=[ChatUrl(text=url, url=url)], title=None, body=None, timeout_s=10.0)
        event = task_sample()
        outcome = await sink.deliver(as_delivery(sink.parcels(event)[0], event))

    assert isinstance(outcome, Deferred)
    assert "redirects are not followed" in outcome.reason
    assert "/elsewhere" in outcome.reason
    assert other.requests == []
