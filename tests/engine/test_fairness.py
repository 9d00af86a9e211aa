"""Fairness: new and old watches do not delay each other, and neither do accounts."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from bridge.domain.cadence import Pacing
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.task import Reading, ReadingKind
from tests.engine.rig import BROKEN, RUNNING, SUCCEEDED, Rig
from tests.fakes import ScriptedProvider

pytestmark = pytest.mark.usefixtures("unmeasured")

NARROW = RateLimits(rate=5.0, burst=5, concurrency=4)
EVEN = Pacing(min_interval_s=10.0, max_interval_s=10.0)


async def test_new_and_old_watches_take_turns_in_a_flood_of_new_ones() -> None:
    rig = Rig(limits=NARROW, pacing=EVEN)
    old = [f"old{number}" for number in range(20)]
    async with rig.running():
        await rig.watch(*old)
        await rig.clock.advance(60)
        await rig.watch(*[f"new{number:03}" for number in range(600)])
        before = len(rig.provider.asked)
        await rig.clock.advance(12)
        later = [task_id for _, task_id in rig.provider.asked[before:]]
        assert 60 <= len(later) <= 65
        assert {task_id for task_id in later if task_id in old} == set(old)
        assert sum(task_id not in old for task_id in later) >= 30


async def test_late_watches_do_not_delay_a_new_finished_task() -> None:
    rig = Rig(limits=NARROW, pacing=EVEN)
    async with rig.running():
        await rig.watch(*[f"old{number}" for number in range(300)])
        await rig.clock.advance(120)
        rig.script("new", SUCCEEDED)
        await rig.watch("new")
        await rig.clock.advance(2)
        assert rig.topics() == ["task_succeeded"]


async def test_a_flood_of_tasks_does_not_delay_a_finished_task_added_later() -> None:
    rig = Rig(limits=NARROW, pacing=EVEN)
    async with rig.running():
        await rig.watch(*[f"flood{number:04}" for number in range(2000)])
        await rig.clock.advance(60)
        rig.script("alone", SUCCEEDED)
        await rig.watch("alone")
        await rig.clock.advance(2)
        assert rig.topics() == ["task_succeeded"]
        await rig.clock.advance(60)
        assert {f"flood{number:04}" for number in range(100)} <= {task_id for _, task_id in rig.provider.asked}


async def test_a_task_added_during_a_flood_is_polled_at_once_and_regularly() -> None:
    rig = Rig(limits=NARROW, pacing=Pacing(min_interval_s=1.0, max_interval_s=1.0))
    async with rig.running():
        for part in range(4):
            await rig.watch(*[f"flood{part}-{number:04}" for number in range(1000)])
        await rig.watch("alone")
        for part in range(4, 8):
            await rig.watch(*[f"flood{part}-{number:04}" for number in range(1000)])
        await rig.clock.advance(120)
    times = [at for at, task_id in rig.provider.asked if task_id == "alone"]
    assert len(times) >= 60
    assert max(later - at for at, later in itertools.pairwise(times)) <= 2.0


async def test_despite_a_low_limit_every_watch_is_polled_repeatedly() -> None:
    rig = Rig(limits=NARROW, pacing=EVEN)
    ids = [f"t{number}" for number in range(200)]
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(400)
        polls = [len(rig.provider.polls_of(task_id)) for task_id in ids]
        assert sum(polls) <= 5 + 5 * 400
        assert min(polls) >= 8
        assert max(polls) <= 12


async def test_a_paused_account_does_not_hold_back_others() -> None:
    rig = Rig(limits=NARROW, pacing=EVEN)
    other = ScriptedProvider(rig.clock)
    other.default = Reading(kind=ReadingKind.RATE_LIMITED, retry_after_s=1000.0)
    async with rig.running(second=other):
        await rig.watch(*[f"t{number}" for number in range(20)])
        await rig.watch(*[f"x{number}" for number in range(20)], account="second")
        await rig.clock.advance(100)
        assert len(other.asked) <= 5
        assert len(rig.provider.asked) >= 20 * 9


async def test_a_host_that_is_down_is_probed_once_for_all_its_accounts() -> None:
    rig = Rig(pacing=EVEN)
    other = ScriptedProvider(rig.clock)
    rig.provider.default = other.default = BROKEN
    async with rig.running(second=other):
        await rig.watch(*[f"t{number}" for number in range(20)])
        await rig.watch(*[f"x{number}" for number in range(20)], account="second")
        await rig.clock.advance(60)
        before = len(rig.provider.asked) + len(other.asked)
        await rig.clock.advance(600)
        assert len(rig.provider.asked) + len(other.asked) - before <= 600 / 15 + 2
        rig.provider.default = other.default = RUNNING
        await rig.clock.advance(60)
        assert {task_id for _, task_id in other.asked[-30:]} == {f"x{number}" for number in range(20)}


async def test_two_hanging_accounts_do_not_delay_a_third_on_their_host() -> None:
    rig = Rig(pacing=EVEN)
    hanging = {name: ScriptedProvider(rig.clock, answer_s=30.0) for name in ("alpha", "beta")}
    for other in hanging.values():
        other.default = BROKEN
    async with rig.running(**hanging):
        for name in hanging:
            await rig.watch(*[f"{name}{number}" for number in range(20)], account=name)
        await rig.clock.advance(31)
        await rig.watch(*[f"t{number}" for number in range(20)])
        await rig.clock.advance(600)
        assert {len(rig.provider.polls_of(f"t{number}")) >= 50 for number in range(20)} == {True}
        assert all(len(other.asked) >= 10 for other in hanging.values())


async def test_a_retry_after_also_holds_batch_polls() -> None:
    rig = Rig(pacing=EVEN)
    rig.provider.most_together = 10
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(200)])
        await rig.clock.advance(30)
        rig.provider.batch_failure = Reading(kind=ReadingKind.RATE_LIMITED, retry_after_s=120.0)
        await rig.clock.advance(15)
        rig.provider.batch_failure = None
        limited_at = rig.provider.batches[-1][0]
        await rig.clock.advance(100)
        assert rig.provider.batches[-1][0] == limited_at
        assert rig.provider.asked == []
        await rig.clock.advance(20)
        assert rig.provider.batches[-1][0] >= limited_at + 120


async def test_changed_limits_apply_at_once() -> None:
    rig = Rig(limits=RateLimits(rate=1.0, burst=1, concurrency=1), pacing=EVEN)
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(100)])
        await rig.clock.advance(10)
        rig.limits = replace(rig.limits, rate=50.0, burst=50, concurrency=50)
        await rig.configure()
        await rig.clock.advance(3)
        assert len({task_id for _, task_id in rig.provider.asked}) == 100


@pytest.mark.parametrize("learned", [True, False])
async def test_daemons_that_are_killed_repeatedly_first_poll_the_watch_polled_longest_ago(learned: bool) -> None:
    pacing = Pacing(min_interval_s=2.0, max_interval_s=3.0, learned=learned)
    rig = Rig(limits=RateLimits(rate=10.0, burst=1, concurrency=4), pacing=pacing)
    ids = [f"t{number}" for number in range(100)]  # polling each once takes ten seconds
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(15)
    for _ in range(30):
        rig = rig.restarted()
        async with rig.running():
            await rig.clock.advance(4.5)  # the notes of its last second are lost
    most_s = max(max(rig.gaps(task_id)) for task_id in ids)
    assert most_s <= 10 * 4.5 / 3.5 + 3


async def test_a_suspended_daemon_first_polls_the_watch_polled_longest_ago() -> None:
    rig = Rig(
        limits=RateLimits(rate=1.0, burst=1, concurrency=1), pacing=Pacing(min_interval_s=10.0, max_interval_s=10.0)
    )
    ids = ["c", "a", "d", "b"]
    async with rig.running():
        for task_id in ids:
            await rig.watch(task_id)
            await rig.clock.advance(1.5)
        await rig.clock.advance(11)
    order = [task_id for _, task_id in rig.provider.asked][-4:]
    rig.clock.stand_still(600)
    rig.provider.asked.clear()
    again = rig.restarted()
    async with again.running():
        await again.clock.advance(3.5)
    assert [task_id for _, task_id in rig.provider.asked] == order
