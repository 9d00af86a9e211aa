"""Opening a store: what is refused without changes, what is created, and who may read it."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from bridge.domain.watch import Wish
from bridge.errors import StoreBusy, StoreDamaged, StoreError
from bridge.store import DaemonLock, ReadStore, Store, open_command_store, open_reader, open_store
from bridge.store.command_store import CommandStore
from bridge.store.sqlite.inspection import APPLICATION_ID, LATEST, version_of
from tests.factories import NOW
from tests.store.conftest import AsUser
from tests.store.making import KEY, add

NOBODY, SERVICE, GROUP = 65534, 4711, 4712


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def listing(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def opened(path: Path) -> Store:
    return open_store(path, create=True, group_access=False)


def refusal(path: Path, how: Callable[[Path], ReadStore] = opened) -> StoreError:
    """Open a store that must be refused, and return the error. The file and its directory must not change."""
    before = listing(path.parent)
    with pytest.raises(StoreError) as caught:
        how(path)
    assert listing(path.parent) == before
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return caught.value


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Applies after the test's own folder was made."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def closed_store(path: Path) -> None:
    store = open_store(path, create=True, group_access=False)
    add(store, *(f"task-{number}" for number in range(500)))
    store.close()


class TestDamage:
    @pytest.mark.parametrize(
        "content",
        [b"garbage", b"\0" * 5000, b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 8000, b"- id: 1\n" * 999],
        ids=["short", "zeros", "magic alone", "magic and rubbish", "a task list"],
    )
    def test_a_file_that_is_not_a_store_is_refused_and_unchanged(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        assert isinstance(refusal(path), StoreDamaged)
        assert isinstance(refusal(path, open_reader), StoreDamaged)

    def test_an_empty_file_is_a_lost_store_and_not_a_new_one(self, path: Path) -> None:
        path.touch()
        error = refusal(path)
        assert isinstance(error, StoreDamaged)
        assert "is empty" in str(error)

    def test_no_store_is_made_beside_the_log_of_another_one(self, path: Path) -> None:
        path.with_name("state.db-wal").write_bytes(b"the last changes of a store that somebody moved away")
        assert "put the store back, or move this file away" in str(refusal(path))

    def test_another_programs_database_is_refused_and_unchanged(self, path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);")
        connection.close()
        error = refusal(path)
        assert isinstance(error, StoreDamaged)
        assert "belongs to another program" in str(error)

    def test_a_store_of_a_newer_version_is_refused_and_unchanged(self, path: Path) -> None:
        closed_store(path)
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {LATEST + 1}")
        connection.close()
        for error in (refusal(path), refusal(path, open_reader)):
            assert isinstance(error, StoreDamaged)
            assert f"newer genbridge (store version {LATEST + 1}; this one knows {LATEST})" in str(error)

    def test_a_newer_version_in_the_write_ahead_log_is_found(self, path: Path, tmp_path: Path) -> None:
        closed_store(path)
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {LATEST + 1}")
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for name in ("state.db", "state.db-wal"):
            (crashed / name).write_bytes((tmp_path / name).read_bytes())
        connection.close()
        with pytest.raises(StoreDamaged, match="newer genbridge"):
            open_store(crashed / "state.db", create=True, group_access=False)
        assert (crashed / "state.db").read_bytes()[60:64] == LATEST.to_bytes(4, "big")

    @pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
    def test_damage_inside_the_file_is_found_before_any_write(self, path: Path, place: float) -> None:
        closed_store(path)
        content = bytearray(path.read_bytes())
        start = int(len(content) * place) // 4096 * 4096
        content[start : start + 4096] = b"\xa5" * 4096
        path.write_bytes(content)
        error = refusal(path)
        assert isinstance(error, StoreDamaged)
        assert "restore a backup" in str(error)

    def test_a_file_cut_short_is_refused(self, path: Path) -> None:
        closed_store(path)
        os.truncate(path, path.stat().st_size // 8192 * 4096)
        assert isinstance(refusal(path), StoreDamaged)

    def test_damage_while_running_is_reported_and_the_connection_closed(self, store: Store, path: Path) -> None:
        add(store, *(f"task-{number}" for number in range(500)))
        store.close()
        good = path.read_bytes()
        assert store.counts().live == 500
        path.write_bytes(good[:8192] + b"\xa5" * (len(good) - 8192))
        store.close()
        with pytest.raises(StoreDamaged, match="is damaged"):
            store.list_watches()
        path.write_bytes(good)
        assert len(store.list_watches()) == 500

    def test_a_store_without_a_table_is_damaged(self, store: Store, path: Path) -> None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE pauses")
        with pytest.raises(StoreDamaged, match=r"is damaged \(no such table: pauses\); restore a backup"):
            store.pauses()


class TestPlaces:
    def test_a_missing_store_is_created_only_on_request(self, path: Path) -> None:
        for how in (open_reader, partial(open_store, create=False, group_access=False)):
            with pytest.raises(StoreError, match=r"there is no store .*; start `genbridge run` once"):
                how(path)
        assert list(path.parent.iterdir()) == []

    def test_the_file_names_its_program(self, path: Path) -> None:
        closed_store(path)
        assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big") == b"genb"
        assert [file.name for file in path.parent.iterdir()] == ["state.db"]

    def test_a_path_that_is_not_a_file_is_refused_without_blocking(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "folder").mkdir()
        for name in ("fifo", "folder"):
            with pytest.raises(StoreDamaged, match="not a regular file"):
                open_store(tmp_path / name, create=True, group_access=False)

    def test_a_directory_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for below in ("state.db", "folder/state.db"):
            with pytest.raises(StoreError, match=f"{tmp_path}/file is a file, not a directory; name another path"):
                open_store(tmp_path / "file" / below, create=True, group_access=False)

    def test_a_store_behind_a_link_is_the_store(self, path: Path, tmp_path: Path) -> None:
        closed_store(path)
        (tmp_path / "link").symlink_to(path)
        store = open_store(tmp_path / "link", create=False, group_access=False)
        assert (store.place, store.counts().live) == (path, 500)
        store.close()

    @pytest.mark.parametrize("name", ["a b.db", "a?mode=memory.db", "a#b.db", "%41.db", "ü.db", "a'b\".db"])
    def test_any_characters_are_allowed_in_a_path(self, tmp_path: Path, name: str) -> None:
        closed_store(tmp_path / name)
        assert [file.name for file in tmp_path.iterdir()] == [name]

    def test_a_store_in_memory_is_new_each_time(self) -> None:
        first = open_store(":memory:", create=True, group_access=False)
        add(first, "task-1")
        second = open_store(":memory:", create=False, group_access=False)
        assert (first.counts().live, second.counts().live) == (1, 0)

    def test_a_deleted_store_is_reported_and_not_created_again(self, store: Store, path: Path) -> None:
        store.close()
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(StoreError, match="is missing"):
            store.revision()
        path.with_name("elsewhere").rename(path)
        store.revision()

    @pytest.mark.parametrize("is_replaced", [False, True])
    def test_a_store_deleted_while_open_is_reported_at_the_next_check(
        self, is_replaced: bool, store: Store, path: Path
    ) -> None:
        store.news()
        path.rename(path.with_name("elsewhere"))
        if is_replaced:
            closed_store(other := path.with_name("other"))
            other.rename(path)
        with pytest.raises(StoreDamaged, match="removed or replaced while in use"):
            store.news()

    @pytest.mark.parametrize("ending", ["-wal", "-shm", ".lock"])
    def test_a_file_beside_the_store_deleted_while_open_is_reported(self, ending: str, path: Path) -> None:
        with DaemonLock(path), closing(opened(path)) as store:
            add(store, "task-1")
            store.news()
            path.with_name(path.name + ending).unlink()
            with pytest.raises(StoreDamaged, match=f"{ending} was removed or replaced while in use; start again"):
                store.news()
        with closing(opened(path)) as store:
            assert store.counts().live == 1

    def test_a_briefly_unreadable_store_does_not_count_as_deleted(self, store: Store, path: Path) -> None:
        before = store.news()
        folder, aside = path.parent, path.parent.with_name("aside")
        folder.rename(aside)
        folder.symlink_to(folder)  # too many levels of links
        with pytest.raises(StoreError) as caught:
            store.news()
        assert not isinstance(caught.value, StoreDamaged)
        folder.unlink()
        aside.rename(folder)
        assert store.news() == before


@pytest.mark.usefixtures("umask")
class TestModes:
    @pytest.mark.parametrize(("group_access", "file", "folder"), [(False, 0o600, 0o700), (True, 0o640, 0o750)])
    def test_new_files_have_their_mode_whatever_the_umask(
        self, public: Path, group_access: bool, file: int, folder: int
    ) -> None:
        path = public / "new" / "deeper" / "state.db"
        store = open_store(path, create=True, group_access=group_access)
        add(store, "task-1")
        assert {name.name: oct(mode(name)) for name in path.parent.iterdir()} == {
            "state.db": oct(file),
            "state.db-wal": oct(file),
            "state.db-shm": oct(file),
        }
        assert (mode(path.parent), mode(path.parent.parent), mode(public)) == (folder, folder, 0o755)
        store.close()

    def test_a_store_readable_by_others_is_restricted_and_no_mode_is_widened(self, path: Path) -> None:
        closed_store(path)
        for given, left in ((0o644, 0o640), (0o600, 0o600), (0o400, 0o400)):
            path.chmod(given)
            open_store(path, create=False, group_access=True).close()
            assert mode(path) == left


class TestUsers:
    def service_store(self, public: Path) -> Path:
        """A store like that of the service: it belongs to a user of its own, and its group may read it."""
        folder = public / "genbridge"
        folder.mkdir()
        folder.chmod(0o750)
        os.chown(folder, SERVICE, GROUP)
        return folder / "state.db"

    def test_the_error_for_a_user_without_rights_names_the_owner(self, public: Path, as_user: AsUser) -> None:
        path = self.service_store(public)
        with as_user(SERVICE, GROUP):
            open_store(path, create=True, group_access=True).close()
        with (
            as_user(NOBODY, NOBODY),
            pytest.raises(StoreError, match=rf"run this as user #{SERVICE} .*, or join the group #{GROUP}$") as caught,
        ):
            open_store(path, create=False, group_access=True)
        assert not isinstance(caught.value, StoreDamaged | StoreBusy)

    def test_nobody_is_told_to_join_the_group_root(self, public: Path, as_user: AsUser) -> None:
        with (
            as_user(NOBODY, NOBODY),
            pytest.raises(StoreError, match=r"run this as user root .*, or name another path$"),
        ):
            open_store(public / "state.db", create=True, group_access=False)

    @pytest.mark.parametrize("is_running", [True, False], ids=["beside a daemon", "without one"])
    def test_a_member_of_the_group_reads_but_does_not_write(
        self, public: Path, as_user: AsUser, is_running: bool
    ) -> None:
        path = self.service_store(public)
        with as_user(SERVICE, GROUP):
            daemon = open_store(path, create=True, group_access=True)
            add(daemon, "task-1")
            if not is_running:
                daemon.close()
        with as_user(NOBODY, GROUP):
            viewer = open_reader(path)
            assert [view.task_id for view in viewer.list_watches()] == ["task-1"]
            viewer.close()
            reader = open_store(path, create=False, group_access=True)
            assert [view.task_id for view in reader.list_watches()] == ["task-1"]
            with pytest.raises(
                StoreError, match=rf"no permission to write it; run this as user #{SERVICE} \(sudo -u '#{SERVICE}' "
            ):
                add(reader, "task-2")
            reader.close()
            with pytest.raises(
                StoreError, match=rf"no permission to write it; run this as user #{SERVICE} \(sudo -u '#{SERVICE}' "
            ):
                open_store(path, create=True, group_access=True)
        with as_user(SERVICE, GROUP):
            add(daemon, "task-3")
            daemon.close()

    def test_the_error_says_how_the_service_gets_back_roots_store(self, public: Path, as_user: AsUser) -> None:
        path = self.service_store(public)
        open_store(path, create=True, group_access=True).close()
        os.chown(path, 0, 0)
        back = rf"it belongs to root, its folder to #{SERVICE}; chown #{SERVICE}: {path}\* as root$"
        with as_user(SERVICE, GROUP), pytest.raises(StoreError, match=back):
            open_store(path, create=False, group_access=True).close()

    def test_files_created_by_root_are_usable_by_the_service(self, public: Path, as_user: AsUser) -> None:
        path = self.service_store(public)
        with as_user(SERVICE, GROUP):
            open_store(path, create=True, group_access=True).close()
        root = open_store(path, create=False, group_access=True)
        add(root, "task-1")
        with as_user(SERVICE, GROUP):
            service = open_store(path, create=False, group_access=True)
            add(service, "task-2")
            assert service.counts().live == 2
            service.close()
        root.close()


class TestReadOnly:
    def test_a_reader_leaves_no_files(self, store: Store, path: Path) -> None:
        add(store, "task-1")
        store.close()
        before = listing(path.parent)
        reader = open_reader(path)
        assert reader.view(KEY).added_at == NOW
        reader.close()
        assert listing(path.parent) == before

    def test_a_reader_sees_what_is_written_later(self, store: Store, path: Path) -> None:
        store.close()
        reader = open_reader(path)
        assert reader.counts().live == 0
        add(store, "task-1")
        assert reader.counts().live == 1
        add(store, "task-2")
        assert reader.counts().live == 2
        store.close()
        assert reader.counts().live == 2
        reader.close()

    def test_a_reader_writes_nothing(self, store: Store, path: Path) -> None:
        reader = open_reader(path)
        with pytest.raises(StoreError, match="was opened read-only"):
            CommandStore(reader._database).withdraw([KEY], now=NOW)
        reader.close()


@pytest.mark.usefixtures("unmeasured")
def test_a_write_during_the_check_of_a_large_store_does_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = open_store(path, create=True, group_access=False)
    wishes = [Wish(account="a", task_id=f"t{number}", action="x" * 400) for number in range(20_000)]
    store.add(wishes, source="test", now=1.0)
    store.close()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            command = open_command_store(path, create=False, group_access=False)
            command.add([Wish(account="b", task_id=f"{number}-{each}") for each in range(300)], source="test", now=2.0)
            command.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert {version_of(path, whole=True) for _ in range(30)} == {LATEST}
    finally:
        stop.set()
        writer.join()
