"""What every command has in common: help, usage, exit codes, and errors."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import click
import pytest

from bridge.cli import COMMANDS, command_called
from bridge.providers.catalogue import BUILT_IN
from bridge.store import DaemonLock
from tests.cli.shell import Shell

LISTS = ("list", "deliveries")
READING = (["list"], ["show", "a"], ["explain", "a"], ["wait", "a"], ["status"], ["deliveries"])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_says_what_each_option_does(name: str, shell: Shell) -> None:
    said = shell(name, "--help")
    assert said.code == 0
    assert "--config" in said.out
    for param in command_called(name).params:
        if isinstance(param, click.Option):
            assert param.help, param.name
            assert param.help.endswith("."), param.help


def test_the_overview_cuts_no_sentence_off_on_a_narrow_terminal(shell: Shell) -> None:
    said = shell("--help")
    assert said.code == 0
    commands = said.out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands] == list(COMMANDS)
    assert [line.split(maxsplit=1)[1] for line in commands] == [
        command_called(name).get_short_help_str(200) for name in COMMANDS
    ]
    assert [line for line in commands if not line.endswith(".") or line.endswith("...")] == []


def test_no_command_at_all_shows_the_overview_and_counts_as_a_mistake(shell: Shell) -> None:
    said = shell()
    assert said.code == 2
    assert "Commands:" in said.err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_into_80_columns_and_has_no_formulas(name: str, shell: Shell) -> None:
    said = shell(name, "--help").out
    assert max(map(len, said.splitlines())) <= 80
    assert "<=" not in said


def test_the_version_is_reported(shell: Shell) -> None:
    assert re.fullmatch(r"genbridge, version \d+\.\d+\.\d+\n", shell("--version").out)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["lst"], 'no command "lst"; did you mean `genbridge list`?'),
        (["\x1b[31m"], "no command"),
        (["stop"], 'no command "stop"; `genbridge --help` lists the commands'),
        (["LIST"], 'no command "LIST"; did you mean `genbridge list`?'),
        (["store", "migrat"], 'no command "migrat"; did you mean `genbridge store migrate`?'),
        (["store", "odd"], 'no command "odd"; `genbridge store --help` lists the commands'),
        (
            ["simulate", "--callback-secret", "x"],
            "simulate: --callback-secret: does not start with whsec_; write whsec_ ",
        ),
        (["list", "--sinc", "2h"], "no option --sinc; did you mean --since?"),
        (["list", "--nope"], "list: no option --nope; see `genbridge list --help`"),
        (["list", "--odd"], "list: no option --odd; see `genbridge list --help`"),
        (["list", "more"], "list: got unexpected extra argument (more); see `genbridge list --help`"),
        (["list", "--phase", "odd"], 'list: --phase: unknown phase "odd"; there are: canceled, failed, not_found, '),
        (["list", "--phase", "Failed"], '--phase: unknown phase "Failed"; did you mean "failed"?'),
        (["deliveries", "--topic", "task_success"], '--topic: unknown topic "task_success"; did you mean "task_succee'),
        (["simulate", "--provider", "klng"], '--provider: unknown provider "klng"; did you mean "kling"?'),
        (["run", "--log-level", "INFO"], '--log-level: unknown log-level "INFO"; did you mean "info"?'),
        (["list", "--since"], "genbridge: --since needs a value"),
        (["list", "--limit", "0"], "list: --limit: must be between 1 and 1000000000; see `genbridge list --help`"),
        (["list", "--limit", "x"], 'list: --limit: "x" is not a whole number; see `genbridge list --help`'),
        (["providers", "kling", "--status", "5"], "--status: must be between 100 and 599"),
        (["--log-level", "debug", "run"], "--log-level goes after the command, as in `genbridge run --log-level`"),
        (["-v", "once"], "-v goes after the command, as in `genbridge run -v`"),
        (["--jsn", "list"], "no option --jsn; see `genbridge --help`"),
        (["deliveries", "--limit", "99999999999999999999"], "--limit"),
        (["add"], "ID...|- is missing; see `genbridge add --help`"),
        (["add", "-x7"], "after --, as in `genbridge add -- -x7`"),
        (["show", "-x7"], "after --, as in `genbridge show -- -x7`"),
        (["wait", "--timeout", "soon"], "is not a duration"),
        (["once", "--timeout", "-1s"], "is negative"),
        (["redeliver"], "exactly one"),
        (["redeliver", "evt_x", "--dead"], "exactly one"),
        (["redeliver", "--since", "soon"], "neither a time"),
        (["redeliver", "--since", "9999-99-99"], "neither a time"),
        (["simulate", "--listen", "nonsense"], "HOST:PORT"),
    ],
)
def test_a_usage_mistake_is_explained_and_exits_2(words: list[str], hint: str, shell: Shell) -> None:
    said = shell(*words)
    assert said.code == 2
    assert hint in said.err
    assert said.out == ""
    assert "\x1b" not in said.err
    assert said.err.startswith("genbridge: ")
    assert said.err.count("\n") == 1


def test_an_unknown_option_gets_no_advice_about_ids_in_commands_without_ids(shell: Shell) -> None:
    assert "after --" not in shell("list", "--odd").err


@pytest.mark.parametrize("words", READING)
def test_a_missing_store_is_reported_and_not_created(words: list[str], shell: Shell) -> None:
    said = shell(*words)
    assert said.code == 69
    assert "there is no store" in said.err
    assert not (shell.folder / "state.db").exists()


def test_a_store_that_is_damaged_exits_1(shell: Shell) -> None:
    (shell.folder / "state.db").write_bytes(b"no database" * 500)
    for words in (["list"], ["add", "a"]):
        assert shell(*words).code == 1


def test_a_command_never_creates_the_store_for_settings_under_etc(shell: Shell) -> None:
    settings = Path(f"/etc/genbridge-test-{os.getpid()}.yaml")
    folder = shell.folder / "none"
    try:
        settings.write_text((shell.folder / "genbridge.yaml").read_text().replace("state.db", f"{folder}/state.db"))
    except OSError:
        pytest.skip("/etc cannot be written (run as root)")
    try:
        said = shell("add", "a", "--config", str(settings))
    finally:
        settings.unlink()
    assert said.code == 69
    assert "start the service once" in said.err
    assert not folder.exists()


def test_a_second_daemon_exits_75_and_names_the_first(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_KEY", "key-0123456789")
    with DaemonLock(shell.folder / "state.db"):
        for words in (["run"], ["once"]):
            said = shell(*words)
            assert said.code == 75
            assert f"pid {os.getpid()}" in said.err
            assert len(said.err.splitlines()) == 1
        assert shell("add", "a").err == "", "a daemon runs: no hint"
        assert f"pid {os.getpid()}" in shell("status", "--json").json["daemon"]


def test_a_taken_port_exits_69(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = shell("simulate", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert said.code == 69
    assert said.err.startswith("genbridge: cannot listen on 127.0.0.1")
    assert len(said.err.splitlines()) == 1


def test_the_traceback_of_a_bug_in_a_command_shows_no_secret(shell: Shell) -> None:
    key = "sk-canary-0123456789"
    (shell.folder / "sitecustomize.py").write_text(
        "import threading, bridge.store\n"
        "def broken(*args, **more):\n"
        f"    thread = threading.Thread(target=lambda: 1 / len('{key}'[:0]))\n"
        "    thread.start(); thread.join()\n"
        f"    raise KeyError('Bearer {key} \x1b[2J')\n"
        "bridge.store.open_store = bridge.store.open_reader = broken\n"
    )
    env = {**os.environ, "KLING_KEY": key, "PYTHONPATH": str(shell.folder)}
    shell("add", "a")
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "list"], cwd=shell.folder, capture_output=True, text=True, timeout=60, env=env
    )
    assert done.returncode == 1
    assert "genbridge: internal error; please report it with this traceback" in done.stderr
    assert "KeyError: 'Bearer ***" in done.stderr
    assert "\x1b" not in done.stderr
    assert key not in done.stderr.replace("sitecustomize", "")


def test_a_command_logs_an_unreadable_row_to_stderr(shell: Shell) -> None:
    shell("add", "a", "b")
    with closing(sqlite3.connect(shell.folder / "state.db")) as store:
        store.execute("UPDATE watches SET phase = 'bogus' WHERE task_id = 'b'")
        store.commit()
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "list", "--json"], cwd=shell.folder, capture_output=True, text=True, timeout=60
    )
    assert [watch["id"] for watch in json.loads(done.stdout)] == ["a"]
    assert re.search(r"error: store\.unreadable: KeyError: 'bogus' what=watch key=kling/b\n", done.stderr)


def test_quick_commands_do_not_load_modules_of_the_daemon(shell: Shell) -> None:
    shell("add", "a")
    script = "import sys; from bridge.cli import outcome; outcome(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    for words in (["list"], ["status"], ["deliveries"], ["show", "a"], ["explain", "a"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *words], cwd=shell.folder, capture_output=True, text=True, timeout=60
        )
        loaded = set(done.stderr.split())
        assert not loaded & {"httpx", "uvicorn", "starlette", "apprise", "structlog", "asyncio"}, words
        if words in (["list"], ["status"]):
            assert not loaded & {"jmespath", "re2"}, words


def test_schema_and_providers_are_printed(shell: Shell) -> None:
    schema = shell("schema").json
    assert {"accounts", "endpoints"} <= schema["properties"].keys()
    assert "kling" in shell("providers").out
    assert "title: Kling" in shell("providers", "kling").out
    unknown = shell("providers", "klong")
    assert unknown.code == 2
    assert 'unknown provider "klong"; did you mean "kling"?' in unknown.err
    assert f"there are: {min(BUILT_IN)}, " in shell("providers", "nothing").err


def test_an_empty_store_gives_an_empty_array_and_people_a_hint(shell: Shell) -> None:
    shell.store().close()
    for words in LISTS:
        assert shell(words, "--json").json == []
        said = shell(words)
        assert (said.code, said.out) == (0, "")
        assert said.err
    assert "no matching tasks" in shell("list", "--account", "kling").err
    assert "no matching deliveries" in shell("deliveries", "--state", "dead").err
    assert json.loads(shell("status", "--json").out)["watches"] == {}
    waited = shell("wait")
    assert (waited.code, waited.out) == (0, "")
