"""What commands show when a receiver refuses with HTTP 200."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from tests.cli.shell import Said, Shell, change
from tests.loopback import Exchange, Loopback, answers, loopback
from tests.world import World, running_world, until

REFUSED = b'{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}'
TAKEN = b'{"code":0,"msg":"success"}'


@pytest.fixture
def world(shell: Shell) -> Iterator[World]:
    with running_world(World()) as running:
        running.settings(shell.folder, routes=[{"topics": ["task_succeeded"], "endpoints": ["team"]}])
        running.ends_at["task-1"] = 0.0
        yield running


@contextmanager
def receiver(*bodies: bytes) -> Iterator[Loopback]:
    """A receiver that answers 200, with one body after the other. It repeats the last one."""
    waiting = list(bodies)

    async def script(exchange: Exchange) -> None:
        await answers(200, waiting.pop(0) if len(waiting) > 1 else waiting[0])(exchange)

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(script)) as server:
        yield server


def use(shell: Shell, server: Loopback, **endpoint: Any) -> None:
    team = {"type": "webhook", "url": f"{server.url}/hook", **endpoint}
    change(shell.folder / "genbridge.yaml", endpoints={"team": team}, delivery={"retries": ["0.1s", "0.1s"]})


def once(shell: Shell) -> Said:
    assert shell("add", "task-1").code == 0
    return shell("once", "--timeout", "30s")


def once_until_held(shell: Shell, *, deliveries: int) -> None:
    """Runs `once` until so many deliveries are held. Each run is short, because they use up its time."""

    def held() -> bool:
        assert shell("once", "--timeout", "3s").code == 1
        listed, status = shell("deliveries", "--json").json, shell("status", "--json").json
        return len(listed) == deliveries and bool(status["held_endpoints"])

    until(held, seconds=15, what="deliveries that wait for the retry time of the webhook")


def attempts(shell: Shell) -> list[dict[str, Any]]:
    [delivery] = shell("show", "task-1", "--json").json["deliveries"]
    made: list[dict[str, Any]] = delivery["made"]
    return made


def test_test_shows_a_refusal_with_http_200_in_the_services_words(shell: Shell, world: World) -> None:
    with receiver(REFUSED) as server:
        use(shell, server, format="feishu", secret="S")
        said = shell("test", "team")
    assert said.code == 1
    assert said.out.startswith("team: FAILED: HTTP 200, but refused: code 19021: sign match fail or timestamp")


def test_status_shows_an_endpoint_that_refuses_until_it_accepts(shell: Shell, world: World) -> None:
    with receiver(REFUSED, REFUSED, REFUSED, TAKEN) as server:
        use(shell, server, format="feishu")
        assert once(shell).code == 1
        said = shell("status").out
        assert "failing   endpoint team: 3 failed attempts, the first " in said
        assert "the last one: HTTP 200, but refused: code 19021: sign match fail" in said
        assert re.search(r"dead +1 delivery.*\n +1 to team\n", said)
        failing = shell("status", "--json").json["failing_endpoints"]["team"]
        assert (failing["failed_attempts"], failing["reported_at"]) == (3, None)
        assert shell("redeliver", "--dead").code == 0
        assert shell("once", "--timeout", "30s").code == 0
    assert "failing" not in shell("status").out
    assert shell("status", "--json").json["failing_endpoints"] == {}


def test_once_ignores_what_waited_for_a_removed_endpoint(shell: Shell, world: World) -> None:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(answers(410))) as server:
        use(shell, server)
        assert once(shell).code == 1
    change(shell.folder / "genbridge.yaml", endpoints={}, routes=[])
    said = shell("once", "--timeout", "30s")
    assert said.code == 0
    lines = map(json.loads, said.err.splitlines())
    assert [one["level"] for one in lines if one["event"] == "once.unfinished"] == ["warning"]
    assert [row["endpoint"] for row in shell("deliveries", "--json").json] == ["team"]


def test_a_retry_time_from_a_webhook_is_shown_until_it_is_lifted(shell: Shell, world: World) -> None:
    script = answers(503, b"busy", headers={"Retry-After": "400"})
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(script)) as server:
        use(shell, server)
        change(shell.folder / "genbridge.yaml", delivery={"retries": ["600s"]})
        assert shell("add", "task-1").code == 0
        once_until_held(shell, deliveries=1)
        asked = r"nothing is sent (?:there )?until \d{4}-\d\d-\d\dT"
        assert re.search(
            f"held +endpoint team: {asked}.*\n +HTTP 503.*`genbridge enable team` sends now", shell("status").out
        )
        assert re.search(f"HTTP 503 .*busy; {asked}", shell("deliveries").out) is None, "its retry is later"
        [held] = shell("status", "--json").json["held_endpoints"]
        assert (held["endpoint"], held["target"]) == ("team", None)
        assert shell("add", "task-2").code == 0
        world.ends_at["task-2"] = 0.0
        once_until_held(shell, deliveries=2)
        assert re.search(f"task-2 .*{asked}", shell("deliveries").out)
        assert re.search(f"waiting, next attempt in .*: {asked}", shell("explain", "task-2").out)
        assert shell("enable", "team").out == "team: no longer waits\n"
        assert "nothing is sent" not in shell("status").out


def test_once_tries_a_refused_message_again_until_the_service_takes_it(shell: Shell, world: World) -> None:
    with receiver(REFUSED, TAKEN) as server:
        use(shell, server, format="feishu")
        assert once(shell).code == 0
    assert len(server.asked) == 2
    story = shell("explain", "task-1").out
    assert "attempt 1: deferred" in story
    assert "HTTP 200, but refused: code 19021: sign match fail" in story
    assert "attempt 2: accepted" in story


@pytest.mark.parametrize(
    "said", [b'{"ok": false, "error": "quota exceeded"}', b'{"error": {"message": "quota exceeded"}}']
)
def test_a_webhook_refused_by_accept_is_finally_dead_with_the_reason(said: bytes, shell: Shell, world: World) -> None:
    with receiver(said) as server:
        use(shell, server, accept="ok")
        assert once(shell).code == 1
    assert len(server.asked) == 3
    [dead] = shell("deliveries", "--state", "dead", "--json").json
    assert dead["last_outcome"] == "deferred"
    assert "HTTP 200, but refused: quota exceeded" in shell("explain", "task-1").out


@pytest.mark.parametrize("said", [b'{"ok": true}', b'{"ok": 0}', b'{"ok": ""}', b'{"ok": []}'])
def test_every_other_value_of_accept_means_accepted(said: bytes, shell: Shell, world: World) -> None:
    with receiver(said) as server:
        use(shell, server, accept="ok")
        assert once(shell).code == 0
    assert len(server.asked) == 1
    assert shell("status", "--json").json["unchecked_by_endpoint"] == {}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>OK</html>", "the response is not JSON"),
        (b"", "the response is not JSON"),
        (b'{"code": 1, "x": "' + b"x" * 70_000 + b'"}', "the response is over 64 KiB"),
        (b'{"code": "x"}', "accept cannot be applied to the response: "),
        (b'{"code": 5, "x": [' + b"1," * 2000 + b"1]}", "accept cannot be applied to the response: "),
    ],
)
def test_an_answer_that_cannot_be_checked_is_accepted_with_a_warning(
    body: bytes, why: str, shell: Shell, world: World
) -> None:
    with receiver(body) as server:
        use(shell, server, accept="abs(code) > `0`" if b"[1" not in body else f"map(&map(&@, `{[1] * 100}`), x)")
        assert f"team: accepted: HTTP 200; warning: not checked: {why}" in shell("test", "team").out
        assert once(shell).code == 0
    assert re.search(
        rf"attempt 1: accepted after \S+: HTTP 200; warning: not checked: {re.escape(why)}",
        shell("explain", "task-1").out,
    )
    status = shell("status").out
    assert "endpoint team: 1 delivery accepted without a check in 24 h" in status
    assert why in status
    unchecked = shell("status", "--json").json["unchecked_by_endpoint"]
    assert unchecked["team"]["count"] == 1
    assert unchecked["team"]["reason"].startswith(why)


def test_a_rate_limit_holds_the_robots_queue_and_every_task_arrives(shell: Shell, world: World) -> None:
    limited = b'{"errcode":45009,"errmsg":"api freq out of limit"}'
    ids = [f"burst-{number:02}" for number in range(30)]
    world.ends_at |= dict.fromkeys(ids, 0.0)
    seen: list[tuple[float, str, bool]] = []

    async def script(exchange: Exchange) -> None:
        text = json.loads(exchange.asked.body)["text"]["content"]
        is_limited = len(seen) in {5, 17}
        [name] = re.findall(r"burst-\d\d", text.partition("\n")[0])
        seen.append((time.monotonic(), name, is_limited))
        await answers(200, limited if is_limited else b'{"errcode":0,"errmsg":"ok"}')(exchange)

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(script)) as server:
        use(shell, server, format="wecom")
        change(shell.folder / "genbridge.yaml", delivery={"retries": ["0.1s", "0.8s"]})
        assert shell("add", *ids).code == 0
        assert shell("once", "--timeout", "60s").code == 0

    assert sorted(name for _, name, is_limited in seen if not is_limited) == ids
    for before, after in itertools.pairwise(seen):
        assert not before[2] or after[0] - before[0] >= 0.8, "nothing is sent while the service wants to rest"


def test_a_plain_webhook_may_answer_what_it_likes(shell: Shell, world: World) -> None:
    with receiver(b"<html>" + b"x" * 70_000) as server:
        use(shell, server)
        assert once(shell).code == 0
    assert shell("status", "--json").json["unchecked_by_endpoint"] == {}
    assert "warning" not in shell("explain", "task-1").out


def test_check_compiles_accept_and_names_its_place(shell: Shell, world: World) -> None:
    with receiver(b"") as server:
        use(shell, server, accept="code ==")
        said = shell("check")
    assert said.code == 78
    assert "endpoints.team.accept: " in said.err
    assert "is not a JMESPath expression" in said.err


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("https://open.feishu.cn/open-apis/bot/v2/hook/x", "format: feishu"),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/x", "format: feishu"),
        ("https://oapi.dingtalk.com/robot/send?access_token=x", "format: dingtalk"),
        ("https://QYAPI.weixin.qq.com/cgi-bin/webhook/send?key=x", "format: wecom"),
        ("https://hooks.slack.com/services/T/B/x", "format: slack"),
        ("https://canary.discord.com:443/api/webhooks/1/x", "format: discord"),
        ("https://api.telegram.org/bot1:x/sendMessage", "format: telegram"),
        ("https://sctapi.ftqq.com/x.send", "type: apprise with the URL schan://SENDKEY"),
        ("https://api2.pushdeer.com/message/push", "type: apprise with the URL pushdeer://PUSHKEY"),
        ("https://api.day.app/x", "type: apprise with the URL barks://"),
    ],
)
@pytest.mark.parametrize("form", ["documented", "newapi", "wecom"])
def test_check_warns_about_a_webhook_at_a_chat_service(
    url: str, instead: str, form: str, shell: Shell, world: World
) -> None:
    team = {"type": "webhook", "url": url, "format": form}
    change(shell.folder / "genbridge.yaml", endpoints={"team": team})
    said = shell("check")
    assert said.code == 0
    warned = [line for line in said.out.splitlines() if line.startswith("warning endpoints.team: ")]
    if instead == f"format: {form}":
        assert warned == []
    else:
        [line] = warned
        assert line.partition("use ")[2].startswith(instead)


@pytest.mark.parametrize("url", ["https://discord.com/developers", "https://api.telegram.org.evil.example/x"])
def test_check_does_not_warn_about_other_addresses(url: str, shell: Shell, world: World) -> None:
    change(shell.folder / "genbridge.yaml", endpoints={"team": {"type": "webhook", "url": url}})
    assert "endpoints.team" not in shell("check").out
    assert json.loads((shell.folder / "genbridge.yaml").read_text())


def test_test_attaches_pictures_to_a_chat_whatever_its_settings_say(shell: Shell, world: World) -> None:
    with receiver(b"{}") as server:
        chat = {"type": "apprise", "urls": [f"json://127.0.0.1:{server.port}/x"]}
        hook = {"type": "webhook", "url": "http://127.0.0.1:9/"}
        change(shell.folder / "genbridge.yaml", endpoints={"team": chat, "hook": hook})
        said = shell("test", "team", "--results", "4", "--attach")
        assert said.code == 0, said.err
        assert "accepted: JSON, 4 files attached" in said.out
        assert shell("test", "hook", "--attach").code == 2
    text, files = [json.loads(asked.body) for asked in server.asked]
    assert "genbridge-sample-4.png" in text["message"]
    assert [each["mimetype"] for each in files["attachments"]] == ["image/png"] * 4
