"""Several daemons on one PostgreSQL: nothing lost, nothing double, as polite as one, whoever dies or is cut off."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.config.place import PostgresUrl
from tests.crowd import REFUSED, RUNNING, Crew, Crowd, Verdict, most_over, running_crowd, verdict
from tests.postgres import own_schema, own_server, own_standby
from tests.wire import wire_to
from tests.world import until

pytestmark = [pytest.mark.crash, pytest.mark.long, pytest.mark.xdist_group("crews"), pytest.mark.timeout(240)]

TRIO = ("a", "b", "c")
TAKEOVER_S = 5.0
TRUSTED_S = 0.7 * TAKEOVER_S
BUNCHED_S = 0.3  # requests of so long a time may arrive together where others have the cores


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with running_crowd(Crowd()) as crowd:
        yield crowd


@pytest.fixture
def crew(crowd: Crowd, tmp_path: Path, postgres: PostgresUrl) -> Iterator[Crew]:
    with Crew(crowd, tmp_path, postgres.reveal()) as crew:
        yield crew


def all_share(crew: Crew, *names: str, within_s: float = 15.0) -> None:
    """Return when each of these asks, from now on. (Each comes by in its own rhythm, every two seconds or so.)

    Where others have the cores, starting a process alone may take ten seconds: that is no part of what is waited for.
    No task ends meanwhile: there must be something to share.
    """
    with crew.crowd.standing():
        until(lambda: all(map(crew.is_ready, names)), seconds=20, what=f"{names} are ready")
        begun = time.monotonic()

        def share() -> bool:
            return crew.busy(max(begun, time.monotonic() - 3)).keys() >= set(names)

        until(share, seconds=within_s, what=f"{names} share the work")


def settle(crew: Crew, *, within_s: float = 40.0) -> Verdict:
    """Let everything come to its end, stop them all, and judge."""
    crowd = crew.crowd
    until(lambda: crowd.ended() >= crowd.ends_at.keys(), seconds=within_s, what="every end told")
    assert crew.stop() == [0] * len(crew.daemons)
    return verdict(crowd)


def lasting(number: int) -> float:
    """Beyond the end of any test."""
    return 3600.0


def test_daemons_that_are_killed_every_few_seconds_lose_nothing_and_double_nothing(crowd: Crowd, crew: Crew) -> None:
    luck = random.Random(3)
    crew.start(*TRIO)
    until(lambda: all(map(crew.is_ready, TRIO)), seconds=20, what="all are ready")  # and see tasks before they end
    for account, count in (("kling", 240), ("suno", 120)):
        crew.drop("a", crowd.tasks(account, count, ends_in=lambda number: luck.uniform(4, 24)))
    kills = 0
    until(lambda: len(crowd.asked) > 50, seconds=20, what="polls")
    for name in "abcabca":
        time.sleep(luck.uniform(1.5, 3.0))
        crew.daemons[name].kill()
        kills += 1
        time.sleep(luck.uniform(0.0, 1.0))
        crew.start(name)
    told = settle(crew)
    print(f"\n{kills} kills: {told}")
    assert (told.lost, told.double_ids, told.differing, told.disordered) == (0, 0, 0, 0)
    assert sum(one.topic == RUNNING for one in crowd.heard) >= 100  # the end cancels what is late
    assert told.repeated <= 8 * kills  # what was in flight: the endpoint's concurrency
    assert told.late_polls <= 66 * kills  # likewise: 16 single requests, or one about 50


def test_limits_hold_over_all_daemons_while_they_come_and_go(crowd: Crowd, crew: Crew) -> None:
    rate, burst, most = 40.0, 16, 8
    crowd.answer_s = 0.05
    crowd.limits = {"rate": rate, "burst": burst, "concurrency": most}
    crew.start("a")
    crew.drop("a", crowd.tasks("kling", 400, ends_in=lasting) + crowd.tasks("suno", 200, ends_in=lasting))
    until(lambda: len(crowd.asked) > 60, seconds=20, what="polls")
    crew.start("b")
    all_share(crew, "a", "b")
    crew.start("c")
    all_share(crew, *TRIO)
    crew.daemons["b"].kill()
    time.sleep(1)
    crew.send("c", signal.SIGTERM)
    crew.daemons["c"].process.wait(15)
    time.sleep(TAKEOVER_S)
    crew.start("b", "c")
    all_share(crew, *TRIO)
    assert set(crew.stop()) == {0}
    for account in ("kling", "suno"):
        over = most_over(crowd.asked, account, rate=rate)
        in_flight = max(one.in_flight for one in crowd.asked if one.account == account)
        print(f"\n{account}: burst {over:.1f} of {burst}, in flight {in_flight} of {most}")
        assert over <= burst + rate * BUNCHED_S
        assert in_flight <= most
    batches = [one for one in crowd.asked if one.account == "suno" and len(one.ids) > 1]
    assert sum(len(one.ids) for one in batches) / len(batches) > 25  # batches still find their mates


def test_retry_after_told_to_one_daemon_stops_them_all(crowd: Crowd, crew: Crew) -> None:
    crew.start(*TRIO)
    crew.drop("a", crowd.tasks("kling", 150, ends_in=lasting) + crowd.tasks("suno", 5, ends_in=lasting))
    all_share(crew, *TRIO)
    time.sleep(1.5)  # the burst of first transitions is over
    pause_s, told_at = 4.0, 0.0

    def refuse_once(account: str) -> tuple[int, bytes, dict[str, str]] | None:
        nonlocal told_at
        if account != "kling" or told_at:
            return None
        told_at = time.monotonic()
        return 429, b"{}", {"Retry-After": str(int(pause_s))}

    crowd.fault = refuse_once
    time.sleep(pause_s + 2)
    early = [one for one in crowd.asked if one.account == "kling" and told_at < one.at < told_at + pause_s - 0.05]
    print(f"\nafter the 429: {[(one.daemon, round(one.at - told_at, 3)) for one in early]}")
    assert all(one.at - told_at < 1.5 for one in early)  # a tenth of it where nobody else has the cores
    assert any(one.at > told_at + pause_s for one in crowd.asked if one.account == "kling")
    assert any(told_at + 1 < one.at < told_at + pause_s for one in crowd.asked if one.account == "suno")


def test_a_refused_key_is_told_once_and_tried_no_more_often_than_by_one(crowd: Crowd, crew: Crew) -> None:
    crew.start(*TRIO)
    crew.drop("a", crowd.tasks("kling", 150, ends_in=lasting))
    all_share(crew, *TRIO)
    crowd.fault = lambda account: REFUSED
    refused_at = time.monotonic()
    time.sleep(6)
    after = [one for one in crowd.asked if one.at > refused_at + 0.5]
    assert not after  # one daemon would try again after a minute
    until(lambda: any(one.topic == "account_blocked" for one in crowd.heard), seconds=5, what="the block told")
    crowd.fault = lambda account: None
    crew.stop()
    crew.start(*TRIO)  # each may try once at its start
    until(lambda: any(one.topic == "account_restored" for one in crowd.heard), seconds=15, what="the restoral told")
    all_share(crew, *TRIO)
    topics = [one.topic for one in crowd.heard]
    assert (topics.count("account_blocked"), topics.count("account_restored")) == (1, 1)


def test_work_is_handed_over_at_once_or_within_the_takeover(crowd: Crowd, crew: Crew) -> None:
    crew.start("a", "b")
    crew.drop("a", crowd.tasks("kling", 60, ends_in=lasting))
    all_share(crew, "a", "b")
    begun = time.monotonic()
    crew.start("c")
    until(lambda: "shares.gained" in crew.log("c"), seconds=10, what="the third one's part")
    all_share(crew, *TRIO)

    def untouched(since: float) -> set[str]:
        return crowd.ends_at.keys() - {one for asked in crowd.asked if asked.at > since for one in asked.ids}

    joined_s = time.monotonic() - begun
    begun = time.monotonic()
    crew.send("a", signal.SIGTERM)
    assert crew.daemons["a"].process.wait(10) == 0
    del crew.daemons["a"]
    begun = time.monotonic()
    until(lambda: not untouched(begun), seconds=2 + 2.5, what="all asked about by the others")
    stopped_s = time.monotonic() - begun
    crew.daemons.pop("b").kill()
    begun = time.monotonic()
    until(lambda: not untouched(begun), seconds=TAKEOVER_S + 3, what="all asked about by the one that is left")
    killed_s = time.monotonic() - begun
    print(f"\njoined in {joined_s:.1f} s; handed over in {stopped_s:.1f} s, taken over in {killed_s:.1f} s")


def check_silent(crowd: Crowd, daemon: str, since: float, until_: float) -> None:
    sent = [at - since for at in crowd.sent(daemon, since=since) if at < until_]
    assert not sent, f"{daemon} sent {len(sent)} after its lease had ended, first {sent[0]:.2f} s after"


def cut_off(crew: Crew, hide: Callable[[], None], bring_back: Callable[[], None]) -> None:
    """What must hold when one daemon, "a", is cut off from the store for longer than its lease lasts."""
    crowd = crew.crowd
    crew.drop("b", crowd.tasks("kling", 100, ends_in=lambda number: 4 + number / 5))
    all_share(crew, *TRIO)
    joined = crew.log("a").count("member.joined")
    hide()
    begun = time.monotonic()
    time.sleep(2 * TAKEOVER_S)
    back_at = time.monotonic()
    check_silent(crowd, "a", begun + TRUSTED_S + 0.3, back_at)
    over = {one for one, ends_at in crowd.ends_at.items() if ends_at < back_at - 4}
    assert over <= crowd.ended()  # the others have taken over
    bring_back()
    until(lambda: crew.log("a").count("member.joined") > joined, seconds=15, what="it joins anew")


def test_a_daemon_behind_a_black_hole_sends_nothing_after_its_lease_and_joins_anew(crowd: Crowd, crew: Crew) -> None:
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
        told = settle(crew)
    print(f"\n{told}")
    assert (told.lost, told.double_ids, told.differing, told.disordered) == (0, 0, 0, 0)


def test_a_daemon_that_was_frozen_sends_nothing_before_it_has_joined_anew(crowd: Crowd, crew: Crew) -> None:
    crew.start(*TRIO)
    woken_at = 0.0

    def wake() -> None:
        nonlocal woken_at
        woken_at = time.monotonic()
        crew.send("a", signal.SIGCONT)

    cut_off(crew, lambda: crew.send("a", signal.SIGSTOP), wake)
    joined_at = time.monotonic()
    assert all(at > joined_at - 2 for at in crowd.sent("a", since=woken_at))
    told = settle(crew)
    print(f"\n{told}")
    assert (told.lost, told.double_ids, told.differing, told.disordered) == (0, 0, 0, 0)


def test_connections_cut_in_the_middle_of_commits_change_nothing(crowd: Crowd, crew: Crew) -> None:
    luck = random.Random(5)
    with wire_to(crew.store) as wire:
        wire.on_request = lambda data: b"COMMIT" not in data or luck.random() > 0.05
        crew.start("a", store=wire.url(crew.store))
        crew.start("b")
        for _ in range(50):  # so that much else is written while it is not known what became of a commit
            crew.drop("a", crowd.tasks("kling", 4, ends_in=lambda number: luck.uniform(1, 8)))
            time.sleep(0.2)
        told = settle(crew)
    print(f"\n{told}")
    assert (told.lost, told.double_ids, told.differing, told.disordered) == (0, 0, 0, 0)
    assert told.repeated == 0


def test_a_server_that_crashes_or_throws_everybody_out_costs_nothing(crowd: Crowd, tmp_path: Path) -> None:
    with own_server() as server, own_schema(server.url) as place, Crew(crowd, tmp_path, place.reveal()) as crew:
        crew.start(*TRIO)
        crew.drop("a", crowd.tasks("kling", 200, ends_in=lambda number: 4 + number / 10))
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
        told = settle(crew)
    print(f"\n{told}")
    assert (told.lost, told.double_ids, told.differing, told.disordered) == (0, 0, 0, 0)


def test_a_standby_that_takes_over_has_everything_and_is_found(crowd: Crowd, tmp_path: Path) -> None:
    luck = random.Random(9)
    with own_server() as primary, own_standby(primary) as standby:
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        both = primary.url.replace(f"127.0.0.1:{primary.port}", hosts) + "?target_session_attrs=read-write"
        with Crew(crowd, tmp_path, both) as crew:
            crew.start(*TRIO)
            crew.drop("a", crowd.tasks("kling", 300, ends_in=lambda number: luck.uniform(3, 20)))
            all_share(crew, *TRIO)
            until(lambda: len(crowd.ended()) > 20, seconds=20, what="some ends told")  # more of them at any moment
            primary.stop(at_once=True)
            gone_at = time.monotonic()
            time.sleep(luck.uniform(0.5, 1.5))
            standby.promote()
            all_share(crew, *TRIO, within_s=30)
            print(f"\nall work on {time.monotonic() - gone_at:.1f} s after the primary's end")
            told = settle(crew)
            lost = [name for name in TRIO if "lease.lost" in crew.log(name)]
    print(f"{told}, leases lost by {lost}")
    assert (told.lost, told.double_ids, told.differing, told.disordered) == (0, 0, 0, 0)
    assert lost or not told.repeated  # who keeps its lease knows what it has told


def test_a_lease_that_is_lost_again_and_again_leaves_nothing_behind(crowd: Crowd, crew: Crew) -> None:
    crew.start("a")
    crew.drop("a", crowd.tasks("kling", 20, ends_in=lasting))
    all_share(crew, "a")
    pid = crew.daemons["a"].pid

    def open_files() -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    def threads() -> int:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))

    before = open_files(), threads()
    for times in range(1, 7):
        with psycopg.connect(crew.store, autocommit=True) as admin:
            admin.execute("DELETE FROM members")
        until(lambda: crew.log("a").count("shares.gained") > times, seconds=10, what="it joins anew")  # noqa: B023
    all_share(crew, "a")
    assert open_files() <= before[0] + 4  # connections to the provider come and go
    assert threads() <= before[1] + 3  # those that wait for something to do come and go, too
    assert crew.stop() == [0]


def test_a_stop_is_heeded_while_the_store_is_away(crowd: Crowd, tmp_path: Path) -> None:
    with own_server() as server, own_schema(server.url) as place, Crew(crowd, tmp_path, place.reveal()) as crew:
        crew.start("a", "b")
        crew.drop("a", crowd.tasks("kling", 60, ends_in=lambda number: number / 5))
        all_share(crew, "a", "b")
        server.stop(at_once=True)
        crew.send("a", signal.SIGTERM)
        assert crew.daemons["a"].process.wait(12) == 0
        time.sleep(TAKEOVER_S)
        crew.send("b", signal.SIGTERM)  # its lease has been lost by now
        assert crew.daemons["b"].process.wait(12) == 0
        crew.start("a")
        assert crew.daemons["a"].process.wait(20) == 69
        assert crew.log("a").splitlines()[-1].startswith("genbridge: store postgresql://genbridge:***@")
        server.start()
        crew.start("a", "b")
        told = settle(crew)
    assert (told.lost, told.double_ids, told.differing) == (0, 0, 0)


def test_clocks_that_differ_by_days_do_no_harm(crowd: Crowd, crew: Crew) -> None:
    shim = crew.folder / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(
        "import os, time\n"
        "real, ahead_s = time.time, float(os.environ['CLOCK_AHEAD_S'])\n"
        "time.time = lambda: real() + ahead_s\n"
    )
    for name, ahead_s in (("a", -172_800), ("b", 0), ("c", 172_800)):
        crew.start(name, env={"PYTHONPATH": str(shim), "CLOCK_AHEAD_S": str(ahead_s)})
    until(lambda: all("daemon.ready" in crew.log(name) for name in TRIO), seconds=20, what="all are ready")
    for name in TRIO:
        crew.drop(name, crowd.tasks("kling", 30, ends_in=lambda number: 3 + number / 10))
    all_share(crew, *TRIO)
    time.sleep(1)
    crew.daemons.pop("c").kill()  # what it has planned by its clock is taken over by those behind it
    told = settle(crew, within_s=20)
    assert (told.lost, told.double_ids, told.differing, told.disordered) == (0, 0, 0, 0)
    assert {one.topic for one in crowd.heard} == {"task_running", "task_succeeded"}
