"""A bug with one watch, delivery, queue, source or kind of news does not affect others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import anyio.abc
import pytest
from structlog.testing import capture_logs

from bridge.domain.cadence import Pacing
from bridge.domain.delivery import Deferred
from bridge.domain.durations.fit import Fit
from bridge.domain.durations.learned_durations import LearnedDurations
from bridge.domain.durations.table import DurationKey
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.source import SourceFacts, SourceTally
from bridge.domain.task import Reading, ReadingKind
from bridge.domain.watch import Wish
from bridge.engine.janitor import Janitor, RetentionPeriods
from bridge.engine.source_runner import SourceRunner
from bridge.engine.store_news import follow_news
from bridge.errors import BridgeBug, ConfigError
from bridge.ports import BatchKey, News
from bridge.store import Store
from tests.engine.rig import SUCCEEDED, Rig
from tests.fakes import DirectOffload, FakeClock, ScriptedProvider

EVEN = Pacing(min_interval_s=2.0, max_interval_s=2.0, learned=False)


class Faulty(ScriptedProvider):
    """Raises for the route of one task, and for the batch of another."""

    def route(self, task_id: str, action: str | None) -> str:
        if task_id.startswith("poison"):
            raise KeyError("a bug of ours")
        return super().route(task_id, action)

    def batch_key(self, task_id: str, action: str | None) -> BatchKey | None:
        if task_id == "unplaced":
            raise KeyError("a bug of ours")
        return super().batch_key(task_id, action)


@pytest.mark.parametrize("together", [0, 10])
async def test_a_task_without_a_valid_route_does_not_stop_others(together: int) -> None:
    rig = Rig(pacing=EVEN)
    rig.provider = Faulty(rig.clock)
    rig.provider.most_together = together
    rig.script(
        "held", Reading(kind=ReadingKind.TRANSIENT, retry_after_s=5.0, server_trouble=True)
    )  # so routes are checked
    with capture_logs() as logged:
        async with rig.running():
            await rig.watch("held")
            await rig.clock.advance(1)
            await rig.watch("poison", "unplaced", "a", "b")
            await rig.clock.advance(30)
            rig.provider.scripts = {task_id: [SUCCEEDED] for task_id in ("unplaced", "a", "b")}
            await rig.clock.advance(10)
            assert {rig.phase(task_id) for task_id in ("unplaced", "a", "b")} == {"succeeded"}
    bugs = [line["task_ids"] for line in logged if line["event"] == "poll.bug"]
    assert bugs in ([["poison"]], []) if together else bugs == [["poison"]]  # it may be polled together with others


@pytest.mark.parametrize("together", [0, 10])
async def test_a_bug_with_an_answer_leaves_no_request_in_flight(together: int) -> None:
    rig = Rig(pacing=EVEN, limits=RateLimits(concurrency=1))
    rig.provider = Faulty(rig.clock)
    rig.provider.most_together = together
    rig.provider.batch_failure = Reading(kind=ReadingKind.TRANSIENT) if together else None
    rig.script("poison", Reading(kind=ReadingKind.TRANSIENT))
    async with rig.running():
        await rig.watch("poison", "poison too")
        await rig.clock.advance(1)
        rig.provider.batch_failure = None
        rig.script("a", SUCCEEDED)
        await rig.watch("a")
        await rig.clock.advance(10)
        assert rig.phase("a") == "succeeded"


class FaultyDurations(LearnedDurations):
    """Raises for tasks of one kind."""

    def fit(self, key: DurationKey) -> Fit:
        if key.action == "poison":
            raise KeyError("a bug of ours")
        return super().fit(key)


async def test_a_watch_whose_order_cannot_be_computed_is_polled_like_others() -> None:
    earlier = Rig()
    ids = ["a", "b", "c", "d", "e"]
    async with earlier.running():
        await earlier.intake.add(
            [Wish(account="kling", task_id=each, action="poison" if each == "c" else None) for each in ids],
            source="test",
        )
        await earlier.clock.advance(10)
    rig = earlier.restarted()
    rig.provider.scripts = {each: [SUCCEEDED] for each in ids}
    rig.poller._knowledge = FaultyDurations()
    await rig.clock.advance(600)
    polls = len(rig.provider.asked)
    async with rig.running():
        await rig.clock.advance(10)
        assert [each for each in ids if rig.phase(each) == "succeeded" or each == "c"] == ids
        assert sorted(task_id for _, task_id in rig.provider.asked[polls:]) == ids


async def test_a_queue_that_cannot_be_read_does_not_stop_others() -> None:
    class Unreadable:
        def __init__(self, store: Store) -> None:
            self.store, self.is_broken = store, True

        def due(self, endpoint: str, target: str, **more: Any) -> Any:
            if self.is_broken and target == "bad":
                raise KeyError("a row gone wrong")
            return self.store.due(endpoint, target, **more)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

    rig = Rig(targets=("bad", "good"))
    outbox = rig.dispatcher._outbox = Unreadable(rig.store)
    rig.script("a", SUCCEEDED)
    with capture_logs() as logged:
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(30)
            assert [delivery.target for _, delivery in rig.sink.handed] == ["good"]
            outbox.is_broken = False
            await rig.clock.advance(60)
            assert [delivery.target for _, delivery in rig.sink.handed] == ["good", "bad"]
    bugs = [line for line in logged if line["event"] == "delivery.bug"]
    assert {line["target"] for line in bugs} == {"bad"}
    assert len(bugs) <= 3


async def test_a_bug_with_an_outcome_postpones_only_its_delivery() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    rig.sink.script = [Deferred(reason="503", retry_after_s="soon")]  # type: ignore[arg-type]  # a bug of ours
    with capture_logs() as logged:
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(30)
            rig.script("b", SUCCEEDED)
            await rig.watch("b")
            await rig.clock.advance(1)
            assert [delivery.subject for _, delivery in rig.sink.handed] == ["a", "b"]
            await rig.clock.advance(60)
            assert [delivery.subject for _, delivery in rig.sink.handed] == ["a", "b", "a"]
    assert [line["event"] for line in logged].count("delivery.bug") == 1


async def test_a_bug_with_one_kind_of_news_does_not_hide_the_others() -> None:
    clock, heard = FakeClock(), list[str]()
    now = News()

    async def broken() -> None:
        heard.append("broken")
        raise KeyError("a bug of ours")

    async def sound() -> None:
        heard.append("sound")

    async def news() -> News:
        return now

    with capture_logs() as logged:
        async with anyio.create_task_group() as group:
            reactions = [("work", lambda n: n.work, broken), ("outbox", lambda n: n.outbox, sound)]
            group.start_soon(lambda: follow_news(news, reactions, clock=clock, every_s=1.0))
            await clock.advance(10)
            assert heard == ["broken", "sound"]  # it is not repeated in a busy loop
            now = News(work=1, outbox=1)
            await clock.advance(2)
            assert heard == ["broken", "sound"] * 2
            group.cancel_scope.cancel()
    assert [line["kind"] for line in logged if line["event"] == "news.bug"] == ["work", "work"]


async def test_a_change_after_the_poller_was_canceled_sends_nothing() -> None:
    rig = Rig()
    async with rig.running():
        await rig.clock.advance(0)
    with capture_logs() as logged:
        await rig.watch("late")  # as when a thread that reads the store ends after a second Ctrl-C
        rig.poller.update({})
    assert [line["event"] for line in logged if line["event"].endswith(".bug")] == []
    assert not rig.provider.polls_of("late")


async def test_a_failed_cleaning_is_retried_at_the_next_one() -> None:
    class Broken:
        asked = 0

        def prune(self, **kept: Any) -> int:
            self.asked += 1
            raise KeyError("a bug of ours")

    store, clock = Broken(), FakeClock()
    janitor = Janitor(store=store, offload=DirectOffload(), clock=clock, retention=RetentionPeriods())
    with capture_logs() as logged:
        async with anyio.create_task_group() as group:
            group.start_soon(janitor.run)
            await clock.advance(60 + 600 + 1)
            group.cancel_scope.cancel()
    assert store.asked == 2
    assert [line["event"] for line in logged] == ["cleaning.bug"] * 2


class Source:
    """Fails after its start."""

    def __init__(self, error: Exception) -> None:
        self.tally = SourceTally(source="queue", path="/q")
        self.error = error

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        task_status.started()
        raise self.error

    def is_idle(self) -> bool:
        return True


class NoRecords:
    def sources(self) -> list[SourceFacts]:
        return []

    def record_sources(self, facts: Sequence[SourceFacts]) -> None:
        pass


async def started(source: Source, group: anyio.abc.TaskGroup) -> None:
    runner = SourceRunner(records=NoRecords(), offload=DirectOffload(), clock=FakeClock())
    await runner.replace([source], daemon="", group=group)


@pytest.mark.parametrize("bug", [KeyError("a bug of ours"), BridgeBug("what the store did not foresee")])
async def test_a_bug_in_one_source_does_not_stop_the_daemon(bug: Exception) -> None:
    with capture_logs() as logged:
        async with anyio.create_task_group() as group:
            await started(Source(bug), group)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    assert [(line["event"], line["work"]) for line in logged] == [("work.bug", "source")]


async def test_a_settings_error_of_a_source_ends_the_start() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with anyio.create_task_group() as group:
            await started(Source(ConfigError(["queue: wrong"])), group)
    assert caught.group_contains(ConfigError, depth=None)
