"""`check`: what it says of each thing, and that it says the same as `run`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import pytest
from anyio.from_thread import start_blocking_portal

from tests.cli.shell import Said, Shell, change
from tests.loopback import Exchange, answers, loopback
from tests.world import KEY, World, running_world

LINE: Final = re.compile(r"(ok|warning|error) +([^ ]+): (.+)")


@pytest.fixture
def world(shell: Shell) -> Iterator[World]:
    with running_world(World()) as running:
        running.settings(shell.folder)
        yield running


def report(said: Said) -> dict[str, tuple[str, str]]:
    """Level and observation for each thing that `check` has a line about; of several the last."""
    found = {}
    for line in said.out.splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        found[match[2]] = match[1], match[3]
    return found


def test_check_reports_each_thing_with_a_level(shell: Shell, world: World) -> None:
    said = shell("check")
    assert said.code == 0
    settings = shell.folder / "genbridge.yaml"
    assert report(said)["settings"] == ("ok", f"{settings}: 1 account, 1 endpoint")
    assert report(said)["store"][0] == "ok"
    assert f"{shell.folder}/state.db" in report(said)["store"][1]
    assert not (shell.folder / "state.db").exists()
    settings.chmod(0o644)
    said = shell("check")
    assert said.code == 0, "a warning is no error"
    assert re.search(r"^warning settings: genbridge.yaml: holds secrets and is readable by others", said.out, re.M)


def test_check_warns_where_results_go_before_the_last_retry(shell: Shell, world: World) -> None:
    settings = shell.folder / "genbridge.yaml"
    assert "results last" not in shell("check").out, "Kling keeps them for a month"
    short = {"provider": "replicate", "base_url": "https://api.replicate.com", "api_key": "k"}
    change(settings, accounts={"short": short}, delivery={"retries": ["5s", "2h"]})
    said = shell("check")
    assert said.code == 0
    level, seen = report(said)["accounts.short"]
    assert level == "warning"
    assert re.search(r"results last 1h 0m, .* for 2h 0m ", seen)
    change(settings, delivery={"retries": ["5s", "50m"]})
    assert "results last" not in shell("check").out


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


def test_check_online_is_content_with_a_gateway_that_has_a_task_for_any_id(shell: Shell, world: World) -> None:
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
    assert fault != "endpoint" or "refused the connection: check url, and that the receiver runs" in said.out
    assert KEY not in said.out


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
        ("", 404, b'{"message":"Not Found"}', {}, "either the made-up task id is unknown"),
        ("", 404, b"", {}, "either the made-up task id is unknown"),
        ("", 401, b'{"error":{"message":"Incorrect API key"}}', {}, "the provider refuses the key; check it"),
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
    assert level == ("ok" if fix is None else "warning" if fix.startswith(("either", "check again")) else "error")
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


@pytest.mark.parametrize(("free", "level"), [(10 << 20, "error"), (100 << 20, "warning"), (9 << 30, "ok")])
def test_check_reports_a_disk_that_is_nearly_full(
    free: int, level: str, shell: Shell, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    found = report(shell("check"))["disk"]
    assert found[0] == level
    assert f"free at {shell.folder}" in found[1]


def test_check_finds_templates_and_chat_urls_that_cannot_work_at_their_place(shell: Shell, world: World) -> None:
    chat = {"type": "apprise", "urls": ["json://127.0.0.1:9/x", "nosuchservice://x"]}
    for wrong, place in ({}, "urls[1]"), ({"title": "{{ unclosed"}, "title"), ({"body": "{{ unclosed"}, "body"):
        change(shell.folder / "genbridge.yaml", endpoints={"chat": {**chat, **wrong}})
        said = shell("check")
        assert said.code == 78
        assert re.match(rf"genbridge\.yaml:1:\d+: endpoints\.chat\.{re.escape(place)}: ", said.err), said.err


def test_mistakes_in_a_description_and_in_a_template_are_reported_together(shell: Shell, world: World) -> None:
    chat = {"type": "apprise", "urls": ["json://127.0.0.1:9/x"], "body": "{{ nosuch }}"}
    change(shell.folder / "genbridge.yaml", endpoints={"chat": chat}, providers={"mine": {"extends": "sunoo"}})
    said = shell("check")
    assert said.code == 78
    assert [line.split(": ")[1] for line in said.err.splitlines()] == ["providers.mine.extends", "endpoints.chat.body"]


ACCOUNT: Final = {"provider": "kling", "base_url": "http://127.0.0.1:9", "api_key": "k"}
HOOK: Final = {"type": "webhook", "url": "http://127.0.0.1:9/hook"}


def chat(**changes: Any) -> dict[str, Any]:
    return {"endpoints": {"hook": {"type": "apprise", "urls": ["json://127.0.0.1:9/x"], **changes}}}


def hook(**changes: Any) -> dict[str, Any]:
    return {"endpoints": {"hook": {**HOOK, **changes}}}


def account(**changes: Any) -> dict[str, Any]:
    return {"accounts": {"kling": {**ACCOUNT, **changes}}}


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (chat(urls=["mailto://user:SECRET@127.0.0.1:1?to=a@b.c&from=x@y.z"]), "endpoints.hook.urls[0]"),
        (chat(urls=["json://127.0.0.1:9/x", "nosuchservice://SECRET"]), "endpoints.hook.urls[1]"),
        (chat(urls=["tgram://SECRET"]), "endpoints.hook.urls[0]"),
        (chat(urls=["json://127.0.0.1:9/x?retry=3"]), "endpoints.hook.urls[0]"),
        (chat(title="{{ nosuch }}"), "endpoints.hook.title"),
        (chat(body="{% for x in"), "endpoints.hook.body"),
        (hook(format="template", body="{{ nosuch }}"), "endpoints.hook.body"),
        (hook(format="template", body="not JSON"), "endpoints.hook.body"),
        (hook(url="http://999.1.1.1/SECRET"), "endpoints.hook.url"),
        (hook(url="http://xn--a.com/"), "endpoints.hook.url"),
        (hook(proxy="http://u:SECRET@999.1.1.1:3128"), "endpoints.hook.proxy"),
        (hook(ca_file="nowhere.pem"), "endpoints.hook.ca_file"),
        (hook(secret="whsec_short"), "endpoints.hook.secret"),
        (account(base_url="http://[v1.a]"), "accounts.kling.base_url"),
        (account(base_url="http://☃.net"), "accounts.kling.base_url"),
        (account(proxy="http://u:SECRET@☃.net:1"), "accounts.kling.proxy"),
        (account(proxy="socks5://h:1"), "accounts.kling.proxy"),
        (account(proxy="http://h:1/x"), "accounts.kling.proxy"),
        (hook(proxy="http://h:1?x=1"), "endpoints.hook.proxy"),
        (chat(proxy="http://h:1/x"), "endpoints.hook.proxy"),
        (account(ca_file="."), "accounts.kling.ca_file"),
        (account(api_key="file:nowhere"), "accounts.kling.api_key"),
        (account(action="one/two/three/four"), "accounts.kling.action"),
        ({"providers": {"mine": {"extends": "sunoo"}}}, "providers.mine.extends"),
        ({"store": "postgresql://u:SECRET@host:notaport/db"}, "store"),
        ({"store": "postgresql://u:SECRET@host/db?sslmode=bogus"}, "store"),
        ({"store": "host=127.0.0.1 user=u password=SECRET"}, "store"),
        ({"store": "${STORE}"}, "store"),
    ],
)
def test_check_run_once_and_test_refuse_the_same_settings_with_the_same_line(
    settings: dict[str, Any], key: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE", "host=127.0.0.1 password=SECRET")
    shell.settings({"accounts": {"kling": ACCOUNT}, "endpoints": {"hook": HOOK}, **settings})
    before = set(shell.folder.iterdir())
    said = [shell(*words) for words in (["check"], ["run"], ["once"], ["test", "hook"])]
    assert [one.code for one in said] == [78] * 4
    assert {one.err for one in said} == {said[0].err}
    [line] = said[0].err.splitlines()
    assert re.match(rf"genbridge\.yaml:1:\d+: {re.escape(key)}: ", line), line
    assert "SECRET" not in line
    assert set(shell.folder.iterdir()) == before


@pytest.mark.parametrize("command", ["list", "add", "status"])
def test_a_store_that_is_no_place_is_refused_by_every_command_without_printing_it(command: str, shell: Shell) -> None:
    shell.settings({"store": "host=127.0.0.1 user=u password=SECRET"})
    said = shell(command, *(["a"] if command == "add" else []))
    assert said.code == 78
    assert "postgresql://USER:${PASSWORD}@HOST:PORT/DATABASE" in said.err
    assert "SECRET" not in said.out + said.err
    assert not list(shell.folder.glob("host=*"))


def test_check_requires_a_base_url_for_a_variant_of_a_provider_with_an_official_host(shell: Shell) -> None:
    account = {"api_key": "k"}
    tree: dict[str, dict[str, Any]] = {"accounts": {}, "providers": {}}
    names = {"mine": {"extends": "fal"}, "mine_too": {"extends": "mine"}, "fal": {"extends": "fal", "title": "Ours"}}
    for name, described in {**names, "other": {"extends": "fal"}, "mirror": {"extends": "fal"}}.items():
        tree["providers"][name] = described
        tree["accounts"][name] = {"provider": name, **account}
    tree["providers"]["mirror"] = {"extends": "fal", "base_url": "https://fal.example.com"}
    shell.settings(tree)

    said = shell("check")
    assert [line.split(": ")[1] for line in said.err.splitlines()] == [
        f"accounts.{name}.base_url" for name in ("mine", "mine_too", "other")
    ]
    assert "a variant does not inherit it from fal (https://queue.fal.run)" in said.err


@pytest.mark.parametrize(
    ("account", "wrong"),
    [
        ({"provider": "vidu", "discover": "1m"}, "discover: vidu has no list of its tasks that genbridge can read"),
        ({"provider": "bare", "discover": "1m"}, "discover: bare keeps a list for each action; set action"),
        ({"provider": "replicate", "discover": "5s"}, "discover: 5s is not between 10s and 24h"),
        ({"provider": "replicate", "discover": "often"}, "discover: "),
        ({"provider": "vidu", "discover": None}, None),
        ({"provider": "bare", "discover": "1m", "action": "videos/text2video"}, None),
        ({"provider": "replicate", "discover": "1m"}, None),
    ],
)
def test_check_refuses_discover_where_no_list_can_be_read(
    shell: Shell, world: World, account: dict[str, Any], wrong: str | None
) -> None:
    bare = {"extends": "kling", "ask": {"discover": {"actions": []}}}
    accounts = {"one": {"base_url": "https://api.example.com", "api_key": "k", **account}}
    change(shell.folder / "genbridge.yaml", accounts=accounts, providers={"bare": bare})
    said = shell("check")
    assert said.code == (0 if wrong is None else 78)
    if wrong is not None:
        assert f"accounts.one.{wrong}" in said.out + said.err
        assert ("providers with one: ark, " in said.out + said.err) == (account["provider"] == "vidu")
