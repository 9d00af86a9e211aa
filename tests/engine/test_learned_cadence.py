"""When watches are polled with the learned cadence."""

from __future__ import annotations

import re
from collections.abc import Mapping

import anyio
import pytest

from bridge.domain.cadence import Pacing
from bridge.domain.durations.bins import bin_of
from bridge.domain.durations.fit import Fit
from bridge.domain.durations.table import DurationKey, Table
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.task import Reading, ReadingKind, Snapshot
from bridge.engine.learning import SAVE_EVERY_S, Learning
from bridge.errors import StoreError
from tests.engine.rig import BROKEN, RUNNING, Rig
from tests.fakes import DirectOffload

pytestmark = pytest.mark.usefixtures("unmeasured")

VIDEO = DurationKey("kling", "videos/text2video")


async def finish(rig: Rig, number: int, lasting_s: float, *, prefix: str = "t", every_s: float = 10.0) -> None:
    """Add tasks one after the other and wait until all have finished."""
    for place in range(number):
        task_id = f"{prefix}{place}"
        rig.provider.ends[task_id] = rig.clock.steady() + lasting_s
        await rig.watch(task_id)
        await rig.clock.advance(every_s)
    await rig.clock.advance(lasting_s * 2 + 30)


def delays(rig: Rig, prefix: str) -> list[float]:
    return [at - rig.provider.ends[sent.subject] for at, sent in rig.sink.handed if sent.subject.startswith(prefix)]


def fit(rig: Rig) -> Fit:
    return rig.knowledge.fit(VIDEO)


async def test_learning_from_earlier_tasks_reduces_polls_and_delays() -> None:
    rig = Rig()
    async with rig.running():
        await finish(rig, 60, 90.0)
        await finish(rig, 10, 90.0, prefix="late")
    polls = [len(rig.provider.polls_of(f"late{place}")) for place in range(10)]
    fixed = Rig(pacing=Pacing(learned=False))
    async with fixed.running():
        await finish(fixed, 10, 90.0, prefix="late")
    polls_fixed = [len(fixed.provider.polls_of(f"late{place}")) for place in range(10)]
    assert sum(polls) <= sum(polls_fixed) / 2
    assert sum(delays(rig, "late")) <= sum(delays(fixed, "late"))
    assert all(rig.gaps(f"late{place}")[0] > 20 for place in range(10))


async def test_every_action_learns_separately() -> None:
    rig = Rig()
    async with rig.running():
        await finish(rig, 30, 400.0)
    assert 350 < fit(rig).quantile_s(0.0, 0.5) < 450
    assert rig.knowledge.fit(DurationKey("kling", "images/generations")).support == 0


@pytest.mark.parametrize("ahead_s", [0.0, 0.7, -1.0, 45.0, -8 * 3600.0, 8 * 3600.0])
async def test_a_providers_clock_may_be_hours_off(ahead_s: float) -> None:
    rig = Rig()

    def answer(task_id: str) -> Reading:
        created_at, now = float(task_id), rig.clock.steady()
        over = now - created_at >= 60.0
        updated_at = created_at + 60.0 if over else now
        created_ms, updated_ms = (int((each + ahead_s) * 1000) for each in (created_at, updated_at))
        snapshot = Snapshot(created_ms=created_ms, updated_ms=updated_ms)
        return Reading(kind=ReadingKind.SUCCEEDED if over else ReadingKind.RUNNING, snapshot=snapshot)

    rig.provider._next = answer  # type: ignore[method-assign]  # a script cannot look at the clock
    async with rig.running():
        for _ in range(40):
            await rig.watch(str(rig.clock.steady()))
            await rig.clock.advance(10)
        await rig.clock.advance(100)
        asked = len(rig.provider.asked)
        await rig.watch(str(rig.clock.steady() - 20))  # added 20 s after it began
        await rig.clock.advance(100)
    assert fit(rig).quantile_s(0.0, 0.5) == pytest.approx(60.0, abs=8.0)
    late = [at - float(task_id) for at, task_id in rig.provider.asked[asked:]]
    assert late[0] == 20
    assert 60 <= late[-1] < 66
    assert len(late) <= 9


async def test_the_providers_duration_is_learned_and_age_counts_from_the_tasks_creation() -> None:
    rig = Rig()
    began = rig.clock.now() - 100.0

    def said(kind: ReadingKind, lasting_s: float) -> Reading:
        created_ms = int(began * 1000)
        snapshot = Snapshot(created_ms=created_ms, updated_ms=created_ms + int(lasting_s * 1000))
        return Reading(kind=kind, snapshot=snapshot)

    rig.script("over", said(ReadingKind.SUCCEEDED, 60.0))
    rig.script("late", said(ReadingKind.RUNNING, 5.0), said(ReadingKind.SUCCEEDED, 101.0))
    async with rig.running():
        await rig.watch("over", "late")
        await rig.clock.advance(300)
    table = rig.knowledge.take_fresh()[VIDEO]
    assert table.count == 2
    assert table.ends[bin_of(60.0)] > 0
    assert table.ends[bin_of(101.0)] == pytest.approx(1.0)


async def test_a_task_finished_at_its_first_poll_adds_no_duration() -> None:
    rig = Rig()
    rig.script("over", Reading(kind=ReadingKind.SUCCEEDED, snapshot=Snapshot(created_ms=5, updated_ms=3)))
    async with rig.running():
        await rig.watch("over")
        await rig.clock.advance(1)
    assert rig.topics() == ["task_succeeded"]
    assert rig.knowledge.take_fresh() == {}


async def test_a_task_added_before_its_creation_does_not_make_others_look_older() -> None:
    rig = Rig()
    born: dict[str, float] = {}

    def answer(task_id: str) -> Reading:
        created_at = born.setdefault(task_id, rig.clock.steady())  # begins at its first poll
        return Reading(kind=ReadingKind.RUNNING, snapshot=Snapshot(created_ms=int(created_at * 1000)))

    rig.provider._next = answer  # type: ignore[method-assign]  # a script cannot look at the clock
    await rig.watch(*(f"early{place}" for place in range(10)))
    await rig.clock.advance(3000)
    async with rig.running():
        await rig.clock.advance(1)
        await rig.watch("late")
        await rig.clock.advance(8)
    assert len(rig.provider.polls_of("late")) >= 3


@pytest.mark.parametrize("created_ms", [0, -1, 1, 10**15, 10**18])
async def test_an_invalid_creation_time_is_ignored(created_ms: int) -> None:
    rig = Rig()
    rig.provider.default = Reading(kind=ReadingKind.RUNNING, snapshot=Snapshot(created_ms=created_ms, updated_ms=2))
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(100)
        assert len(rig.provider.asked) > 4
    assert sum(rig.knowledge.take_fresh()[VIDEO].exposure_s) <= 100


async def test_an_outage_teaches_nothing_about_durations() -> None:
    rig = Rig()
    async with rig.running():
        await finish(rig, 40, 90.0)
        before = fit(rig).quantile_s(0.0, 0.5)
        rig.provider.default = BROKEN
        ids = [f"x{place}" for place in range(20)]
        for task_id in ids:
            rig.script(task_id, RUNNING, *[BROKEN] * 200)
        await rig.watch(*ids)
        await rig.clock.advance(3600)
        rig.provider.scripts.clear()
        rig.provider.ends.update(dict.fromkeys(ids, 0.0))
        await rig.clock.advance(300)
        assert rig.topics().count("task_succeeded") == 60
    assert fit(rig).quantile_s(0.0, 0.5) == pytest.approx(before, rel=0.1)


async def test_progress_brings_polls_close_to_the_finish() -> None:
    found = {}
    for with_progress in (True, False):
        rig = Rig()
        async with rig.running():
            await finish(rig, 20, 200.0)
            began = rig.clock.steady()

            def answer(task_id: str, rig: Rig = rig, began: float = began, told: bool = with_progress) -> Reading:
                share = (rig.clock.steady() - began) / 150.0
                percent = min(99.0, 100 * share) if told else None
                kind = ReadingKind.SUCCEEDED if share >= 1 else ReadingKind.RUNNING
                return Reading(kind=kind, snapshot=Snapshot(progress=percent))

            rig.provider._next = answer  # type: ignore[method-assign]  # a script cannot look at the clock
            await rig.watch("p")
            await rig.clock.advance(400)
        found[with_progress] = rig.sink.handed[-1][0] - began - 150
    assert found[True] < 4 < found[False]


async def test_a_budget_is_met_on_average() -> None:
    rig = Rig(pacing=Pacing(budget=5.0))
    async with rig.running():
        await finish(rig, 120, 120.0)
        await finish(rig, 40, 120.0, prefix="late")
    polls = sum(len(rig.provider.polls_of(f"late{place}")) for place in range(40)) / 40
    assert polls == pytest.approx(5.0, abs=1.0)


async def test_after_a_restart_the_budget_applies_from_the_first_task() -> None:
    rig = Rig(pacing=Pacing(budget=3.0))
    for _ in range(30):
        rig.knowledge.ended(VIDEO, 115.0, 125.0, at_s=120.0, succeeded=True)
    async with rig.running():
        await finish(rig, 5, 120.0)
    assert sum(len(rig.provider.polls_of(f"t{place}")) for place in range(5)) / 5 <= 5


async def test_explain_shows_the_expected_duration() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("first")
        await rig.clock.advance(5)
        first = rig.store.details(rig.store.find("first", None)[0].state.key).next_poll_why
        assert first.startswith("the duration of similar tasks is not known yet (0 tasks seen); time between polls: ")
        await finish(rig, 30, 90.0)
        await rig.watch("late")
        await rig.clock.advance(5)
        why = rig.store.details(rig.store.find("late", None)[0].state.key).next_poll_why
        assert re.search(r"\((28|29|30) tasks seen\); time between polls: ", why)
        assert why.startswith("similar tasks usually take ")


async def test_thirty_tasks_share_requests_and_are_found_finished_within_three_seconds() -> None:
    rig = Rig()
    rig.provider.most_together = 50
    async with rig.running():
        await finish(rig, 60, 171.0, every_s=5.7)
        before = len(rig.provider.batches) + len(rig.provider.asked)
        for place in range(200):
            lasting_s = 60.0 + 222.0 * ((place * 37) % 200) / 200  # 171 s in the mean
            rig.provider.ends[f"late{place}"] = rig.clock.steady() + lasting_s
            await rig.watch(f"late{place}")
            await rig.clock.advance(5.7)
        requests = len(rig.provider.batches) + len(rig.provider.asked) - before
        await rig.clock.advance(400)
    found = delays(rig, "late")
    assert len(found) == 200
    assert requests / 200 <= 1.3
    assert sum(found) / 200 <= 3.0


async def test_a_new_task_joins_a_batch_within_the_minimum_interval() -> None:
    rig = Rig()
    rig.provider.most_together = 50
    async with rig.running():
        await rig.watch(*[f"t{place}" for place in range(30)])
        await rig.clock.advance(60.5)
        at = rig.clock.steady()
        rig.provider.ends["new"] = at
        await rig.watch("new")
        await rig.clock.advance(2)
        assert rig.topics() == ["task_succeeded"]


async def test_after_a_restart_tasks_that_have_probably_finished_are_polled_first() -> None:
    rig = Rig(limits=RateLimits(rate=1, burst=1, concurrency=1))
    async with rig.running():
        await rig.watch("old")
        await rig.clock.advance(50)
        await rig.watch("young")
        await rig.clock.advance(10)
    rig.clock.stand_still(30)
    rig.provider.asked.clear()
    again = rig.restarted()
    for _ in range(30):
        again.knowledge.ended(VIDEO, 80.0, 90.0, at_s=85.0, succeeded=True)
    async with again.running():
        await again.clock.advance(5)
    assert [task_id for _, task_id in again.provider.asked][:2] == ["old", "young"]


async def test_durations_that_cannot_be_read_are_learned_again() -> None:
    rig = Rig()
    rig.store.learn({VIDEO: Table()})
    with rig.store._database.write() as connection:
        connection.execute("UPDATE durations SET sums = 'torn'")
    learning = Learning(durations=rig.store, offload=DirectOffload(), clock=rig.clock)
    await learning.load()
    learning.knowledge.ended(VIDEO, 50.0, 60.0, at_s=55.0, succeeded=True)
    await learning.save()
    assert learning.knowledge.fit(VIDEO).count == 1


class Forgetful:
    """A store that cannot store durations until it is repaired."""

    def __init__(self, rig: Rig) -> None:
        self.failure: Exception | None = None
        self._store = rig.store

    def durations(self) -> Mapping[DurationKey, Table | None]:
        return self._store.durations()

    def learn(self, fresh: Mapping[DurationKey, Table]) -> Mapping[DurationKey, Table]:
        if self.failure is not None:
            raise self.failure
        return self._store.learn(fresh)


@pytest.mark.parametrize("failure", [None, StoreError("disk full"), KeyError("a bug of ours")])
async def test_learned_durations_are_stored_and_used_by_another_daemon(
    failure: Exception | None,
) -> None:
    rig = Rig()
    store = Forgetful(rig)
    learning = Learning(durations=store, offload=DirectOffload(), clock=rig.clock)
    learning.knowledge.ended(VIDEO, 50.0, 60.0, at_s=55.0, succeeded=True)
    store.failure = failure
    await learning.save()
    store.failure = None
    learning.knowledge.ended(VIDEO, 50.0, 60.0, at_s=55.0, succeeded=True)
    await learning.save()
    await learning.save()
    other = Learning(durations=store, offload=DirectOffload(), clock=rig.clock)
    await other.load()
    assert other.knowledge.fit(VIDEO).count == (1 if isinstance(failure, KeyError) else 2)
    assert SAVE_EVERY_S >= 5


async def test_models_learn_separately_and_a_new_one_starts_from_the_others() -> None:
    rig = Rig()

    def said(kind: ReadingKind, **kept: object) -> Reading:
        return Reading(kind=kind, snapshot=Snapshot(kept=kept))

    for place in range(20):
        rig.script(
            f"a{place}", *[said(ReadingKind.RUNNING, model="quick")] * 3, said(ReadingKind.SUCCEEDED, model="quick")
        )
        rig.script(
            f"b{place}",
            said(ReadingKind.RUNNING, model=7, version="v2"),
            said(ReadingKind.SUCCEEDED, version="v2" * 999),
        )
    async with rig.running():
        await rig.watch(*[f"{letter}{place}" for place in range(20) for letter in "ab"])
        await rig.clock.advance(900)
    kinds = rig.knowledge.take_fresh()
    assert kinds[DurationKey(*VIDEO[:2], variant="quick")].count == 20
    assert {key.variant for key in kinds} == {"quick", "v2", ("v2" * 999)[:120]}
    assert rig.knowledge.fit(DurationKey(*VIDEO[:2], variant="new")).support > 20


async def test_new_settings_change_the_cadence_of_running_tasks() -> None:
    rig = Rig()
    async with rig.running():
        await finish(rig, 20, 90.0)
        rig.provider.asked.clear()
        rig.pacing = Pacing(min_interval_s=1.0, max_interval_s=1.0)
        await rig.configure()
        await rig.watch("a")
        await rig.clock.advance(30)
    assert len(rig.provider.polls_of("a")) >= 29


async def test_learned_durations_are_saved_while_running() -> None:
    rig = Rig()
    learning = Learning(durations=rig.store, offload=DirectOffload(), clock=rig.clock)
    learning.knowledge.seen(VIDEO, 0.0, 10.0)
    async with anyio.create_task_group() as group:
        group.start_soon(learning.run)
        await rig.clock.advance(SAVE_EVERY_S - 1)
        assert rig.store.durations() == {}
        await rig.clock.advance(2)
        assert rig.store.durations().keys() == {VIDEO}
        group.cancel_scope.cancel()


async def test_a_task_watched_by_another_process_before_teaches_no_duration() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(30)
    rig.provider.ends["a"] = 0.0
    again = rig.restarted()
    async with again.running():
        await again.clock.advance(300)
        assert again.topics() == ["task_succeeded"]
    assert again.knowledge.take_fresh() == {}
