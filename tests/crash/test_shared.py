"""Several daemons on one PostgreSQL start and stop: nothing is lost or sent twice, and the limits hold."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import defaultdict
from itertools import pairwise

import pytest

from tests.crash.crew import (
    RUNNING,
    TAKEOVER_S,
    TRIO,
    Crew,
    all_share,
    lasting,
    most_over,
    new_tasks,
    settle,
)
from tests.world import REFUSED, World, until

pytestmark = [pytest.mark.crash, pytest.mark.long, pytest.mark.together, pytest.mark.timeout(240)]

BUNCHED_S = 0.3  # on a busy machine, requests that are this far apart may arrive together


def test_daemons_that_are_killed_every_few_seconds_lose_nothing_and_double_nothing(world: World, crew: Crew) -> None:
    luck = random.Random(3)
    crew.start(*TRIO)
    until(lambda: all(map(crew.is_ready, TRIO)), seconds=20, what="all are ready")  # before any task ends
    for account, count in (("kling", 120), ("suno", 60)):
        crew.drop("a", new_tasks(world, account, count, ends_in=lambda number: luck.uniform(4, 24)))
    kills = 0
    until(lambda: len(world.requests) > 50, seconds=20, what="polls")
    for name in "abcabca":
        time.sleep(luck.uniform(1.5, 3.0))
        crew.daemons[name].kill()
        kills += 1
        time.sleep(luck.uniform(0.0, 1.0))
        crew.start(name)
    tally = settle(crew)
    print(f"\n{kills} kills: {tally}")
    assert (tally.lost, tally.double_ids, tally.differing, tally.disordered) == (0, 0, 0, 0)
    assert sum(one.topic == RUNNING for one in world.received) >= 50  # a finish cancels late ones
    assert tally.repeated <= 8 * kills  # requests in flight: the concurrency of the endpoint
    assert tally.late_polls <= 66 * kills  # likewise: 16 single requests, or one about 50


def test_no_task_waits_long_however_often_daemons_are_killed(world: World, crew: Crew) -> None:
    crew.limits = {"rate": 30, "burst": 10, "concurrency": 16}  # fewer than the tasks would need
    crew.start(*TRIO)
    until(lambda: all(map(crew.is_ready, TRIO)), seconds=20, what="all are ready")
    ids = new_tasks(world, "kling", 75, ends_in=lasting)
    crew.drop("a", ids)
    until(lambda: len({task for _, task in world.polls}) >= len(ids), seconds=30, what="all asked once")
    for name in "abcabc":
        time.sleep(3)  # with 4 s, each kill could come when a takeover has just ended, before its first poll
        crew.daemons[name].kill()
        time.sleep(1)
        crew.start(name)
    asked: dict[str, list[float]] = defaultdict(list)
    for one in world.requests:
        for each in one.ids:
            asked[each].append(one.at)
    most_s = max(later - at for times in asked.values() for at, later in pairwise(times))
    print(f"\nmost between two polls of a task: {most_s:.1f} s")
    assert most_s <= TAKEOVER_S + 10
    assert set(crew.stop()) == {0}


def test_limits_hold_over_all_daemons_while_they_come_and_go(world: World, crew: Crew) -> None:
    rate, burst, most = 40.0, 16, 8
    world.answer_s = 0.05
    crew.limits = {"rate": rate, "burst": burst, "concurrency": most}
    crew.start("a")
    crew.drop("a", new_tasks(world, "kling", 400, ends_in=lasting) + new_tasks(world, "suno", 200, ends_in=lasting))
    until(lambda: len(world.requests) > 60, seconds=20, what="polls")
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
        over = most_over(world.requests, account, rate=rate)
        in_flight = max(one.in_flight for one in world.requests if one.account == account)
        print(f"\n{account}: burst {over:.1f} of {burst}, in flight {in_flight} of {most}")
        assert over <= burst + rate * BUNCHED_S
        assert in_flight <= most
    batches = [one for one in world.requests if one.account == "suno" and len(one.ids) > 1]
    assert sum(len(one.ids) for one in batches) / len(batches) > 25  # tasks are still polled in batches


def test_a_retry_after_sent_to_one_daemon_stops_them_all(world: World, crew: Crew) -> None:
    crew.start(*TRIO)
    crew.drop("a", new_tasks(world, "kling", 75, ends_in=lasting) + new_tasks(world, "suno", 5, ends_in=lasting))
    all_share(crew, *TRIO)
    time.sleep(1.5)  # the burst of first transitions is over
    pause_s, named_at = 4.0, 0.0

    refusing = threading.Lock()

    def refuse_once(task_id: str) -> tuple[int, bytes, dict[str, str]] | None:
        nonlocal named_at
        if not task_id.startswith("kling") or not refusing.acquire(blocking=False):
            return None
        named_at = time.monotonic()
        return 429, b"{}", {"Retry-After": str(int(pause_s))}

    world.fault = refuse_once
    time.sleep(pause_s + 2)
    early = [one for one in world.requests if one.account == "kling" and named_at < one.at < named_at + pause_s - 0.05]
    print(f"\nafter the 429: {[(one.daemon, round(one.at - named_at, 3)) for one in early]}")
    assert all(one.at - named_at < 1.5 for one in early)  # on an idle machine, a tenth of this
    assert any(one.at > named_at + pause_s for one in world.requests if one.account == "kling")
    assert any(named_at + 1 < one.at < named_at + pause_s for one in world.requests if one.account == "suno")


def test_a_refused_key_is_reported_once_and_probed_as_by_one_daemon(world: World, crew: Crew) -> None:
    crew.start(*TRIO)
    crew.drop("a", new_tasks(world, "kling", 75, ends_in=lasting))
    all_share(crew, *TRIO)
    world.fault = lambda task_id: REFUSED
    refused_at = time.monotonic()
    time.sleep(7)
    after = [one for one in world.requests if one.at > refused_at + 1.5]  # all know it within a second
    assert not after  # one daemon would try again after a minute
    until(
        lambda: any(one.topic == "account_blocked" for one in world.received),
        seconds=5,
        what="the event about the block",
    )
    world.fault = lambda task_id: None
    crew.stop()
    crew.start(*TRIO)  # each may try once at its start
    until(
        lambda: any(one.topic == "account_restored" for one in world.received),
        seconds=15,
        what="the event about the restored account",
    )
    all_share(crew, *TRIO)
    topics = [one.topic for one in world.received]
    assert (topics.count("account_blocked"), topics.count("account_restored")) == (1, 1)


def test_work_is_handed_over_at_once_or_within_the_takeover(world: World, crew: Crew) -> None:
    crew.start("a", "b")
    crew.drop("a", new_tasks(world, "kling", 60, ends_in=lasting))
    all_share(crew, "a", "b")
    begun = time.monotonic()
    crew.start("c")
    until(lambda: "shares.gained" in crew.log("c"), seconds=10, what="the third one's part")
    all_share(crew, *TRIO)

    def untouched(since: float) -> set[str]:
        return world.ends_at.keys() - {one for asked in world.requests if asked.at > since for one in asked.ids}

    joined_s = time.monotonic() - begun
    begun = time.monotonic()
    crew.send("a", signal.SIGTERM)
    assert crew.daemons["a"].process.wait(10) == 0
    del crew.daemons["a"]
    begun = time.monotonic()
    until(lambda: not untouched(begun), seconds=2 + 2.5, what="the others have polled all")
    stopped_s = time.monotonic() - begun
    crew.daemons.pop("b").kill()
    begun = time.monotonic()
    until(lambda: not untouched(begun), seconds=TAKEOVER_S + 3, what="the one that is left has polled all")
    killed_s = time.monotonic() - begun
    print(f"\njoined in {joined_s:.1f} s; handed over in {stopped_s:.1f} s, taken over in {killed_s:.1f} s")
