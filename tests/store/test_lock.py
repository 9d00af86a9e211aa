"""Only one daemon can work on a store."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.slots import Share, account_scope
from bridge.errors import LeaseLost, StoreBusy, StoreDamaged, StoreError
from bridge.store import DaemonLock, open_store
from tests.fakes import FakeClock
from tests.store.conftest import AsUser

DAEMON = """
import sys
from bridge.store import DaemonLock
with DaemonLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def daemon(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", DAEMON, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_daemon_gets_the_name_of_the_first(path: Path) -> None:
    with daemon(path) as first, pytest.raises(StoreBusy) as caught, DaemonLock(path):
        pass
    assert str(caught.value).startswith(
        f"store {path} is held by genbridge pid {first.pid} on host {os.uname().nodename} since 20"
    )
    assert str(caught.value).endswith("; stop that one first")
    assert caught.value.exit_code == 75


def test_the_lock_ends_with_a_killed_process_and_names_it_no_longer(path: Path) -> None:
    with daemon(path) as first:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert path.with_name("state.db.lock").read_bytes() != b""
    assert DaemonLock.holder(path) is None
    with DaemonLock(path):
        pass


def test_the_holder_can_be_read_without_taking_the_lock(path: Path) -> None:
    assert DaemonLock.holder(path) is None
    lock = DaemonLock(path, clock=FakeClock())
    with lock:
        here = f"genbridge pid {os.getpid()} on host {os.uname().nodename} since 2025-11-01T12:26:40.000Z"
        assert DaemonLock.holder(path) == here
        assert DaemonLock.holder(str(path)) == here
    assert DaemonLock.holder(path) is None
    with lock:
        assert DaemonLock.holder(path) == here


def test_a_daemon_starts_while_commands_read_the_holder_of_a_killed_one(path: Path) -> None:
    with daemon(path) as process:
        process.kill()
        process.wait()
    asks = "import sys; from bridge.store import DaemonLock\nwhile True: DaemonLock.holder(sys.argv[1])"
    lock = path.with_name(f"{path.name}.lock")
    left_behind = lock.read_bytes()
    with subprocess.Popen([sys.executable, "-c", asks, str(path)]) as commands:
        try:
            for _ in range(1000):
                lock.write_bytes(left_behind)
                with DaemonLock(path):
                    assert DaemonLock.holder(path) is not None
        finally:
            commands.kill()


def test_two_names_of_one_store_share_one_lock(path: Path, tmp_path: Path) -> None:
    open_store(path, create=True, group_access=False).close()
    (tmp_path / "link").symlink_to(path)
    with DaemonLock(path), pytest.raises(StoreBusy), DaemonLock(tmp_path / "link"):
        pass


def test_commands_work_while_a_daemon_runs(path: Path) -> None:
    with daemon(path), closing(open_store(path, create=True, group_access=False)) as store:
        assert store.find("a", None) == []


def test_a_folder_gets_no_lock_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(StoreDamaged, match="is not a regular file"), DaemonLock(folder):
        pass
    assert list(tmp_path.iterdir()) == [folder]


def test_a_missing_directory_is_made_as_for_the_store(public: Path) -> None:
    path = public / "new" / "state.db"
    with DaemonLock(path, group_access=True):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
        assert stat.S_IMODE(path.with_name("state.db.lock").stat().st_mode) == 0o640


def test_a_user_without_permission_to_lock_learns_the_owner_of_the_store(public: Path, as_user: AsUser) -> None:
    with as_user(65534, 65534), pytest.raises(StoreError, match="run this as user root"), DaemonLock(public / "a.db"):
        pass


def test_the_owner_can_lock_what_root_has_locked(public: Path, as_user: AsUser) -> None:
    path = public / "state.db"
    path.touch()
    for place in (public, path):
        os.chown(place, 65534, 65534)
    with DaemonLock(path):
        pass
    with as_user(65534, 65534), DaemonLock(path), pytest.raises(StoreBusy), DaemonLock(path):
        pass


def test_the_holder_is_named_with_its_problem_while_it_has_one(path: Path) -> None:
    with DaemonLock(path) as lock:
        named = DaemonLock.holder(path)
        lock.beat("store state.db: the disk failed \N{PILE OF POO}" * 20)
        assert (DaemonLock.holder(path) or "").startswith(f"{named}; store state.db: the disk failed")
        lock.beat()
        assert DaemonLock.holder(path) == named


def test_the_last_beat_is_stored_and_the_holder_stays_named(path: Path) -> None:
    assert DaemonLock.silence_s(path) is None
    with DaemonLock(path) as lock:
        assert DaemonLock.silence_s(path) is None  # its daemon still starts
        named = DaemonLock.holder(path)
        lock.beat()
        silence_s = DaemonLock.silence_s(path)
        assert silence_s is not None
        assert silence_s < 60
        assert named is not None
        assert named == DaemonLock.holder(path)
    assert DaemonLock.silence_s(path) is None
    lock.beat()  # it comes too late and does no harm
    assert path.with_name("state.db.lock").read_bytes() == b""


def test_a_daemon_takes_over_from_its_killed_predecessor_at_once(postgres: PostgresUrl, tmp_path: Path) -> None:
    scopes, shares = {account_scope("kling"): 16}, frozenset({Share(account_scope("kling"), 0)})
    one, other = (open_store(postgres, create=True, group_access=False) for _ in range(2))
    with closing(one), closing(other):
        with DaemonLock(tmp_path / "member") as lock:
            one.machine_lock = lock
            killed = one.join(name="one", scopes=scopes, lease_s=60)
            assert one.claim(shares) == shares
            record = (tmp_path / "member.lock").read_bytes()
        (tmp_path / "member.lock").write_bytes(record)  # as if it had been killed
        with DaemonLock(tmp_path / "member"):
            record = (tmp_path / "member.lock").read_bytes()
        (tmp_path / "member.lock").write_bytes(record)  # and the next one as well, before it joined
        with DaemonLock(tmp_path / "member") as lock:
            assert lock.former == killed
            other.machine_lock = lock
            other.join(name="one", scopes=scopes, lease_s=60)
            assert other.claim(shares) == shares
        with pytest.raises(LeaseLost):
            one.renew(scopes=scopes, lease_s=60)
        with DaemonLock(tmp_path / "member") as lock:
            assert lock.former == "", "it left"
