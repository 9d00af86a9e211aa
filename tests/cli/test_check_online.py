"""`check --online`: its requests to accounts and endpoints, the clock, and its findings."""

from __future__ import annotations

import json

import pytest
import trustme
from anyio.from_thread import start_blocking_portal

from tests.cli.check_report import ACCOUNT, HOOK, report
from tests.cli.shell import Shell, change
from tests.loopback import Exchange, answers, loopback
from tests.net.tunnel import context_for
from tests.world import KEY, World


def test_check_online_tries_every_account_and_endpoint_and_sends_nothing(shell: Shell, world: World) -> None:
    settings = shell.folder / "genbridge.yaml"
    written = json.loads(settings.read_text())
    endpoints = {**written["endpoints"], "chat": {"type": "apprise", "urls": ["json://127.0.0.1:9/x"]}}
    kling = written["accounts"]["kling"]
    del kling["action"]
    change(settings, accounts={"kling": kling}, endpoints=endpoints)
    said = shell("check", "--online")
    assert said.code == 0, said.out
    assert list(report(said))[-3:] == ["accounts.kling", "endpoints.hook", "endpoints.chat[1]"]
    assert len(world.polls) == 1
    assert world.received == []


def test_check_online_accepts_a_gateway_with_a_task_for_any_id(shell: Shell, world: World) -> None:
    answer = b'{"code": 0, "data": {"task_id": "genbridge-check", "task_status": "failed"}}'
    world.fault = lambda task_id: (200, answer, {})
    said = shell("check", "--online")
    assert (said.code, report(said)["accounts.kling"]) == (0, ("ok", "reachable (failed)"))


@pytest.mark.parametrize("fault", ["key", "page", "endpoint"])
def test_check_online_says_what_does_not_work(fault: str, shell: Shell, world: World) -> None:
    settings = shell.folder / "genbridge.yaml"
    written = json.loads(settings.read_text())
    match fault:
        case "key":
            written["accounts"]["kling"]["api_key"] = "another-key-0123"
        case "page":
            world.fault = lambda task_id: (200, b"<html>a web site</html>", {})
        case "endpoint":
            written["endpoints"]["hook"]["url"] = "http://127.0.0.1:9/"
    settings.write_text(json.dumps(written))
    said = shell("check", "--online")
    assert said.code == 1
    failed = [thing for thing, (level, _) in report(said).items() if level == "error"]
    assert failed == ["endpoints.hook" if fault == "endpoint" else "accounts.kling"]
    assert fault != "endpoint" or "refused the connection: check url, and whether the receiver is running" in said.out
    assert KEY not in said.out


def test_check_online_says_what_to_do_about_a_certificate(shell: Shell) -> None:
    certified = loopback(answers(200), tls=context_for(trustme.CA(), "127.0.0.1"))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(certified) as server:
        shell.settings({"accounts": {"kling": ACCOUNT}, "endpoints": {"hook": {**HOOK, "url": server.url}}})
        said = shell("check", "--online")
    assert report(said)["endpoints.hook"][1].endswith("add the issuer's certificate to ca_file")


@pytest.mark.parametrize(
    ("base", "status", "body", "headers", "fix"),
    [
        (
            "/v1",
            404,
            b'{"error":{"message":"Invalid URL (GET /v1/v1/videos/x)"}}',
            {},
            "set base_url to http://127.0.0.1:",
        ),
        ("", 404, b'{"detail":"Not Found"}', {}, "check base_url"),
        ("", 404, b"<html>404 Not Found</html>", {}, "check base_url"),
        ("", 405, b'{"detail":"Method Not Allowed"}', {}, "check base_url"),
        ("", 200, b"<html>sign in</html>", {}, "check base_url"),
        ("", 302, b"", {"Location": "https://login.example.net/"}, "redirects to"),
        ("", 404, b'{"message":"Not Found"}', {}, "this is normal, because the task id is made up"),
        ("", 404, b"", {}, "this is normal, because the task id is made up"),
        ("", 401, b'{"error":{"message":"Incorrect API key"}}', {}, "the provider refuses the key; check the key"),
        ("", 403, b'{"error":{"message":"Insufficient balance"}}', {}, "check its balance"),
        ("", 429, b'{"error":{"message":"slow down"}}', {"Retry-After": "30"}, "check again later"),
        ("", 503, b"", {}, "check base_url, or try again later"),
        ("", 404, b'{"error":{"message":"Video with id genbridge-check not found."}}', {}, None),
        ("", 400, b'{"code":"task_not_exist","message":"task_not_exist","data":null}', {}, None),
    ],
)
def test_check_online_distinguishes_an_unknown_task_from_an_unknown_address(
    base: str, status: int, body: bytes, headers: dict[str, str], fix: str | None, shell: Shell
) -> None:
    script = answers(status, body, headers)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(script)) as provider:
        account = {"provider": "openai_video", "base_url": f"{provider.url}{base}", "api_key": "k"}
        shell.settings({"accounts": {"videos": account}})
        said = shell("check", "--online")
    level, seen = report(said)["accounts.videos"]
    assert level == (
        "ok" if fix is None else "warning" if fix.startswith(("this is normal", "check again")) else "error"
    )
    assert fix is None or fix in seen
    assert ("use http://127.0.0.1" in said.out) is bool(base), "the repeated path is a warning without --online, too"


@pytest.mark.parametrize(
    ("status", "body", "level", "words"),
    [
        (200, b'{"results": [{"id": "a"}, {"id": "b"}], "next": null}', "ok", "2 tasks on its first page"),
        (404, b'{"detail": "Invalid URL"}', "error", "the list cannot be read: HTTP 404: Invalid URL"),
        (200, b'{"id": "a"}', "error", "contains no list of tasks"),
    ],
)
def test_check_online_reads_the_list_that_discover_uses(
    status: int, body: bytes, level: str, words: str, shell: Shell
) -> None:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(answers(status, body))) as one:
        account = {"provider": "replicate", "base_url": one.url, "api_key": "k", "discover": "1m"}
        shell.settings({"accounts": {"one": account}, "endpoints": {}})
        said = shell("check", "--online")
    found = report(said)["accounts.one.discover"]
    assert found[0] == level
    assert words in found[1]


@pytest.mark.parametrize(
    ("status", "level"),
    [(200, "ok"), (204, "ok"), (401, "ok"), (404, "ok"), (405, "ok"), (410, "warning"), (500, "warning")],
)
def test_check_online_warns_about_a_receiver_that_fails(status: int, level: str, shell: Shell) -> None:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(answers(status))) as receiver:
        account = {"provider": "kling", "base_url": receiver.url, "api_key": "k"}
        hook = {"type": "webhook", "url": f"{receiver.url}/hook"}
        shell.settings({"accounts": {"kling": account}, "endpoints": {"hook": hook}})
        said = shell("check", "--online")
    found = report(said)["endpoints.hook"]
    assert found[0] == level
    assert f"HTTP {status}" in found[1]


def test_check_online_points_at_a_proxy_that_is_down(shell: Shell) -> None:
    through = {"proxy": "http://127.0.0.1:1"}
    account = {"provider": "kling", "base_url": "http://api.invalid", "api_key": "k", **through}
    hook = {"type": "webhook", "url": "http://hook.invalid/x", **through}
    shell.settings({"accounts": {"kling": account}, "endpoints": {"hook": hook}})
    found = report(shell("check", "--online"))
    reason = "the proxy 127.0.0.1:1 refused the connection: check proxy"
    assert found["accounts.kling"] == ("error", f"{reason}, or try again later")
    assert found["endpoints.hook"] == ("error", reason)


def test_check_online_adds_nothing_to_a_reason_that_says_what_to_do(shell: Shell) -> None:
    untrusted = context_for(trustme.CA(), "127.0.0.1")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(loopback(answers(511))) as network,
        portal.wrap_async_context_manager(loopback(answers(200), tls=untrusted)) as secure,
    ):
        accounts = {
            name: {"provider": "kling", "base_url": server.url, "api_key": "k"}
            for name, server in (("network", network), ("secure", secure))
        }
        shell.settings({"accounts": accounts, "endpoints": {"hook": {"type": "webhook", "url": network.url}}})
        found = report(shell("check", "--online"))
    at = network.url.removeprefix("http://")
    login = ("error", f"no connection to {at}: this network requires a login first (HTTP 511)")
    assert (found["accounts.network"], found["endpoints.hook"]) == (login, login)
    assert found["accounts.secure"][1].endswith("add the issuer's certificate to ca_file")


def test_check_online_reports_a_redirect_as_an_error_with_the_location(shell: Shell) -> None:
    moved = answers(302, headers={"Location": "https://hooks.example.com/login?next=secret"})
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(moved)) as receiver:
        account = {"provider": "kling", "base_url": receiver.url, "api_key": "k"}
        shell.settings(
            {"accounts": {"kling": account}, "endpoints": {"hook": {"type": "webhook", "url": receiver.url}}}
        )
        said = shell("check", "--online")
    assert said.code == 1
    level, seen = report(said)["endpoints.hook"]
    assert level == "error"
    assert "redirects to https://hooks.example.com/login?...; redirects are not followed" in seen


@pytest.mark.parametrize(
    ("status", "level", "words"),
    [(200, "ok", "knows this robot"), (401, "error", "does not know this robot"), (404, "error", "does not know")],
)
@pytest.mark.parametrize("format", ["telegram", "discord"])
def test_check_online_verifies_a_robot_at_its_chat_service(
    format: str, status: int, level: str, words: str, shell: Shell
) -> None:
    asked: list[str] = []

    async def service(exchange: Exchange) -> None:
        asked.append(f"{exchange.asked.method} {exchange.asked.target}")
        await exchange.answer(status, b"{}")

    chat_id = {"chat_id": "5"} if format == "telegram" else {}
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(service)) as one:
        hook = {"type": "webhook", "format": format, "url": f"{one.url}/bot1:x", **chat_id}
        account = {"provider": "kling", "base_url": one.url, "api_key": "k"}
        shell.settings({"accounts": {"kling": account}, "endpoints": {"hook": hook}})
        found = report(shell("check", "--online"))["endpoints.hook"]
    assert found[0] == level
    assert words in found[1]
    assert asked[-1] == ("GET /bot1:x/getMe" if format == "telegram" else "GET /bot1:x")


def test_check_online_connects_to_the_server_that_a_chat_url_names(shell: Shell) -> None:
    asked: list[str] = []

    async def service(exchange: Exchange) -> None:
        asked.append(exchange.asked.target)
        await exchange.answer(404)

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(service)) as one:
        urls = [f"json{one.url.removeprefix('http')}/x", "json://127.0.0.1:9/x", "discord://123456789/abcdefghijkl"]
        account = {"provider": "comfyui", "base_url": one.url}
        shell.settings({"accounts": {"own": account}, "endpoints": {"chat": {"type": "apprise", "urls": urls}}})
        found = report(shell("check", "--online"))
    assert found["endpoints.chat[1]"][0] == "ok"
    assert "can be reached" in found["endpoints.chat[1]"][1]
    assert found["endpoints.chat[2]"] == ("warning", "127.0.0.1 port 9 cannot be reached: check the URL and the server")
    assert found["endpoints.chat[3]"] == ("ok", "usable; `genbridge test` sends a sample")
    assert "/x" not in asked


@pytest.mark.parametrize(("date", "says"), [("Mon, 01 Jan 2035 00:00:00 GMT", "behind"), ("", "")])
def test_check_online_compares_the_clock_with_those_of_servers(date: str, says: str, shell: Shell) -> None:
    dated = answers(404, headers={"Date": date} if date else {})
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(dated)) as one:
        account = {"provider": "kling", "base_url": one.url, "api_key": "k"}
        shell.settings({"accounts": {"kling": account}, "endpoints": {}})
        found = report(shell("check", "--online"))
    assert ("clock" in found) is bool(date)
    assert not date or (found["clock"][0] == "warning" and f"{says} the servers" in found["clock"][1])
