"""`check` opens the store and each source, says what is wrong or will be created, and creates nothing."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.store import DaemonLock, open_store
from tests.cli.check_report import ACCOUNT, HOOK, report
from tests.cli.shell import Said, Shell
from tests.disks import small_disk


def checked(shell: Shell, **settings: Any) -> tuple[Said, dict[str, tuple[str, str]]]:
    """What `check` says with these settings. It must not change the folder."""
    shell.settings({"accounts": {"kling": KLING}, "endpoints": {"hook": HOOK}, **settings})
    before = sorted(shell.folder.rglob("*"))
    said = shell("check")
    assert sorted(shell.folder.rglob("*")) == before
    return said, report(said)


KLING = {**ACCOUNT, "action": "videos/text2video"}
SOURCES = {"queue": "queue/", "watchlist": "tasks.yaml", "lines": "ids.txt"}


def test_check_says_what_will_be_created_and_what_is_waited_for(shell: Shell) -> None:
    said, found = checked(shell, store="data/deep/state.db", sources=SOURCES)
    assert said.code == 0
    assert found["store"][0] == "ok"
    assert "data/deep/state.db does not exist yet: will be created" in found["store"][1]
    assert found["sources.queue"][0] == "ok"
    assert "will be created" in found["sources.queue"][1]
    for thing in ("sources.watchlist", "sources.lines"):
        assert found[thing][0] == "warning"
        assert "does not exist" in found[thing][1]


def test_check_names_a_read_only_file_system_under_the_queue(shell: Shell) -> None:
    with small_disk(shell.folder / "disk", size="1m") as disk:
        queue = disk / "queue"
        queue.mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        _, found = checked(shell, sources={"queue": str(queue)})
        assert found["sources.queue"] == ("error", f"{queue}: the file system is mounted read-only; remount it")


def test_check_finds_good_sources_good(shell: Shell) -> None:
    (shell.folder / "queue/rejected").mkdir(parents=True)
    (shell.folder / "tasks.yaml").write_text("- id-one-1\n- id-two-2\n")
    (shell.folder / "ids.txt").write_text("id-three-3\n")
    shell.store().close()
    said, found = checked(shell, sources=SOURCES)
    assert said.code == 0
    assert {level for level, _ in found.values()} == {"ok"}
    assert "2 tasks" in found["sources.watchlist"][1]
    assert (shell.folder / "ids.txt").read_text() == "id-three-3\n"


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        ("genbridge.yaml/x.db", "genbridge.yaml is a file, not a directory; name another path"),
        ("genbridge.yaml/folder/x.db", "genbridge.yaml is a file, not a directory; name another path"),
        ("moved.db", "moved.db-wal is there: put the store back, or move this file away"),
    ],
)
def test_check_and_run_refuse_a_store_that_cannot_be_created(store: str, reason: str, shell: Shell) -> None:
    (shell.folder / "moved.db-wal").touch()
    said, found = checked(shell, store=store)
    assert (said.code, found["store"][0]) == (69, "error")
    assert reason in found["store"][1]
    ran = shell("run")
    assert ran.code == 69
    assert reason in ran.err


def test_run_refuses_a_folder_in_which_no_file_can_be_created(shell: Shell) -> None:
    checked(shell, store="/proc/x.db")
    ran = shell("run")
    assert ran.code == 69
    assert "no file can be created in /proc; name another path" in ran.err


@pytest.mark.parametrize("kind", ["queue", "watchlist", "lines"])
def test_check_reports_a_source_whose_parent_folder_is_missing(kind: str, shell: Shell) -> None:
    said, found = checked(shell, sources={kind: f"mistyped/{SOURCES[kind]}"})
    assert said.code == 1
    assert found[f"sources.{kind}"][0] == "error"
    assert f"{shell.folder}/mistyped" in found[f"sources.{kind}"][1]


def test_check_reports_a_source_of_the_wrong_kind(shell: Shell) -> None:
    for folder in ("tasks.yaml", "ids.txt"):
        (shell.folder / folder).mkdir()
    (shell.folder / "queue").write_text("a file")
    said, found = checked(shell, sources=SOURCES)
    assert said.code == 1
    assert {kind: found[f"sources.{kind}"][0] for kind in SOURCES} == dict.fromkeys(SOURCES, "error")


def test_check_reports_a_watchlist_with_bad_entries(shell: Shell) -> None:
    (shell.folder / "tasks.yaml").write_text("- id: id-one-1\n  lable: x\n")
    said, found = checked(shell, sources={"watchlist": "tasks.yaml"})
    assert said.code == 1
    assert found["sources.watchlist"][0] == "error"
    assert re.search(r": 1 invalid entry, so nothing is withdrawn; tasks\.yaml:1: ", found["sources.watchlist"][1])


def test_check_warns_of_a_watchlist_entry_that_is_not_watched(shell: Shell) -> None:
    (shell.folder / "tasks.yaml").write_text("- id-one-1\n- <html>\n")
    said, found = checked(shell, sources={"watchlist": "tasks.yaml"})
    assert (said.code, found["sources.watchlist"][0]) == (0, "warning")
    assert "tasks.yaml:2" in found["sources.watchlist"][1]


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Run the block as the user nobody, who may read this folder."""
    for place in (folder, *folder.parents):
        if place.stat().st_mode & stat.S_ISVTX:  # /tmp, or another folder that belongs to everybody
            break
        place.chmod(place.stat().st_mode | 0o055)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_check_reports_missing_rights(shell: Shell) -> None:
    (shell.folder / "queue").mkdir(mode=0o755)
    (shell.folder / "tasks.yaml").touch(mode=0o600)
    (shell.folder / "ids.txt").touch(mode=0o600)
    shell.store().close()
    settings = shell.settings({"accounts": {"kling": KLING}, "endpoints": {"hook": HOOK}, "sources": SOURCES})
    settings.chmod(0o644)
    shell("check")  # so that everything that it needs is already imported
    with as_nobody(shell.folder):
        said = shell("check")
    errors = [line for line in said.out.splitlines() if line.startswith("error")]
    things = ["store:", "sources.watchlist:", "sources.queue:", "sources.lines:"]
    assert [line.split()[1] for line in errors] == things, said
    assert "root" in errors[0]
    assert said.code == 69


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_check_reports_places_below_a_folder_that_it_may_not_enter(shell: Shell) -> None:
    (shell.folder / "private").mkdir(mode=0o700)
    (shell.folder / "open").mkdir()
    (shell.folder / "open").chmod(0o777)
    below = {"archive": {"to": "private/a/copies"}, "http": {"listen": "unix:private/run/socket"}}
    settings = {"accounts": {"kling": KLING}, "store": "open/state.db", **below}
    shell.settings(settings).chmod(0o644)
    shell("check")  # so that everything that it needs is already imported
    with as_nobody(shell.folder):
        found = report(shell("check"))
    assert found["archive"] == ("warning", f"{shell.folder}/private cannot be written by this user")
    assert found["http.listen"][0] == "error"
    assert found["http.listen"][1].endswith("/private/run/socket: Permission denied")


def test_check_names_changed_settings_only_with_a_store_of_an_older_version(shell: Shell) -> None:
    settings = {"store": "state.db", "polling": {"min_interval": "2s"}}
    said, _ = checked(shell, **settings)
    assert "ok      changed:" not in said.out
    store = shell.folder / "state.db"
    shell.store().close()
    said, _ = checked(shell, **settings)
    assert "ok      changed:" not in said.out
    with sqlite3.connect(store) as connection:
        connection.execute("PRAGMA user_version = 7")
    said, found = checked(shell, **settings)
    assert (said.code, found["changed"][0]) == (0, "ok")
    assert "polling.min_interval since 0.1.0: " in said.out


def test_check_reports_an_address_at_which_run_could_not_listen(shell: Shell) -> None:
    (shell.folder / "notes.txt").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for listen, why in {
            f"127.0.0.1:{port}": "another program is listening there",
            "unix:notes.txt": "this is not a socket",
            "unix:missing/http.sock": "there is no folder",
        }.items():
            said, found = checked(shell, http={"listen": listen})
            assert (said.code, found["http.listen"][0]) == (69, "error")
            assert why in found["http.listen"][1]
            assert why in shell("run").err, "the same words"
    said, found = checked(shell, http={"listen": f"127.0.0.1:{port}"})
    assert (said.code, found["http.listen"][0]) == (0, "ok")
    said, found = checked(shell, http={"listen": "no-such-host.invalid:80", "token": "t" * 20})
    assert (said.code, found["http.listen"][0]) == (shell("run").code, "error") == (78, "error")


def test_check_does_not_report_the_address_of_the_daemon_itself(shell: Shell) -> None:
    shell.store().close()
    with socket.create_server(("127.0.0.1", 0)) as taken, DaemonLock(shell.folder / "state.db"):
        port = taken.getsockname()[1]
        shell.settings(
            {"accounts": {"kling": KLING}, "endpoints": {"hook": HOOK}, "http": {"listen": f"127.0.0.1:{port}"}}
        )
        said = shell("check")
    assert said.code == 0
    assert "http.listen" not in report(said)


@pytest.mark.parametrize("named", ["state.db", None])
def test_a_store_with_a_second_name_is_a_warning(shell: Shell, named: str | None) -> None:
    shell.settings({"accounts": {"kling": KLING}, "endpoints": {"hook": HOOK}, "store": named})
    store = shell.folder / (named or ".genbridge/state.db")
    open_store(store, create=True, group_access=False).close()
    os.link(store, shell.folder / "other.db")
    said = f"{store} has 2 names (hard links); two programs that use different ones damage it"
    assert ["warning", f"store: {said}"] in [line.split(maxsplit=1) for line in shell("check").out.splitlines()]
    assert f"note: {said}" in shell("add", "a").err
    (shell.folder / "other.db").unlink()
    assert "hard links" not in shell("check").out


def test_check_says_who_uses_the_store(shell: Shell) -> None:
    shell.store().close()
    shell.settings({"accounts": {"kling": KLING}, "endpoints": {"hook": HOOK}})
    with DaemonLock(shell.folder / "state.db"):
        said = shell("check")
    assert report(said)["store"][0] == "ok"
    assert f"in use by genbridge pid {os.getpid()}" in report(said)["store"][1]


@pytest.mark.parametrize(
    ("content", "what", "code"), [(b"", "is empty", 1), (b"no database" * 500, "", 1), (None, "not a regular file", 1)]
)
def test_check_exits_like_run_for_a_store_that_run_refuses(
    content: bytes | None, what: str, code: int, shell: Shell
) -> None:
    place = shell.folder / "state.db"
    if content is None:
        place.mkdir()
    else:
        place.write_bytes(content)
    said, found = checked(shell)
    assert (said.code, found["store"][0]) == (code, "error")
    assert what in found["store"][1]
    assert shell("run").code == code


def test_check_reports_that_a_store_is_of_another_program(shell: Shell) -> None:
    sqlite3.connect(shell.folder / "state.db").execute("CREATE TABLE x (y)").connection.close()
    said, found = checked(shell)
    assert (said.code, found["store"][0]) == (1, "error")
    assert "another program" in found["store"][1]


def test_check_names_a_server_that_does_not_answer(shell: Shell) -> None:
    said, found = checked(shell, store="postgresql://me:sesame-open@127.0.0.1:1/db")
    assert (said.code, found["store"][0]) == (69, "error")
    assert "sesame" not in said.out + said.err


def test_check_names_the_missing_driver(tmp_path: Path) -> None:
    settings = {"store": "postgresql://me:sesame-open@127.0.0.1/db", "accounts": {"kling": KLING}, "endpoints": {}}
    (tmp_path / "genbridge.yaml").write_text(json.dumps(settings))
    program = "import sys; sys.modules['psycopg'] = None; from bridge.cli import main; main(['check'])"
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert "error   store: " in done.stdout
    assert "psycopg[binary]" in done.stdout


def test_check_reports_a_store_in_postgresql_and_makes_no_tables(shell: Shell, postgres: PostgresUrl) -> None:
    said, found = checked(shell, store=postgres.reveal())
    assert (said.code, found["store"][0]) == (0, "ok"), said.err
    assert "will be created" in found["store"][1]
    said, found = checked(shell, store=postgres.reveal())
    assert "will be created" in found["store"][1]
    open_store(postgres, create=True, group_access=False).close()
    _, found = checked(shell, store=postgres.reveal())
    assert "will be created" not in found["store"][1]
    wrong = postgres.reveal().replace("sesame-open@", "wrong-word@")
    said, found = checked(shell, store=wrong)
    assert (said.code, found["store"][0]) == (69, "error")
    assert "password" in found["store"][1]
    assert "wrong-word" not in said.out
