"""Several daemons on one PostgreSQL lose nothing and send nothing twice, even when one is cut off from the store."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.crash.crew import (
    TAKEOVER_S,
    TRIO,
    Crew,
    all_share,
    lasting,
    new_tasks,
    notified,
    sent,
    settle,
)
from tests.postgres import own_schema, own_server, own_standby
from tests.wire import wire_to
from tests.world import World, until

pytestmark = [
    pytest.mark.crash,
    pytest.mark.long,
    pytest.mark.together,
    pytest.mark.timeout(240),
]

TRUSTED_S = 0.7 * TAKEOVER_S


def check_silent(world: World, daemon: str, since: float, until_: float) -> None:
    late = [at - since for at in sent(world, daemon, since=since) if at < until_]
    assert not late, f"{daemon} sent {len(late)} after its lease had ended, first {late[0]:.2f} s after"


def cut_off(crew: Crew, hide: Callable[[], None], bring_back: Callable[[], None]) -> None:
    """What must hold when one daemon, "a", is cut off from the store for longer than its lease lasts."""
    world = crew.world
    crew.drop("b", new_tasks(world, "kling", 50, ends_in=lambda number: 4 + number / 2.5))
    all_share(crew, *TRIO)
    joined = crew.log("a").count("member.joined")
    hide()
    begun = time.monotonic()
    time.sleep(2 * TAKEOVER_S)
    back_at = time.monotonic()
    check_silent(world, "a", begun + TRUSTED_S + 0.3, back_at)
    over = {one for one, ends_at in world.ends_at.items() if ends_at < back_at - 4}
    assert over <= notified(world)  # the other daemons have taken over its work
    bring_back()
    until(lambda: crew.log("a").count("member.joined") > joined, seconds=15, what="it joins again")


def test_a_disconnected_daemon_sends_nothing_after_its_lease_and_joins_again(world: World, crew: Crew) -> None:
    with wire_to(crew.store) as wire:
        crew.start("a", store=wire.url(crew.store))
        crew.start("b", "c")

        def hide() -> None:
            wire.is_black_hole = True

        def bring_back() -> None:
            wire.is_black_hole = False
            wire.cut()

        cut_off(crew, hide, bring_back)
        assert "lease.lost" in crew.log("a")
        tally = settle(crew)
    print(f"\n{tally}")
    assert (tally.lost, tally.double_ids, tally.differing, tally.disordered) == (0, 0, 0, 0)


def test_a_daemon_that_was_frozen_sends_nothing_before_it_has_joined_again(world: World, crew: Crew) -> None:
    crew.start(*TRIO)
    woken_at = 0.0

    def wake() -> None:
        nonlocal woken_at
        woken_at = time.monotonic()
        crew.send("a", signal.SIGCONT)

    cut_off(crew, lambda: crew.send("a", signal.SIGSTOP), wake)
    joined_at = time.monotonic()
    assert all(at > joined_at - 2 for at in sent(world, "a", since=woken_at))
    tally = settle(crew)
    print(f"\n{tally}")
    assert (tally.lost, tally.double_ids, tally.differing, tally.disordered) == (0, 0, 0, 0)


def test_connections_cut_in_the_middle_of_commits_change_nothing(world: World, crew: Crew) -> None:
    luck = random.Random(5)
    with wire_to(crew.store) as wire:
        wire.on_request = lambda data: b"COMMIT" not in data or luck.random() > 0.05
        crew.start("a", store=wire.url(crew.store))
        crew.start("b")
        for _ in range(50):  # so that much is written while the result of a commit is unknown
            crew.drop("a", new_tasks(world, "kling", 4, ends_in=lambda number: luck.uniform(1, 8)))
            time.sleep(0.2)
        tally = settle(crew)
    print(f"\n{tally}")
    assert (tally.lost, tally.double_ids, tally.differing, tally.disordered) == (0, 0, 0, 0)
    assert tally.repeated == 0


def test_a_server_that_crashes_or_closes_all_connections_loses_nothing(world: World, tmp_path: Path) -> None:
    with own_server() as server, own_schema(server.url) as place, Crew(world, tmp_path, place.reveal()) as crew:
        crew.start(*TRIO)
        crew.drop("a", new_tasks(world, "kling", 100, ends_in=lambda number: 4 + number / 5))
        all_share(crew, *TRIO)
        for pause_s in (0.0, 2 * TAKEOVER_S):
            server.stop(at_once=True)
            time.sleep(pause_s)
            server.start()
            back_at = time.monotonic()
            all_share(crew, *TRIO, within_s=30)
            print(f"\n{pause_s} s without a server: all work on {time.monotonic() - back_at:.1f} s after its return")
        for _ in range(10):
            with psycopg.connect(server.url, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                    "AND application_name = 'genbridge'"
                )
            time.sleep(0.3)
        tally = settle(crew)
    print(f"\n{tally}")
    assert (tally.lost, tally.double_ids, tally.differing, tally.disordered) == (0, 0, 0, 0)


def test_a_standby_that_takes_over_has_everything_and_is_found(world: World, tmp_path: Path) -> None:
    luck = random.Random(9)
    with own_server() as primary, own_standby(primary) as standby:
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        both = primary.url.replace(f"127.0.0.1:{primary.port}", hosts) + "?target_session_attrs=read-write"
        with Crew(world, tmp_path, both) as crew:
            crew.start(*TRIO)
            crew.drop("a", new_tasks(world, "kling", 150, ends_in=lambda number: luck.uniform(3, 12)))
            all_share(crew, *TRIO)
            until(lambda: len(notified(world)) > 20, seconds=20, what="some webhooks")  # more will come at any moment
            primary.stop(at_once=True)
            gone_at = time.monotonic()
            time.sleep(luck.uniform(0.5, 1.5))
            standby.promote()
            all_share(crew, *TRIO, within_s=30)
            print(f"\nall work on {time.monotonic() - gone_at:.1f} s after the primary's end")
            tally = settle(crew)
            lost = [name for name in TRIO if "lease.lost" in crew.log(name)]
    print(f"{tally}, leases lost by {lost}")
    assert (tally.lost, tally.double_ids, tally.differing, tally.disordered) == (0, 0, 0, 0)
    assert lost or not tally.repeated  # a daemon that keeps its lease knows what it has sent


def test_repeated_losses_of_the_lease_leave_no_objects_behind(world: World, crew: Crew) -> None:
    crew.start("a")
    crew.drop("a", new_tasks(world, "kling", 20, ends_in=lasting))
    all_share(crew, "a")
    pid = crew.daemons["a"].pid

    def open_files() -> int:
        """The number of open files, without the changing connections to provider and receiver."""
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        ports = {f"{world.provider_port:04X}", f"{world.receiver_port:04X}"}
        outside = {f"socket:[{row[9]}]" for row in rows if row[2].rpartition(":")[2] in ports}
        names = []
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                names.append(str(file.readlink()))
        return sum(name not in outside for name in names)

    def threads() -> int:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))

    before = open_files(), threads()
    for times in range(1, 7):
        with psycopg.connect(crew.store, autocommit=True) as admin:
            admin.execute("DELETE FROM members")
        until(lambda: crew.log("a").count("shares.gained") > times, seconds=10, what="it joins again")  # noqa: B023
    all_share(crew, "a")
    # The numbers of connections to the database and of idle threads change, too.
    until(lambda: open_files() <= before[0] + 4, seconds=5, what="as many open files as before")
    until(lambda: threads() <= before[1] + 3, seconds=5, what="as many threads as before")
    assert crew.stop() == [0]


def test_a_stop_works_while_the_store_is_unreachable(world: World, tmp_path: Path) -> None:
    with own_server() as server, own_schema(server.url) as place, Crew(world, tmp_path, place.reveal()) as crew:
        crew.start("a", "b")
        crew.drop("a", new_tasks(world, "kling", 60, ends_in=lambda number: number / 5))
        all_share(crew, "a", "b")
        server.stop(at_once=True)
        crew.send("a", signal.SIGTERM)
        assert crew.daemons["a"].exits_within(12) == 0
        time.sleep(TAKEOVER_S)
        crew.send("b", signal.SIGTERM)  # its lease has been lost by now
        assert crew.daemons["b"].exits_within(12) == 0
        crew.start("a")
        assert crew.daemons["a"].process.wait(60) == 69
        assert crew.log("a").splitlines()[-1].startswith("genbridge: store postgresql://genbridge:***@")
        server.start()
        crew.start("a", "b")
        tally = settle(crew)
    assert (tally.lost, tally.double_ids, tally.differing) == (0, 0, 0)


def test_clocks_that_differ_by_days_cause_no_error(world: World, crew: Crew) -> None:
    shim = crew.folder / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(
        "import os, time\n"
        "real, ahead_s = time.time, float(os.environ['CLOCK_AHEAD_S'])\n"
        f"open(f'{shim}/{{ahead_s}}.used', 'w').close()\n"
        "time.time = lambda: real() + ahead_s\n"
    )
    for name, ahead_s in (("a", -172_800), ("b", 0), ("c", 172_800)):
        crew.start(name, env={"PYTHONPATH": str(shim), "CLOCK_AHEAD_S": str(ahead_s)})
    until(lambda: all("daemon.ready" in crew.log(name) for name in TRIO), seconds=20, what="all are ready")
    assert sorted(float(used.stem) for used in shim.glob("*.used")) == [-172_800, 0, 172_800]
    for name in TRIO:
        crew.drop(name, new_tasks(world, "kling", 20, ends_in=lambda number: 3 + number / 6))
    all_share(crew, *TRIO)
    # What is still in c's queue would be watched by nobody: c is not started again.
    until(lambda: not list(crew.folder.glob("*/queue/*.json")), seconds=10, what="all files are taken")
    time.sleep(1)
    crew.daemons.pop("c").kill()  # daemons with earlier clocks take over what it has scheduled by its own clock
    tally = settle(crew, within_s=20)
    assert (tally.lost, tally.double_ids, tally.differing, tally.disordered) == (0, 0, 0, 0)
    assert {one.topic for one in world.received} == {"task_running", "task_succeeded"}
