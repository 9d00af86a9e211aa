"""A store is copied before an upgrade; an older genbridge refuses a newer store in one line."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from bridge.errors import StoreError
from bridge.store import migrate_store, open_store
from bridge.store.migrations import migrations
from bridge.store.sqlite.database import migrate
from bridge.store.sqlite.inspection import APPLICATION_ID, LATEST
from bridge.store.sqlite.store_file import DRAFT_SUFFIX
from tests.cli.shell import Shell
from tests.store.conftest import AsUser
from tests.store.making import add

EARLIER = LATEST - 1


def make_earlier(path: Path) -> Path:
    """A store of the version before this one; returns where its copy will be."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrate(connection, migrations("sqlite")[:EARLIER])
    connection.close()
    return path.with_name(f"{path.name}.before-upgrade-from-{EARLIER}")


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return number


def prune(path: Path) -> None:
    store = open_store(path, create=False, group_access=False)
    store.prune(now=0.0, ended_s=1, delivered_s=1, dead_s=1, limit=1)
    store.close()


def test_a_store_is_copied_before_it_is_upgraded(path: Path) -> None:
    copy = make_earlier(path)
    store = open_store(path, create=False, group_access=False)
    add(store, "task-1")
    store.close()
    assert (version(path), version(copy)) == (LATEST, EARLIER)
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_new_or_current_store_is_not_copied(path: Path) -> None:
    for _ in range(2):
        open_store(path, create=True, group_access=False).close()
    assert list(path.parent.glob("*before-upgrade*")) == []


def test_a_copy_of_an_interrupted_upgrade_is_kept(path: Path) -> None:
    copy = make_earlier(path)
    copy.write_bytes(b"the first")
    open_store(path, create=False, group_access=False).close()
    assert version(path) == LATEST
    assert copy.read_bytes() == b"the first"


def test_a_copy_of_an_earlier_upgrade_is_replaced(path: Path) -> None:
    copy = make_earlier(path)
    copy.write_bytes(b"from before somebody went back")
    long_ago = time.time() - 3600
    os.utime(copy, (long_ago, long_ago))
    open_store(path, create=False, group_access=False).close()
    assert (version(path), version(copy)) == (LATEST, EARLIER)


def test_a_store_that_cannot_be_copied_is_not_upgraded(path: Path) -> None:
    copy = make_earlier(path)
    copy.mkdir()
    with pytest.raises(StoreError, match=rf"{copy.name}: Is a directory"):
        open_store(path, create=False, group_access=False)
    assert version(path) == EARLIER


def test_an_upgrade_without_permission_to_write_says_so(public: Path, as_user: AsUser) -> None:
    path = public / "state.db"
    make_earlier(path)
    path.chmod(0o444)
    with as_user(65534, 65534), pytest.raises(StoreError, match="no permission to write it; run this as user root"):
        migrate_store(path, group_access=False)
    assert version(path) == EARLIER


def test_the_daemon_removes_a_copy_after_a_week(path: Path) -> None:
    copy = make_earlier(path)
    prune(path)
    assert copy.exists()
    week_ago = time.time() - 7 * 86_400 - 60
    os.utime(copy, (week_ago, week_ago))
    prune(path)
    assert not copy.exists()
    assert path.exists()


def test_the_daemon_removes_a_copy_that_a_kill_left_incomplete(path: Path) -> None:
    copy = make_earlier(path)
    draft = path.with_name(f".{copy.name}.x{DRAFT_SUFFIX}")
    draft.write_bytes(b"half a copy")
    prune(path)
    assert draft.exists(), "another process may just have created it"
    long_ago = time.time() - 120
    os.utime(draft, (long_ago, long_ago))
    prune(path)
    assert not draft.exists()


@pytest.mark.parametrize("command", [["run"], ["once"], ["list"], ["add", "task-1"]])
def test_an_older_genbridge_refuses_a_newer_store_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("KLING_KEY", "x")
    settings = shell.settings()
    path = tmp_path / "state.db"
    open_store(path, create=True, group_access=False).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {LATEST + 1}")
    connection.close()
    said = shell("--config", str(settings), *command)
    assert said.code == 1
    assert "was written by a newer genbridge" in said.err
    assert "Traceback" not in said.err
    assert len([line for line in said.err.splitlines() if "newer genbridge" in line]) == 1
