"""What `check` reports about each thing, and that `run` reports the same errors."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from tests.cli.check_report import ACCOUNT, HOOK, report
from tests.cli.shell import Shell, change
from tests.daemon_process import DaemonProcess
from tests.world import World, until

ROOT: Final = Path(__file__).parents[2]


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


def test_check_warns_about_results_that_expire_before_the_last_retry(shell: Shell, world: World) -> None:
    settings = shell.folder / "genbridge.yaml"
    assert "results last" not in shell("check").out, "Kling keeps them for a month"
    short = {"provider": "replicate", "base_url": "https://api.replicate.com", "api_key": "k"}
    change(settings, accounts={"short": short}, delivery={"retries": ["5s", "2h"]})
    said = shell("check")
    assert said.code == 0
    level, seen = report(said)["accounts.short"]
    assert level == "warning"
    assert re.search(r"results last 1h 0m, .* for 2h 0m: .*; set archive$", seen)
    change(settings, archive={"to": "archive/"})
    assert "results last" not in shell("check").out, "the copies last"
    change(settings, delivery={"retries": ["5s", "50m"]})
    assert "results last" not in shell("check").out


@pytest.mark.parametrize(
    ("free", "level"), [(10 << 20, "error"), (100 << 20, "warning"), (1 << 30, "warning"), (9 << 30, "ok")]
)
def test_check_reports_a_disk_that_is_nearly_full(
    free: int, level: str, shell: Shell, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free, total=100 << 30))
    found = report(shell("check"))["disk"]
    assert found[0] == level
    assert f"free at {shell.folder}" in found[1]


def test_an_archive_in_a_bucket_without_its_package_says_what_to_install(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    change(shell.folder / "genbridge.yaml", archive={"to": "s3://bucket/results"}, accounts={"kling": ACCOUNT})
    [package] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["s3"]
    said = shell("check")
    assert said.code == 78
    assert f"{sys.executable} -m pip install '{package}' (or, in a checkout, '.[s3]')" in said.err


MANY_MISTAKES = """
accounts:
  main: {provider: kling, base_url: "https://one.example.com", api_key: "${NOT_SET_ANYWHERE}"}
  other: {provider: kling, base_url: "https://two.example.com", api_key: k, action: "NO ACTION"}
endpoints:
  ftp: {type: webhook, url: "ftp://x"}
  automation: {type: webhook, url: "http://127.0.0.1:9/", accept: "a ==="}
  chat: {type: apprise, urls: ["nosuchservice://x"]}
routes: [{topics: [task_succeded], endpoints: [ftp]}]
"""
PLACES = [
    *("2:73: accounts.main.api_key", "3:85: accounts.other.action", "5:29: endpoints.ftp.url"),
    *("6:67: endpoints.automation.accept", "7:32: endpoints.chat.urls[0]", "8:20: routes[0].topics[0]"),
]


@pytest.mark.parametrize("command", ["check", "run", "once"])
def test_all_mistakes_are_listed_together_and_in_order(command: str, shell: Shell) -> None:
    (shell.folder / "genbridge.yaml").write_text(MANY_MISTAKES.lstrip())
    said = shell(command)
    assert said.code == 78
    assert re.findall(r"^genbridge\.yaml:(\d+:\d+: [\w.\[\]]+): ", said.err, re.M) == PLACES


def test_a_command_without_secrets_lists_all_mistakes_except_missing_secrets(shell: Shell) -> None:
    (shell.folder / "genbridge.yaml").write_text(MANY_MISTAKES.lstrip())
    said = shell("explain", "any")
    assert said.code == 78
    assert re.findall(r"^genbridge\.yaml:(\d+:\d+: [\w.\[\]]+): ", said.err, re.M) == PLACES[1:]


def test_a_reload_lists_the_mistakes_of_a_start_and_a_changed_store(shell: Shell, world: World) -> None:
    settings = shell.folder / "genbridge.yaml"
    with DaemonProcess(settings) as daemon:
        until(lambda: "daemon.ready" in daemon.log.read_text(), seconds=20, what="the daemon")
        settings.write_text(f"{MANY_MISTAKES.lstrip()}store: other.db\n")
        until(lambda: "another store only after a restart" in daemon.log.read_text(), seconds=20, what="the mistakes")
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    reasons = [line["reason"] for line in lines if line["event"] == "settings.invalid"]
    places = [":".join(reason.split(":")[1:4]) for reason in reasons]
    assert places == [*PLACES, "9:8: store"]


def test_without_a_valid_account_the_endpoints_are_checked_all_the_same(shell: Shell) -> None:
    account = {"provider": "klng", "api_key": "k"}
    hook = {"type": "webhook", "url": "http://127.0.0.1:9/", "accept": "a ==="}
    (shell.folder / "genbridge.yaml").write_text(json.dumps({"accounts": {"a": account}, "endpoints": {"h": hook}}))
    said = shell("check")
    assert "accounts.a.provider: unknown provider" in said.err
    assert "endpoints.h.accept: " in said.err


def test_check_finds_templates_and_chat_urls_that_cannot_work_at_their_place(shell: Shell, world: World) -> None:
    chat = {"type": "apprise", "urls": ["json://127.0.0.1:9/x", "nosuchservice://x"]}
    for wrong, place in ({}, "urls[1]"), ({"title": "{{ unclosed"}, "title"), ({"body": "{{ unclosed"}, "body"):
        change(shell.folder / "genbridge.yaml", endpoints={"chat": {**chat, **wrong}})
        said = shell("check")
        assert said.code == 78
        assert re.search(rf"(?m)^genbridge\.yaml:1:\d+: endpoints\.chat\.{re.escape(place)}: ", said.err), said.err


def test_mistakes_in_a_description_and_in_a_template_are_reported_together(shell: Shell, world: World) -> None:
    chat = {"type": "apprise", "urls": ["json://127.0.0.1:9/x"], "body": "{{ nosuch }}"}
    change(shell.folder / "genbridge.yaml", endpoints={"chat": chat}, providers={"mine": {"extends": "sunoo"}})
    said = shell("check")
    assert said.code == 78
    assert [line.split(": ")[1] for line in said.err.splitlines()] == ["providers.mine.extends", "endpoints.chat.body"]


@pytest.mark.parametrize("name", ["kling.main", "no name"])
def test_a_mistake_in_an_unusual_name_hides_no_other(name: str, shell: Shell, world: World) -> None:
    accounts = {name: {**ACCOUNT, "api_key": ""}}
    change(shell.folder / "genbridge.yaml", accounts=accounts, endpoints={"hook": {**HOOK, "accept": "a =="}})
    said = shell("check")
    assert said.code == 78
    assert "endpoints.hook.accept: " in said.err.splitlines()[-1]


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
def test_check_run_once_and_test_refuse_settings_with_the_same_line(
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


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"sources": {"queue": "."}}, "the settings file"),
        ({"sources": {"queue": {"path": "../{here}", "settle": "5s"}}}, "the settings file"),
        ({"sources": {"queue": "/"}}, "the settings file"),
        ({"sources": {"queue": "link", "watchlist": "queue/tasks.yaml"}}, "sources.watchlist"),
        ({"sources": {"queue": "queue", "lines": "queue/deep/ids.log"}}, "sources.lines"),
        ({"sources": {"queue": "queue"}, "store": "queue/state"}, "store"),
        ({"sources": {"queue": "queue"}, "archive": {"to": "queue"}}, "archive.to"),
        ({"sources": {"queue": "queue"}, "archive": {"to": "queue/copies.d"}}, "archive.to"),
    ],
)
def test_a_queue_that_would_take_a_file_of_genbridge_is_refused(
    settings: dict[str, Any], what: str, shell: Shell, world: World
) -> None:
    (shell.folder / "queue").mkdir()
    (shell.folder / "link").symlink_to("queue")
    change(shell.folder / "genbridge.yaml", **json.loads(json.dumps(settings).replace("{here}", shell.folder.name)))
    said = shell("check")
    assert said.code == 78
    expected = f": sources.queue: genbridge would take {what} as a task file; name a folder of its own\n"
    assert said.err.endswith(expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"sources": {"queue": "queue", "lines": "queue/ids.log", "watchlist": "queue/.tasks.yaml"}},
        {"sources": {"queue": "queue", "watchlist": "queues/tasks.yaml"}, "store": "queue/state.db"},
        {"sources": {"queue": "queue", "watchlist": "queue/rejected/tasks.yaml"}, "archive": {"to": "queue/.copies"}},
    ],
)
def test_a_queue_that_ignores_the_files_of_genbridge_is_valid(
    settings: dict[str, Any], shell: Shell, world: World
) -> None:
    for folder in ("queue/rejected", "queues"):
        (shell.folder / folder).mkdir(parents=True)
    change(shell.folder / "genbridge.yaml", **settings)
    assert shell("check").code == 0


def test_a_key_after_its_scheme_is_refused_without_showing_the_key(shell: Shell) -> None:
    shell.settings({"accounts": {"kling": {**ACCOUNT, "api_key": "Bearer SECRETKEY"}}})
    said = shell("check")
    assert said.code == 78
    assert 'accounts.kling.api_key: begins with "Bearer"; write only the key' in said.err
    assert "SECRETKEY" not in said.err


@pytest.mark.parametrize("command", ["list", "add", "status"])
def test_an_invalid_store_setting_is_refused_and_not_printed(command: str, shell: Shell) -> None:
    shell.settings({"store": "host=127.0.0.1 user=u password=SECRET"})
    said = shell(command, *(["a"] if command == "add" else []))
    assert said.code == 78
    assert "postgresql://USER:${PASSWORD}@HOST:PORT/DATABASE" in said.err
    assert "SECRET" not in said.out + said.err
    assert not list(shell.folder.glob("host=*"))


def test_a_missing_base_url_is_one_line_beside_other_mistakes(shell: Shell) -> None:
    accounts = {"a": {"provider": "kling", "api_key": "k12345"}, "b": {"provider": "kling", "limits": {"rat": 1}}}
    change(shell.folder / "genbridge.yaml", accounts=accounts)

    about = [line.split(": ", 1)[1] for line in shell("check").err.splitlines() if ".base_url: " in line]

    assert len(about) == 2
    for name, line in zip("ab", about, strict=True):
        assert line.startswith(f"accounts.{name}.base_url: is missing; kling has 2 official hosts: ")


def test_check_requires_a_base_url_for_a_variant_of_a_provider(shell: Shell) -> None:
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
        ({"provider": "bare", "discover": "1m"}, "discover: bare has one list of tasks for each action; set action"),
        ({"provider": "replicate", "discover": "5s"}, "discover: must be between 10s and 24h"),
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
