"""Services behind Apprise that refuse with HTTP 200. A real server plays them, and a tunnel leads their hosts to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import pytest
import trustme

from bridge.domain.delivery import Accepted, Deferred, Outcome
from bridge.sinks.chat import ChatSink, ChatUrl
from tests.loopback import Loopback, Script, answers, loopback
from tests.net.tunnel import context_for, tunnel
from tests.sinks.samples import URL, as_delivery, task_sample

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

HOSTS: Final = (
    *("open.feishu.cn", "open.larksuite.com", "oapi.dingtalk.com", "qyapi.weixin.qq.com", "sctapi.ftqq.com"),
    "hooks.slack.com",
)
EVENT: Final = task_sample()
Play = Callable[[Script], AbstractAsyncContextManager[Loopback]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Serves the hosts of all services, with a certificate that the plugins trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))

    @asynccontextmanager
    async def playing(script: Script) -> AsyncIterator[Loopback]:
        async with loopback(script, tls=context_for(authority, *HOSTS)) as server, tunnel(server.port) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            yield server

    return playing


async def sent_to(url: str) -> Outcome:
    sink = ChatSink(name="chat", urls=[ChatUrl(text=url, url=url)], title=None, body=None, timeout_s=10)
    [parcel] = sink.parcels(EVENT)
    return await sink.deliver(as_delivery(parcel, EVENT))


REFUSALS: Final = [
    ("feishu://a1b2c3d4", {"code": 19024, "msg": "Key Words Not Found"}, "code 19024: Key Words Not Found"),
    ("lark://a1b2c3d4", {"code": 19021, "msg": "sign match fail"}, "code 19021: sign match fail; check secret"),
    ("dingtalk://a1b2c3d4", {"errcode": 310000, "errmsg": "keywords not in content"}, "code 310000: keywords not in"),
    ("wecombot://a1b2c3d4", {"errcode": 93000, "errmsg": "invalid webhook url"}, "code 93000: invalid webhook url"),
    ("schan://a1b2c3d4", {"code": 40001, "message": "bad pushkey"}, "code 40001: bad pushkey"),
]


@pytest.mark.parametrize(("url", "said", "words"), REFUSALS)
async def test_a_refusal_with_http_200_is_not_accepted(url: str, said: object, words: str, play: Play) -> None:
    async with play(answers(200, json.dumps(said).encode())) as server:
        outcome = await sent_to(url)
    assert len(server.asked) == 1
    assert isinstance(outcome, Deferred)
    assert outcome.reason.startswith("HTTP 200, but refused: ")
    assert words in outcome.reason
    assert "a1b2c3d4" not in outcome.reason


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("feishu://a1b2c3d4", {"code": 0, "msg": "success"}),
        ("lark://a1b2c3d4", {"StatusCode": 0}),
        ("dingtalk://a1b2c3d4", {"errcode": 0, "errmsg": "ok"}),
        ("wecombot://a1b2c3d4", {"errcode": 0, "errmsg": "ok"}),
        ("schan://a1b2c3d4", {"code": 0, "message": "", "data": {"pushid": "1", "errno": 0}}),
    ],
)
async def test_an_answer_without_a_refusal_is_accepted(url: str, said: object, play: Play) -> None:
    async with play(answers(200, json.dumps(said).encode())):
        outcome = await sent_to(url)
    assert isinstance(outcome, Accepted)
    assert outcome.doubt == ""


SLACK: Final = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"


@pytest.mark.parametrize(
    ("url", "status", "said", "reason"),
    [
        (SLACK, 200, b"no_text", "HTTP 200, but refused: no_text"),
        (SLACK, 404, b"no_service", "HTTP 404 Not Found: no_service"),
        ("feishu://a1b2c3d4", 502, b"<html><title>502 Bad Gateway</title></html>", "HTTP 502 Bad Gateway"),
        (
            "dingtalk://a1b2c3d4",
            400,
            b'{"errcode":300001,"errmsg":"token is not exist"}',
            "HTTP 400 Bad Request: code 300001: token is not exist; check url; the robot may have been removed",
        ),
    ],
)
async def test_a_refusal_has_the_same_reason_as_for_a_robot(
    url: str, status: int, said: bytes, reason: str, play: Play
) -> None:
    async with play(answers(status, said)):
        assert await sent_to(url) == Deferred(reason=reason)


async def test_serverchan_gets_markdown_that_keeps_its_line_breaks(play: Play) -> None:
    async with play(answers(200, b'{"code":0}')) as server:
        assert isinstance(await sent_to("schan://a1b2c3d4"), Accepted)
    [desp] = parse_qs(server.asked[0].body.decode())["desp"]
    assert desp == f"[Watch the video]({URL})  \n5 s · kling · took 2 min 4 s"


async def test_a_limit_in_a_refusal_holds_the_queue(play: Play) -> None:
    async with play(answers(200, b'{"errcode":45009,"errmsg":"api freq out of limit"}')):
        outcome = await sent_to("wecombot://a1b2c3d4")
    assert isinstance(outcome, Deferred)
    assert (outcome.retry_after_s, outcome.delays_queue) == (60.0, True)


async def test_an_answer_that_is_not_json_is_accepted_with_a_warning(play: Play) -> None:
    async with play(answers(200, b"<html>")):
        outcome = await sent_to("feishu://a1b2c3d4")
    assert outcome == Accepted(detail="Feishu", doubt="the response is not JSON")


@pytest.mark.parametrize(
    ("url", "said", "words"),
    [
        (
            "bark://127.0.0.1:{port}/a1b2c3d4",
            {"code": 400, "message": "failed to get device token"},
            "code 400: failed",
        ),
        ("pushdeer://127.0.0.1:{port}/a1b2c3d4", {"code": 80501, "error": "token is invalid"}, "code 80501: token"),
        ("pushdeer://127.0.0.1:{port}/a1b2c3d4", {"code": 0, "content": {"result": []}}, "no device was reached"),
        ("synology://127.0.0.1:{port}/a1b2c3d4", {"success": False, "error": {"message": "bad token"}}, "bad token"),
    ],
)
async def test_a_self_hosted_service_is_recognized_by_its_scheme(url: str, said: object, words: str) -> None:
    async with loopback(answers(200, json.dumps(said).encode())) as server:
        outcome = await sent_to(url.format(port=server.port))
    assert isinstance(outcome, Deferred), outcome
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("bark://127.0.0.1:{port}/a1b2c3d4", {"code": 200, "message": "success"}),
        ("pushdeer://127.0.0.1:{port}/a1b2c3d4", {"code": 0, "content": {"result": ["ok"]}}),
        ("synology://127.0.0.1:{port}/a1b2c3d4", {"success": True}),
        ("json://127.0.0.1:{port}/", {"ok": False}),
    ],
)
async def test_other_answers_of_such_services_and_of_programs_are_accepted(url: str, said: object) -> None:
    async with loopback(answers(200, json.dumps(said).encode())) as server:
        outcome = await sent_to(url.format(port=server.port))
    assert isinstance(outcome, Accepted), outcome


async def test_a_refused_message_is_sent_again_and_then_accepted(play: Play) -> None:
    waiting = [b'{"code":11232,"msg":"frequency limited"}', b'{"code":0}']

    async def script(exchange: object) -> None:
        await answers(200, waiting.pop(0))(exchange)  # type: ignore[arg-type]  # the same exchange

    async with play(script) as server:
        outcomes = [await sent_to("feishu://a1b2c3d4") for _ in range(2)]
    assert [type(outcome) for outcome in outcomes] == [Deferred, Accepted]
    assert len(server.asked) == 2
