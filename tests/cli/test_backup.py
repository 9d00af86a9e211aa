"""`backup` and `restore` make complete copies, and change nothing after an error."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from subprocess import PIPE

import pytest

from bridge.store import DaemonLock
from bridge.wiring.store_location import is_in_service
from tests.cli.shell import Shell
from tests.disks import small_disk
from tests.programs import ended


@pytest.fixture
def kept(shell: Shell) -> Path:
    """A store with one task, and a backup of it."""
    shell.settings({"endpoints": {}})
    assert shell("add", "task-old-1").code == 0
    assert shell("backup", "copy.db").code == 0
    return shell.folder / "copy.db"


def ids(shell: Shell) -> set[str]:
    return {row["id"] for row in shell("list", "--json").json}


def test_a_backup_can_be_restored(shell: Shell, kept: Path) -> None:
    assert shell("add", "task-new-2").code == 0
    said = shell("restore", "--force", str(kept))
    assert said.code == 0, said.err
    assert ids(shell) == {"task-old-1"}
    assert stat.S_IMODE((shell.folder / "state.db").stat().st_mode) == 0o600


def test_a_backup_may_have_a_name_that_is_not_utf_8(shell: Shell, kept: Path) -> None:
    name = os.fsdecode(b"caf\xe9?.db")
    assert shell("backup", name).code == 0
    assert shell("add", "task-new-2").code == 0
    assert shell("restore", "--force", name).code == 0
    assert ids(shell) == {"task-old-1"}


def test_a_file_system_without_hard_links_can_have_stores_and_backups(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    shell.settings({"endpoints": {}})
    assert shell("add", "task-old-1").code == 0
    assert shell("backup", "copy.db").code == 0
    assert shell("backup", "copy.db").code == 2
    assert shell("add", "task-new-2").code == 0
    assert shell("restore", "--force", "copy.db").code == 0
    assert ids(shell) == {"task-old-1"}
    assert {path.name for path in shell.folder.iterdir()} == {
        *("genbridge.yaml", "copy.db", "state.db", "state.db.lock")
    }


def test_a_backup_is_one_file_that_only_its_owner_can_read(shell: Shell, kept: Path) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert {entry.name for entry in shell.folder.iterdir()} == {"genbridge.yaml", "state.db", "copy.db"}
    assert sqlite3.connect(kept).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_backup_taken_while_tasks_are_added_holds_what_was_acknowledged_before(shell: Shell, kept: Path) -> None:
    stop = threading.Event()

    def adding() -> None:
        connection = sqlite3.connect(shell.folder / "state.db", timeout=5)
        while not stop.is_set():
            connection.execute("UPDATE store SET revision = revision + 1")
            connection.commit()
        connection.close()

    writer = threading.Thread(target=adding)
    writer.start()
    try:
        for number in range(10):
            said = shell("backup", f"copy-{number}.db")
            assert said.code == 0, said.err
            copy = sqlite3.connect(shell.folder / f"copy-{number}.db")
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert copy.execute("SELECT task_id FROM watches").fetchall() == [("task-old-1",)]
            copy.close()
    finally:
        stop.set()
        writer.join()


def test_a_backup_overwrites_nothing(shell: Shell, kept: Path) -> None:
    (shell.folder / "link.db").symlink_to("nowhere")
    for target in ("copy.db", "state.db", "genbridge.yaml", "link.db"):
        before = (shell.folder / target).read_bytes() if target != "link.db" else b""
        said = shell("backup", target)
        assert said.code == 2
        assert "exists already" in said.err
        assert target == "link.db" or (shell.folder / target).read_bytes() == before


def test_a_backup_that_cannot_be_written_leaves_nothing(shell: Shell, kept: Path) -> None:
    for target in ("missing/copy.db", "copy.db/x.db"):
        said = shell("backup", target)
        assert said.code == 69
    assert not list(shell.folder.glob(".*"))


def test_a_full_disk_is_named_with_what_to_do(shell: Shell, kept: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size="64k") as disk:
        said = shell("backup", str(disk / "copy.db"))
    assert said.code == 69
    assert said.err == f"genbridge: store {disk}/copy.db: the disk is full; free some space\n"


def test_without_a_store_there_is_nothing_to_back_up(shell: Shell) -> None:
    said = shell("backup", "copy.db")
    assert said.code == 69
    assert "no store yet" in said.err
    assert "`genbridge run` or `genbridge add` creates it" in said.err
    assert not (shell.folder / "copy.db").exists()


def test_an_existing_store_is_replaced_only_with_force(shell: Shell, kept: Path) -> None:
    assert shell("add", "task-new-2").code == 0
    said = shell("restore", str(kept))
    assert said.code == 2
    assert "--force" in said.err
    assert ids(shell) == {"task-old-1", "task-new-2"}


def test_a_restore_is_refused_while_a_daemon_runs(shell: Shell, kept: Path) -> None:
    with DaemonLock(shell.folder / "state.db"):
        for words in (["restore", str(kept)], ["restore", "--force", str(kept)]):
            said = shell(*words)
            assert said.code == 75
            assert f"pid {os.getpid()}" in said.err


@pytest.mark.parametrize("kind", ["garbage", "empty", "cut", "foreign", "newer", "folder", "missing", "itself"])
def test_a_file_that_is_no_good_backup_changes_nothing(kind: str, shell: Shell, kept: Path) -> None:
    bad = shell.folder / "bad.db"
    match kind:
        case "garbage":
            bad.write_bytes(b"no database" * 500)
        case "empty":
            bad.touch()
        case "cut":
            bad.write_bytes(kept.read_bytes()[:-4096])
        case "foreign":
            sqlite3.connect(bad).execute("CREATE TABLE x (y)").connection.close()
        case "newer":
            bad.write_bytes(kept.read_bytes())
            sqlite3.connect(bad).execute("PRAGMA user_version = 999").connection.close()
        case "folder":
            bad.mkdir()
        case "itself":
            bad = shell.folder / "state.db"
    before = (shell.folder / "state.db").read_bytes()
    said = shell("restore", "--force", str(bad))
    assert said.code == (2 if kind in {"missing", "itself"} else 1), said
    assert "empty store" not in said.err, "this advice is for the store itself"
    if kind in {"garbage", "empty", "cut", "foreign"}:
        assert said.err.endswith("; name another backup\n")
    assert (shell.folder / "state.db").read_bytes() == before
    assert ids(shell) == {"task-old-1"}


def test_a_damaged_store_is_replaced_with_its_companion_files(shell: Shell, kept: Path) -> None:
    store = shell.folder / "state.db"
    store.write_bytes(b"garbage" * 1000)
    for file in ("state.db-wal", "state.db-shm"):
        (shell.folder / file).write_bytes(b"old log")
    assert shell("restore", "--force", str(kept)).code == 0
    assert ids(shell) == {"task-old-1"}


def test_a_store_is_restored_where_there_was_none(shell: Shell, kept: Path) -> None:
    (shell.folder / "state.db").unlink()
    assert shell("restore", str(kept)).code == 0
    assert ids(shell) == {"task-old-1"}


def test_the_log_of_a_removed_store_is_not_applied_to_a_backup(shell: Shell, kept: Path) -> None:
    store, log = shell.folder / "state.db", shell.folder / "state.db-wal"
    with closing(sqlite3.connect(store)) as killed:
        killed.execute("DELETE FROM watches")
        killed.commit()
        left = log.read_bytes()
    log.write_bytes(left)
    store.unlink()
    said = shell("restore", str(kept))
    assert said.code == 0, said.err
    assert ids(shell) == {"task-old-1"}


@pytest.mark.parametrize("kept_bytes", [-1, 8192])
def test_a_backup_of_a_damaged_store_names_that_store(shell: Shell, kept: Path, kept_bytes: int) -> None:
    store = shell.folder / "state.db"
    store.write_bytes(store.read_bytes()[:kept_bytes])
    said = shell("backup", "next.db")
    assert said.code == 1
    assert said.err.startswith(f"genbridge: store {store} is damaged (")
    assert not (shell.folder / "next.db").exists()


def test_a_backup_is_not_made_beside_the_log_of_another_store(shell: Shell, kept: Path) -> None:
    log = shell.folder / "next.db-wal"
    log.write_bytes(b"the log of another store")
    said = shell("backup", "next.db")
    assert said.code == 69
    assert f"{log} is there" in said.err
    assert not (shell.folder / "next.db").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_restored_store_keeps_the_owner_and_mode_of_the_one_before(shell: Shell, kept: Path) -> None:
    store = shell.folder / "state.db"
    os.chown(store, 65534, 65534)
    store.chmod(0o640)
    assert shell("restore", "--force", str(kept)).code == 0
    found = store.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65534, 0o640)


def test_copying_a_store_leaves_it_readable_for_its_group(shell: Shell, kept: Path) -> None:
    store, copy = shell.folder / "state.db", shell.folder / "own.db"
    store.chmod(0o640)
    assert shell("store", "copy", str(store), str(copy)).code == 0
    assert [stat.S_IMODE(path.stat().st_mode) for path in (store, copy)] == [0o640, 0o600]


def test_a_copy_in_the_folder_of_the_service_is_for_its_group() -> None:
    places = ("/var/lib/genbridge/back.db", "/var/lib/genbridge/../genbridge/state.db", "/var/lib/state.db", "state.db")
    assert [is_in_service(Path(place)) for place in places] == [True, True, False, False]


@pytest.mark.parametrize(("command", "tool"), [("backup", "pg_dump"), ("restore", "pg_restore --clean --if-exists")])
def test_backups_of_postgresql_use_its_own_tools(command: str, tool: str, shell: Shell) -> None:
    shell.settings({"store": "postgresql://me:sesame-open@127.0.0.1:1/db"})
    said = shell(command, "copy.db")
    assert said.code == 2
    assert tool in said.err
    assert "sesame" not in said.err


def test_a_restore_that_is_refused_creates_nothing(shell: Shell) -> None:
    settings = shell.folder / "project/genbridge.yaml"
    settings.parent.mkdir()
    account = {"provider": "kling", "base_url": "https://one.example.com", "api_key": "k"}
    settings.write_text(json.dumps({"accounts": {"kling": account}}))
    foreign = shell.folder / "foreign.txt"
    foreign.write_text("no store")
    assert shell("restore", "missing.db", "-c", str(settings)).code == 2
    assert shell("restore", str(foreign), "-c", str(settings)).code == 1
    assert [entry.name for entry in settings.parent.iterdir()] == ["genbridge.yaml"]


def test_a_backup_removes_what_a_killed_one_left_behind(shell: Shell, kept: Path) -> None:
    making = (
        "from bridge.cli import outcome; from bridge.store.sqlite import store_file\n"
        "store_file._copy = lambda *_: (print('half', flush=True), input())\n"
        "outcome(['backup', 'other.db'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", making]
    with ended(subprocess.Popen(command, stdin=PIPE, stdout=PIPE, env=environment, text=True)) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "half\n"
        [draft] = shell.folder.glob(".other.db.*")
        journal = draft.with_name(f"{draft.name}-journal")
        journal.touch()
        os.utime(draft, (0, 0))
        assert shell("backup", "beside.db").code == 0
        assert draft.exists(), "its backup still runs"
        killed.kill()
        killed.wait()
    assert not (shell.folder / "other.db").exists()
    assert shell("backup", "next.db").code == 0
    assert not draft.exists()
    assert not journal.exists()
