"""The schedule of one account's watches: which of them is polled first."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.task import Phase
from bridge.domain.watch import Memory, WatchState
from bridge.engine.learned_cadence import LearnedCadence
from bridge.engine.poll_queue import PollEntry
from bridge.engine.watch_schedule import WatchSchedule
from tests.engine.rig import Rig
from tests.factories import make_state

RUNNING = Memory(phase=Phase.RUNNING, polls=3)


def make_schedule(rig: Rig, states: Sequence[WatchState]) -> WatchSchedule:
    plan = rig.plan(rig.provider)
    cadence = LearnedCadence("kling", knowledge=rig.knowledge, pacing=plan.pacing)
    schedule = WatchSchedule(plan, cadence=cadence, clock=rig.clock)
    schedule.put(states)
    return schedule


def popped(schedule: WatchSchedule, now: float) -> PollEntry:
    entry = schedule.queue.pop(now)
    assert entry is not None
    return entry


async def test_a_poll_requested_while_an_answer_is_stored_comes_before_all_others() -> None:
    rig = Rig()
    now = rig.clock.steady()
    schedule = make_schedule(rig, [make_state(task_id=each, memory=RUNNING, next_poll_at=now) for each in "ab"])
    polled, other = popped(schedule, now), popped(schedule, now)
    schedule.schedule_next(other, RUNNING, polled_at=now - 90, next_at=now - 60)
    await rig.clock.advance(1)
    schedule.poll_by(polled, now + 1, now + 1)
    await rig.clock.advance(1)
    schedule.schedule_next(polled, RUNNING, polled_at=now, next_at=now + 10)
    assert [popped(schedule, now + 2), popped(schedule, now + 2)] == [polled, other]


async def test_a_stored_change_does_not_cancel_a_poll_requested_during_a_poll() -> None:
    rig = Rig()
    now = rig.clock.steady()
    state = make_state(task_id="a", memory=RUNNING, next_poll_at=now)
    schedule = make_schedule(rig, [state])
    polled = popped(schedule, now)
    schedule.poll_by(polled, now, now)
    schedule.put([state._replace(revision=state.revision + 1, next_poll_at=now + 5)])
    schedule.schedule_next(polled, RUNNING, polled_at=now, next_at=now + 10)
    assert popped(schedule, now) is polled
