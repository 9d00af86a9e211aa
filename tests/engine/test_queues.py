"""When all deliveries of a queue wait, and in which order they continue."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.domain.cadence import Pacing
from bridge.domain.delivery import Accepted, Deferred, Outcome
from bridge.domain.event import Topic
from tests.engine.rig import RUNNING, SUCCEEDED, Rig

ACCEPTED = Accepted(detail="200")
RATE_LIMITED = Deferred(reason="429", retry_after_s=60, delays_queue=True)


async def ended(rig: Rig, *ids: str) -> None:
    """Watch tasks that have already finished."""
    for task_id in ids:
        rig.script(task_id, SUCCEEDED)
    await rig.watch(*ids)
    await rig.clock.advance(0)


def handed(rig: Rig) -> list[tuple[float, str]]:
    begun_at = rig.sink.handed[0][0]
    return [(at - begun_at, delivery.subject) for at, delivery in rig.sink.handed]


async def test_a_chats_retry_after_holds_its_whole_queue_and_no_other() -> None:
    rig = Rig(targets=("1:a", "2:b"), concurrency=1)
    rig.sink.script = [RATE_LIMITED]
    async with rig.running():
        await ended(rig, "one", "two")
        await rig.clock.advance(30)
        await ended(rig, "three")
        counts = Counter(delivery.target for _, delivery in rig.sink.handed)
        assert sorted(counts.values()) == [1, 3], "the other target goes on"
        await rig.clock.advance(29)
        assert len(rig.sink.handed) == 4
        await rig.clock.advance(1)
        assert sorted(handed(rig)[4:]) == [(60, "one"), (60, "three"), (60, "two")]


async def test_a_held_queue_stays_held_after_a_restart() -> None:
    rig = Rig(concurrency=1)
    rig.sink.script = [RATE_LIMITED]
    async with rig.running():
        await ended(rig, "one", "two")
        await rig.clock.advance(10)
    second = rig.restarted()
    async with second.running():
        await ended(second, "three")
        await second.clock.advance(49)
        assert len(rig.sink.handed) == 1
        await second.clock.advance(2)
        assert {subject for _, subject in handed(rig)} == {"one", "two", "three"}
        assert len(rig.sink.handed) == 4


async def test_a_manual_redelivery_removes_the_hold() -> None:
    rig = Rig(concurrency=1)
    rig.sink.script = [RATE_LIMITED]
    async with rig.running():
        await ended(rig, "one", "two")
        await rig.clock.advance(10)
        assert len(rig.sink.handed) == 1
        rig.store.enable("hook")
        await rig.dispatcher.refresh()
        await rig.clock.advance(2)
        assert sorted(subject for _, subject in handed(rig)[1:]) == ["one", "two"]


async def test_a_hold_stored_by_a_wrong_clock_does_not_last_a_year() -> None:
    rig = Rig(retries=(5, 300))
    rig.sink.script = [RATE_LIMITED]
    async with rig.running():
        await ended(rig, "one")
        await rig.clock.advance(1)
    rig.clock.rewind(365 * 86_400.0)
    second = rig.restarted()
    async with second.running():
        await second.clock.advance(300)
        await second.dispatcher.refresh()  # as after each `genbridge add`
        await second.clock.advance(61)
        assert len(rig.sink.handed) == 2


async def test_a_retry_after_of_a_webhook_holds_only_its_own_delivery() -> None:
    rig = Rig(concurrency=1)
    rig.sink.script = [Deferred(reason="503", retry_after_s=60)]
    async with rig.running():
        await ended(rig, "one", "two")
        await rig.clock.advance(100)
        assert handed(rig) == [(0, "one"), (0, "two"), (60, "one")]


BURST = [f"task-{number:02}" for number in range(30)]


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    "script",
    [
        [],
        [Deferred(reason="503")],
        [ACCEPTED] * 7 + [Deferred(reason="503"), ACCEPTED, ACCEPTED, Deferred(reason="reset")],
        [ACCEPTED] * 19 + [Deferred(reason="429", retry_after_s=40, delays_queue=True)],
        [Deferred(reason="429", retry_after_s=2, delays_queue=True), ACCEPTED] * 12,
        [ACCEPTED, *[Deferred(reason="503")] * 4],
    ],
)
async def test_a_burst_reaches_people_in_commit_order_despite_retries(script: list[Outcome]) -> None:
    rig = Rig(in_order=True, concurrency=1, retries=(5, 8, 10, 10, 300))
    rig.clock.luck = 0.7
    rig.sink.hang_s[""] = 0.05
    rig.sink.script = list(script)
    async with rig.running():
        await ended(rig, *BURST)
        await rig.clock.advance(200)
        assert taken_by(rig) == ends(rig)


def ends(rig: Rig) -> list[str]:
    """The tasks in the order in which they finished."""
    by_end = sorted(rig.store.list_watches(), key=lambda view: view.ended_at or 0.0)
    committed = sorted(rig.store.list_deliveries(), key=lambda view: view.delivery_id)
    found = [view.task_id for view in committed]
    assert sorted(found) == sorted(view.task_id for view in by_end) == BURST
    instants = {view.task_id: view.ended_at or 0.0 for view in by_end}
    assert [instants[task_id] for task_id in found] == sorted(instants.values())
    return found


def taken_by(rig: Rig) -> list[str]:
    """The tasks in the order of their last attempts."""
    last = {delivery.subject: place for place, (_, delivery) in enumerate(rig.sink.handed)}
    return sorted(last, key=lambda task_id: last[task_id])


async def test_a_burst_keeps_its_order_across_a_restart_during_a_retry() -> None:
    rig = Rig(in_order=True, concurrency=1)
    rig.sink.script = [ACCEPTED, Deferred(reason="503")]
    async with rig.running():
        await ended(rig, *BURST[:10])
        await rig.clock.advance(1)
    second = rig.restarted()
    second.concurrency = 1
    async with second.running():
        await ended(second, *BURST[10:])
        await second.clock.advance(60)
        assert taken_by(rig) == ends(rig)


async def test_a_never_accepted_message_delays_others_by_at_most_a_minute() -> None:
    rig = Rig(in_order=True, concurrency=1, retries=(5, 25, 25, 25))
    rig.sink.refuses = {BURST[0]}
    async with rig.running():
        await ended(rig, *BURST)
        await rig.clock.advance(54)
        assert len(rig.sink.handed) < 30
        await rig.clock.advance(4)
        assert len(rig.sink.handed) == 4 + 29


async def test_a_long_retry_of_one_message_delays_nothing() -> None:
    rig = Rig(in_order=True, concurrency=1, retries=(300,))
    rig.sink.script = [Deferred(reason="503")]
    async with rig.running():
        await ended(rig, *BURST)
        await rig.clock.advance(1)
        assert len(rig.sink.handed) == 30


def topics(rig: Rig) -> list[str]:
    return sorted(view.topic for view in rig.store.list_deliveries() if not view.topic.startswith("task_"))


async def test_a_failing_endpoint_is_reported_to_others_before_its_next_retry() -> None:
    rig = Rig(retries=(5, 7200, 7200))
    rig.elsewhere = "chat"
    rig.sink.refuses = {"a", "b", "c"}
    async with rig.running():
        await ended(rig, "a", "b", "c")
        await rig.clock.advance(840)
        assert topics(rig) == []
        await rig.clock.advance(120)
        assert topics(rig) == ["endpoint_failing"]
        [told] = [view for view in rig.store.list_deliveries() if view.topic == "endpoint_failing"]
        assert (told.endpoint, told.task_id) == ("chat", "hook")
    rig.sink.refuses = set()
    second = rig.restarted()
    second.elsewhere = "chat"
    async with second.running():
        await second.clock.advance(7300)
        assert topics(rig) == ["endpoint_failing", "endpoint_recovered"]


async def test_the_log_says_when_an_endpoint_is_failing_and_when_it_recovers() -> None:
    rig = Rig(retries=(5, 7200, 7200))  # only the log reports it
    rig.sink.refuses = {"a", "b", "c"}
    with capture_logs() as logged:
        async with rig.running():
            await ended(rig, "a", "b", "c")
            await rig.clock.advance(960)
            rig.sink.refuses = set()
            await rig.clock.advance(7300)
    about = [line for line in logged if line["event"] in {"endpoint.failing", "endpoint.recovered"}]
    assert [(line["event"], line["log_level"], line["endpoint"]) for line in about] == [
        ("endpoint.failing", "error", "hook"),
        ("endpoint.recovered", "info", "hook"),
    ]
    assert "6 failed attempts" in about[0]["reason"]


async def test_a_failure_that_began_before_a_restart_is_reported_on_time() -> None:
    rig = Rig(retries=(5, 7200, 7200))
    rig.sink.refuses = {"a", "b", "c"}
    async with rig.running():
        await ended(rig, "a", "b", "c")
        await rig.clock.advance(60)
    second = rig.restarted()
    second.elsewhere = "chat"
    async with second.running():
        await second.clock.advance(960)
        assert topics(rig) == ["endpoint_failing"]


async def test_a_wait_that_begins_during_a_fetch_keeps_no_delivery_in_memory() -> None:
    requested = frozenset({Topic.TASK_RUNNING})
    rig = Rig(requested_topics=requested, pacing=Pacing(min_interval_s=10, max_interval_s=10, learned=False))

    class Outbox:
        is_first = True

        def due(self, *args: Any, **more: Any) -> Any:
            found = rig.store.due(*args, **more)
            if found[0] and self.is_first:
                self.is_first = False
                rig.dispatcher._queues["hook", ""]._wait_until(rig.clock.steady() + 30)
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(rig.store, name)

    rig.dispatcher._outbox = Outbox()
    rig.script("a", RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(60)
        assert rig.topics() == ["task_succeeded"]
