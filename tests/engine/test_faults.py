"""Bugs, race conditions and late networks."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.domain.delivery import Refused
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.ids import WatchKey
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.task import Reading
from bridge.domain.watch import Rules
from bridge.engine.janitor import Janitor, RetentionPeriods
from bridge.errors import StoreError
from tests.engine.rig import BROKEN, REVOKED, RUNNING, SUCCEEDED, Rig
from tests.fakes import DirectOffload, ScriptedProvider


class Poisoned(Rig):
    """A rig in which rendering some events fails."""

    poison = "poison"

    def parcels_for(self, event: Event) -> Sequence[Parcel]:
        if self.poison in {event.subject, event.topic}:
            raise KeyError("a template gone wrong")
        return super().parcels_for(event)


async def test_an_unrenderable_event_does_not_affect_the_rest_of_the_batch() -> None:
    rig = Poisoned()
    rig.provider.most_together = 50
    ids = [f"t{number}" for number in range(9)]
    for task_id in ("poison", *ids[::2]):
        rig.script(task_id, SUCCEEDED)
    async with rig.running():
        await rig.watch("poison", *ids)
        await rig.clock.advance(30)
        asked_later = {task_id for _, batch in rig.provider.batches[1:] for task_id in batch}
        assert asked_later == set(ids[1::2])
        await rig.clock.advance(60)
        asked = [task_id for _, batch in rig.provider.batches for task_id in batch]
        assert [asked.count(task_id) for task_id in ids[::2]] == [1] * 5
        assert sorted(delivery.subject for _, delivery in rig.sink.handed) == ids[::2]


async def test_an_unprocessable_reading_does_not_affect_the_rest_of_the_batch() -> None:
    rig = Rig()
    rig.provider.most_together = 50
    ids = [f"t{number}" for number in range(9)]
    rig.provider.scripts["poison"] = [None]  # type: ignore[list-item]  # a bug of ours
    for task_id in ids[::2]:
        rig.script(task_id, SUCCEEDED)
    async with rig.running():
        await rig.watch(*ids, "poison")
        await rig.clock.advance(50)
        assert len(rig.provider.batches) > 5
        await rig.clock.advance(20)
        asked = [task_id for _, batch in rig.provider.batches for task_id in batch]
        assert [asked.count(task_id) for task_id in ids[::2]] == [1] * 5


async def test_a_timed_out_watch_with_an_unrenderable_event_does_not_stop_others() -> None:
    rig = Poisoned(rules=Rules(give_up_after_s=600.0))
    rig.provider.default = BROKEN
    ids = [f"t{number}" for number in range(8)]
    async with rig.running():
        await rig.watch("poison", *ids)
        await rig.clock.advance(700)
        assert {rig.phase(task_id) for task_id in ids} == {"timed_out"}
        assert rig.phase("poison") != "timed_out"


async def test_an_unstorable_outcome_postpones_only_its_delivery() -> None:
    rig = Poisoned()
    rig.poison = Topic.ENDPOINT_DISABLED
    rig.sink.script = [Refused(reason="410")]
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(30)
        assert len(rig.sink.handed) == 1
        rig.script("b", SUCCEEDED)
        await rig.watch("b")
        await rig.clock.advance(1)
        assert [delivery.subject for _, delivery in rig.sink.handed] == ["a", "b"]
        await rig.clock.advance(60)
        assert [delivery.subject for _, delivery in rig.sink.handed] == ["a", "b", "a"]
        assert rig.store.list_deliveries()[0].state == "accepted"


async def test_a_bug_does_not_speed_up_the_probes_of_a_blocked_account() -> None:
    class Faulty(ScriptedProvider):
        async def poll(self, task_id: str, action: str | None) -> Reading:
            reading = await super().poll(task_id, action)
            if len(self.asked) > 1:
                raise KeyError("a bug of ours")
            return reading

    rig = Rig()
    rig.provider = Faulty(rig.clock)
    rig.provider.default = REVOKED
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(600)
        assert len(rig.provider.asked) < 15


async def test_a_requested_poll_probes_a_blocked_account_at_most_every_ten_seconds() -> None:
    rig = Rig()
    rig.provider.default = REVOKED
    async with rig.running():
        await rig.watch("a", "b")
        await rig.clock.advance(1000)
        polled = len(rig.provider.asked)
        for task_id in ("b", "a", "b"):
            rig.store.poll_now([WatchKey("kling", task_id)], now=rig.clock.now())
            await rig.fetch()
            await rig.clock.advance(1)
        assert [task_id for _, task_id in rig.provider.asked[polled:]] == ["b"]
        rig.provider.default = RUNNING
        await rig.clock.advance(10)
        assert rig.topics() == ["account_blocked", "account_restored"]


async def test_an_endpoint_removed_and_added_back_is_not_notified_twice() -> None:
    rig = Rig()
    rig.sink.hang_s[""] = 15.0
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1)
        await rig.dispatcher.configure({})
        await rig.clock.advance(1)
        await rig.configure()
        await rig.clock.advance(60)
        assert len(rig.sink.handed) == 1


async def test_a_removed_endpoint_is_not_notified() -> None:
    rig = Rig()
    async with rig.running():
        await rig.dispatcher.configure({})
        rig.script("a", SUCCEEDED)
        await rig.watch("a")
        await rig.clock.advance(60)
        assert rig.sink.handed == []
        await rig.configure()
        await rig.clock.advance(0)
        assert len(rig.sink.handed) == 1


async def test_a_410_from_a_replaced_address_disables_nothing() -> None:
    rig = Rig()
    rig.sink.hang_s[""] = 10.0
    rig.sink.script = [Refused(reason="410")]
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1)
        rig.fingerprint = "another address"
        await rig.configure()
        await rig.clock.advance(60)
        assert rig.topics() == ["task_succeeded"] * 2
        assert rig.store.disabled({"hook": rig.fingerprint}) == {}


async def test_an_account_removed_and_added_back_keeps_its_limits() -> None:
    rig = Rig(answer_s=20.0, limits=RateLimits(concurrency=1))
    async with rig.running():
        await rig.watch("a", "b")
        await rig.clock.advance(1)
        rig.poller.configure({}, {})
        await rig.clock.advance(1)
        await rig.configure()
        await rig.clock.advance(60)
        assert rig.provider.most_in_flight == 1
        assert len(rig.provider.asked) >= 3


async def test_a_removed_account_is_not_polled() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1)
        rig.poller.configure({}, {})
        asked = len(rig.provider.asked)
        await rig.watch("b")
        await rig.clock.advance(60)
        assert len(rig.provider.asked) == asked


async def test_a_reload_does_not_bring_polls_forward() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(100)
        polled = rig.provider.polls_of("a")[-1]
        while rig.provider.polls_of("a")[-1] == polled:
            await rig.clock.advance(0.1)
        asked = len(rig.provider.asked)
        await rig.configure()
        await rig.clock.advance(1)
        assert len(rig.provider.asked) == asked


async def test_after_the_clock_was_set_back_a_new_watch_ages_correctly() -> None:
    rig = Rig()
    async with rig.running():
        await rig.clock.advance(60)
        rig.clock.wall_offset = -365 * 86_400.0
        await rig.watch("a")
        await rig.clock.advance(60)
        assert rig.phase("a") == "running"
        assert rig.gaps("a")[0] == 2


async def test_a_watch_that_could_not_be_fetched_is_fetched_after_the_outage() -> None:
    class Torn(Rig):
        refusals = 3

        async def fetch(self) -> None:
            if self.refusals:
                self.refusals -= 1
                raise StoreError("I/O error")
            await super().fetch()

    rig = Torn()
    rig.refusals = 0
    rig.script("a", SUCCEEDED)
    async with rig.running():
        rig.refusals = 3
        async with anyio.create_task_group() as group:
            group.start_soon(rig.watch, "a")
            await rig.clock.advance(30)
        assert rig.topics() == ["task_succeeded"]


@pytest.mark.parametrize("jump", [365 * 86_400.0, -365 * 86_400.0])
async def test_a_wall_clock_set_by_a_year_deletes_nothing(jump: float) -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(60)
        rig.clock.wall_offset = jump
        janitor = Janitor(store=rig.store, offload=DirectOffload(), clock=rig.clock, retention=RetentionPeriods())
        await janitor.clean()
        assert rig.phase("a") == "succeeded"


async def test_after_a_long_stop_a_late_network_times_out_no_task() -> None:
    rig = Rig()
    ids = [f"t{number}" for number in range(20)]
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(5)
    await rig.clock.advance(3 * 86_400)
    second = rig.restarted()
    second.script("t0", SUCCEEDED)
    for task_id in ids[1:]:
        second.script(task_id, BROKEN)
    async with second.running():
        await second.clock.advance(300)
        assert second.topics() == ["task_succeeded"]
        second.script("t1", SUCCEEDED)
        await second.clock.advance(1200)
        assert sorted(second.topics()) == ["task_succeeded"] * 2 + ["task_timed_out"] * 18


@pytest.mark.parametrize(("tasks", "is_logged"), [(1, True), (4, True), (5, False)])
async def test_failing_polls_of_a_few_tasks_are_logged_once(tasks: int, is_logged: bool) -> None:
    rig = Rig()
    rig.provider.default = BROKEN
    async with rig.running():
        with capture_logs() as logged:
            await rig.watch(*(f"t{number}" for number in range(tasks)))
            await rig.clock.advance(300)
            rig.provider.default = RUNNING
            await rig.clock.advance(600)
    logged = [line for line in logged if line["event"] in {"account.failing", "account.answering"}]
    assert [line["event"] for line in logged] == ["account.failing", "account.answering"] * is_logged
    assert all(line["reason"] == BROKEN.detail for line in logged[:1])
