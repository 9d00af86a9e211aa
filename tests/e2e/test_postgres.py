"""The real daemon and the real commands on a store in PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.clock import SystemClock
from bridge.config.postgres_url import PostgresUrl
from bridge.store import open_store
from bridge.store.migrations import migrations
from bridge.store.postgres import PostgresStore
from bridge.store.postgres.database import LATEST, Database
from tests.daemon_process import DaemonProcess
from tests.e2e.test_daemon import genbridge
from tests.postgres import own_schema, own_server
from tests.wire import wire_to
from tests.world import World, drop, running_world, until

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.long


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as running:
        yield running


@pytest.mark.wheel
def test_postgresql_works_like_sqlite_and_the_password_never_prints(
    tmp_path: Path, world: World, postgres: PostgresUrl
) -> None:
    secret, url = "sesame-open", postgres.reveal().replace("sesame-open", "${DB_PASSWORD}")
    world.settings(tmp_path, store=url)
    env = {"DB_PASSWORD": secret}
    said = [genbridge(tmp_path, "status", **env)]
    assert said[0].returncode == 69
    assert "there is no store in postgresql://genbridge:***@" in said[0].stderr
    with DaemonProcess(tmp_path / "genbridge.yaml", env=env) as daemon:
        until(lambda: (tmp_path / "queue").is_dir(), seconds=15, what="the queue folder")
        drop(tmp_path / "queue", "one.yaml", "id: queued\n")
        said.append(genbridge(tmp_path, "add", "added", **env))
        world.ends_at |= dict.fromkeys(("queued", "added"), time.monotonic() + 1)
        until(lambda: len(world.received) == 2, seconds=20, what="two webhooks")
        said += [genbridge(tmp_path, *words, **env) for words in (["wait", "added"], ["explain", "queued"], ["status"])]
        assert [one.returncode for one in said[1:]] == [0, 0, 0, 0], [one.stderr for one in said]
        said.append(genbridge(tmp_path, "list", "--json", **env))
        assert {one["phase"] for one in json.loads(said[-1].stdout)} == {"succeeded"}
        said.append(genbridge(tmp_path, "redeliver", world.received[0].data["event_id"], **env))
        until(lambda: len(world.received) == 3, seconds=10, what="the webhook again")
        assert daemon.stop() == 0
    said += [genbridge(tmp_path, "list"), genbridge(tmp_path, "check", **env), genbridge(tmp_path, "once", **env)]
    assert "store: not set in the environment: DB_PASSWORD" in said[-3].stderr
    assert [one.returncode for one in said[-3:]] == [78, 0, 0]
    assert not any(secret in one.stdout + one.stderr for one in said)
    assert secret not in daemon.log.read_text()


@pytest.mark.wheel
def test_without_the_driver_one_line_says_what_to_install(tmp_path: Path, world: World) -> None:
    world.settings(tmp_path, store="postgresql://me:sesame-open@127.0.0.1/db")
    program = "import sys; sys.modules['psycopg'] = None; from bridge.cli import main; main(['list'])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78
    [driver] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["postgres"]
    assert f"{sys.executable} -m pip install '{driver}' (or, in a checkout, '.[postgres]')" in done.stderr
    assert (done.stderr.count("\n"), "sesame" in done.stderr) == (1, False)


def test_commands_use_the_clock_of_the_server(tmp_path: Path, world: World, postgres: PostgresUrl) -> None:
    settings = world.settings(tmp_path, store=postgres.reveal())
    two_days_behind = "import time; right = time.time; time.time = lambda: right() - 172_800"
    run = f"{two_days_behind}; import sys; from bridge.cli import main; main(sys.argv[1:])"

    def behind(*words: str) -> str:
        return subprocess.check_output([sys.executable, "-c", run, *words], cwd=tmp_path, text=True, timeout=60)

    with DaemonProcess(settings) as daemon:
        until(lambda: (tmp_path / "queue").is_dir(), seconds=15, what="the queue folder")
        world.ends_at["a"] = time.monotonic() + 3600
        behind("add", "a")
        until(lambda: bool(world.polls), seconds=15, what="a poll")
        until(
            lambda: "running" in behind("list"), seconds=15, what="the answer"
        )  # not timed_out: it is not two days old
        assert "s ago" in behind("list")
        behind("pause", "hook", "--for", "10m")
        world.ends_at["a"] = time.monotonic()
        until(lambda: "succeeded" in behind("list"), seconds=15, what="the end")
        assert "hook until" in genbridge(tmp_path, "status").stdout
        assert not world.received
        behind("resume", "hook")
        until(lambda: len(world.received) == 1, seconds=15, what="the webhook")
        assert daemon.stop() == 0


@pytest.mark.crash
def test_a_killed_and_restarted_server_loses_no_event_and_repeats_none(tmp_path: Path, world: World) -> None:
    with own_server() as server, own_schema(server.url) as place:
        world.settings(tmp_path, store=place.reveal())
        with DaemonProcess(tmp_path / "genbridge.yaml") as daemon:
            until(lambda: (tmp_path / "queue").is_dir(), seconds=15, what="the queue folder")
            ids = [f"task-{number}" for number in range(40)]
            drop(tmp_path / "queue", "all.txt", "\n".join(ids) + "\n")
            begun = time.monotonic()
            world.ends_at |= {one: begun + 1 + number / 10 for number, one in enumerate(ids)}
            for _ in range(3):
                time.sleep(1)
                server.stop(at_once=True)
                time.sleep(0.3)
                server.start()
            until(lambda: len(world.by_task()) == len(ids), seconds=40, what="every webhook")
            assert daemon.stop() == 0
    for told in world.by_task().values():
        assert len({one.headers["webhook-id"] for one in told}) == 1


def test_a_store_moves_to_postgresql_without_losing_or_repeating_anything(
    tmp_path: Path, world: World, postgres: PostgresUrl
) -> None:
    settings = world.settings(tmp_path)
    ids = [f"task-{number}" for number in range(12)]
    with DaemonProcess(settings) as daemon:
        until(lambda: (tmp_path / "queue").is_dir(), seconds=15, what="the queue folder")
        drop(tmp_path / "queue", "all.txt", "\n".join(ids) + "\n")
        world.ends_at |= dict.fromkeys(ids[:6], time.monotonic() + 1)
        until(lambda: len(world.received) == 6, seconds=20, what="the first webhooks")
        refused = genbridge(tmp_path, "store", "copy", "state.db", postgres.reveal())
        assert (refused.returncode, "stop that one first" in refused.stderr) == (75, True)
        assert daemon.stop() == 0
    place = postgres.reveal().replace("sesame-open", "${DB_PASSWORD}")
    copied = genbridge(tmp_path, "store", "copy", "state.db", place, DB_PASSWORD="sesame-open")
    assert copied.returncode == 0, copied.stderr
    assert "12 tasks, 6 events, 6 deliveries, 6 attempts" in copied.stdout
    assert "sesame" not in copied.stdout + copied.stderr
    again = genbridge(tmp_path, "store", "copy", "state.db", postgres.reveal())
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)
    world.settings(tmp_path, store=postgres.reveal())
    assert genbridge(tmp_path, "store", "migrate").stdout.rstrip().endswith("up to date")
    with DaemonProcess(settings) as daemon:
        world.ends_at |= dict.fromkeys(ids[6:], time.monotonic() + 2)
        until(lambda: len(world.by_task()) == 12, seconds=20, what="the other webhooks")
        busy = genbridge(tmp_path, "store", "copy", postgres.reveal(), "back.db")
        assert (busy.returncode, "stop them first" in busy.stderr) == (75, True)
        assert not (tmp_path / "back.db").exists()
        first = world.received[0].data["event_id"]
        assert genbridge(tmp_path, "redeliver", first).returncode == 0
        until(lambda: len(world.received) == 13, seconds=10, what="the first one again")
        assert daemon.stop() == 0
    back = genbridge(tmp_path, "store", "copy", postgres.reveal(), "back.db")
    assert back.returncode == 0, back.stderr
    assert [told.headers["webhook-id"] for told in world.received].count(first) == 2
    assert world.received[-1].body == world.received[0].body
    assert len({told.headers["webhook-id"] for told in world.received}) == 12


@pytest.mark.crash
def test_without_network_nothing_is_sent_and_a_stop_still_works(
    tmp_path: Path, world: World, postgres: PostgresUrl
) -> None:
    with wire_to(postgres.reveal()) as wire:
        settings = world.settings(tmp_path, store=wire.url(postgres.reveal()))
        with DaemonProcess(settings) as daemon:
            until(lambda: (tmp_path / "queue").is_dir(), seconds=15, what="the queue folder")
            drop(tmp_path / "queue", "all.txt", "a\nb\n")
            until(lambda: not list((tmp_path / "queue").glob("all.txt")), seconds=15, what="the queue")
            wire.is_black_hole = True
            world.ends_at |= dict.fromkeys("ab", time.monotonic())
            until(lambda: "store.failed" in daemon.log.read_text(), seconds=25, what="the failure")
            assert world.received == []
            wire.cut()
            wire.is_black_hole = False
            until(lambda: len(world.received) == 2, seconds=30, what="the webhooks")
            wire.is_black_hole = True
            time.sleep(1)
            assert daemon.stop() == 0
    assert len({told.headers["webhook-id"] for told in world.received}) == 2


def test_a_right_that_is_missing_ends_a_start_with_one_line(
    tmp_path: Path, world: World, postgres: PostgresUrl
) -> None:
    open_store(postgres, create=True, group_access=False).close()
    role = f"r_{os.urandom(4).hex()}"
    place = postgres.reveal().replace("genbridge:sesame-open", f"{role}:open-sesame")
    world.settings(tmp_path, store=place)
    with psycopg.connect(postgres.reveal(), autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'open-sesame'")
        try:
            owner.execute(f"GRANT USAGE ON SCHEMA {schema_of(owner)} TO {role}")
            owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema_of(owner)} TO {role}")
            for table in ("members", "shares"):
                owner.execute(f"REVOKE INSERT, DELETE ON {table} FROM {role}")
                with DaemonProcess(tmp_path / "genbridge.yaml") as daemon:
                    assert daemon.process.wait(30) == 1
                said = daemon.log.read_text().splitlines()[-1]
                assert said.startswith("genbridge: store postgresql://")
                assert f"permission denied for table {table}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL" in said
                assert "Traceback" not in daemon.log.read_text()
                owner.execute(f"GRANT INSERT, DELETE ON {table} TO {role}")
        finally:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")


def test_once_and_check_end_if_the_server_accepts_no_writes(
    tmp_path: Path, world: World, postgres: PostgresUrl
) -> None:
    open_store(postgres, create=True, group_access=False).close()
    read_only = postgres.reveal().replace("options=", "options=-cdefault_transaction_read_only%3Don%20")
    world.settings(tmp_path, store=read_only)
    done = genbridge(tmp_path, "once", "--timeout", "2s")
    assert (done.returncode, "once.timed_out" in done.stderr) == (1, True), done.stderr
    assert "daemon.ready" not in done.stderr
    checked = genbridge(tmp_path, "check")
    assert (checked.returncode, "the server accepts no writes" in checked.stdout) == (69, True), checked.stdout


def schema_of(connection: psycopg.Connection[tuple[str]]) -> str:
    [(schema,)] = connection.execute("SELECT current_schema()").fetchall()
    return schema


def test_a_daemon_stops_with_a_reason_when_its_store_is_upgraded(
    tmp_path: Path, world: World, postgres: PostgresUrl
) -> None:
    with DaemonProcess(world.settings(tmp_path, store=postgres.reveal())) as daemon:
        until(lambda: (tmp_path / "queue").is_dir(), seconds=15, what="the queue folder")
        world.ends_at["a"] = time.monotonic() + 3600
        drop(tmp_path / "queue", "a.txt", "a\n")
        until(lambda: bool(world.polls), seconds=15, what="polls")
        step = "ALTER TABLE watches ADD COLUMN colour text"
        newer = Database(postgres, clock=SystemClock(), steps=[*migrations("postgres"), step])
        newer.migrate()
        assert daemon.process.wait(30) == 1
        ended_at = time.monotonic()
        store = PostgresStore(newer)
        assert store.members() == []  # the others need not wait until its lease ends
        store.close()
    assert (
        daemon.log.read_text()
        .splitlines()[-1]
        .endswith(
            f"written by a newer genbridge (store version {LATEST + 1}; this one knows {LATEST}): upgrade genbridge"
        )
    )
    assert "Traceback" not in daemon.log.read_text()
    time.sleep(1)
    assert all(at < ended_at for at, _ in world.polls)
