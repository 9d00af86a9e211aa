"""Nobody starves: neither old watches behind a flood of new ones, nor the reverse, nor one account behind another."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.cadence import Pacing
from bridge.domain.limits import Limits
from bridge.domain.task import Kind, Reading
from tests.engine.rig import BROKEN, RUNNING, SUCCEEDED, Rig
from tests.fakes import ScriptedProvider

NARROW = Limits(rate=5.0, burst=5, concurrency=4)
EVEN = Pacing(min_interval_s=10.0, max_interval_s=10.0)


async def test_a_flood_of_new_watches_holds_up_the_old_ones_no_more_than_the_reverse() -> None:
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


async def test_watches_that_are_late_do_not_hold_up_a_new_one_that_is_already_over() -> None:
    rig = Rig(limits=NARROW, pacing=EVEN)
    async with rig.running():
        await rig.watch(*[f"old{number}" for number in range(300)])
        await rig.clock.advance(120)
        rig.script("new", SUCCEEDED)
        await rig.watch("new")
        await rig.clock.advance(2)
        assert rig.topics() == ["task_succeeded"]


async def test_a_flood_of_new_watches_does_not_hold_up_one_that_is_added_after_it_and_is_already_over() -> None:
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


async def test_under_too_narrow_a_limit_every_watch_is_still_asked_about_again_and_again() -> None:
    rig = Rig(limits=NARROW, pacing=EVEN)
    ids = [f"t{number}" for number in range(200)]
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(400)
        polls = [len(rig.provider.polls_of(task_id)) for task_id in ids]
        assert sum(polls) <= 5 + 5 * 400
        assert min(polls) >= 8
        assert max(polls) <= 12


async def test_an_account_that_is_held_back_holds_back_no_other() -> None:
    rig = Rig(limits=NARROW, pacing=EVEN)
    other = ScriptedProvider(rig.clock)
    other.default = Reading(kind=Kind.RATE_LIMITED, retry_after_s=1000.0)
    async with rig.running(second=other):
        await rig.watch(*[f"t{number}" for number in range(20)])
        await rig.watch(*[f"x{number}" for number in range(20)], account="second")
        await rig.clock.advance(100)
        assert len(other.asked) <= 5
        assert len(rig.provider.asked) >= 20 * 9


async def test_a_host_that_is_down_is_tried_for_all_its_accounts_together() -> None:
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


async def test_two_accounts_whose_requests_hang_hold_back_no_third_one_at_their_host() -> None:
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


async def test_nothing_is_sent_inside_a_retry_after_when_many_are_asked_about_together() -> None:
    rig = Rig(pacing=EVEN)
    rig.provider.most_together = 10
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(200)])
        await rig.clock.advance(30)
        rig.provider.batch_failure = Reading(kind=Kind.RATE_LIMITED, retry_after_s=120.0)
        await rig.clock.advance(15)
        rig.provider.batch_failure = None
        limited_at = rig.provider.batches[-1][0]
        await rig.clock.advance(100)
        assert rig.provider.batches[-1][0] == limited_at
        assert rig.provider.asked == []
        await rig.clock.advance(20)
        assert rig.provider.batches[-1][0] >= limited_at + 120


async def test_limits_replaced_at_run_time_hold_at_once() -> None:
    rig = Rig(limits=Limits(rate=1.0, burst=1, concurrency=1), pacing=EVEN)
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(100)])
        await rig.clock.advance(10)
        rig.limits = replace(rig.limits, rate=50.0, burst=50, concurrency=50)
        await rig.configure()
        await rig.clock.advance(3)
        assert len({task_id for _, task_id in rig.provider.asked}) == 100
