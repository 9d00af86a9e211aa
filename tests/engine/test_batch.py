from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from bridge.domain.rate_limiter import RateLimits
from bridge.domain.task import Reading, ReadingKind
from tests.engine.rig import BROKEN, REVOKED, SUCCEEDED, Rig
from tests.fakes import ScriptedProvider

pytestmark = pytest.mark.usefixtures("unmeasured")


def batching(most: int = 50, **more: object) -> Rig:
    rig = Rig(**more)  # type: ignore[arg-type]  # passed on as it came
    rig.provider.most_together = most
    return rig


async def test_tasks_due_at_the_same_time_share_one_request() -> None:
    rig = batching()
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(30)])
        await rig.clock.advance(60)
        assert rig.provider.asked == []
        assert max(len(ids) for _, ids in rig.provider.batches) == 30
        assert len(rig.provider.batches) < 30


async def test_a_batch_is_never_larger_than_the_provider_allows() -> None:
    rig = batching(most=10)
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(35)])
        await rig.clock.advance(1)
        assert sorted(len(ids) for _, ids in rig.provider.batches) == [5, 10, 10, 10]


async def test_every_finished_task_of_a_batch_is_notified_and_not_polled_again() -> None:
    rig = batching()
    ids = [f"t{number}" for number in range(30)]
    for task_id in ids[::2]:
        rig.script(task_id, SUCCEEDED)
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(1)
        assert sorted(delivery.subject for _, delivery in rig.sink.handed) == sorted(ids[::2])
        await rig.clock.advance(60)
        asked_later = {task_id for _, batch in rig.provider.batches[1:] for task_id in batch}
        assert asked_later == set(ids[1::2])


async def test_a_single_task_is_polled_without_a_batch() -> None:
    rig = batching()
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(30)
        assert rig.provider.batches == []
        assert len(rig.provider.polls_of("a")) > 3


async def test_an_id_missing_from_the_batch_answer_is_not_found() -> None:
    class Forgetful(ScriptedProvider):
        async def poll_batch(self, task_ids: Sequence[str], action: str | None) -> Mapping[str, Reading] | Reading:
            answer = await super().poll_batch(task_ids, action)
            assert isinstance(answer, dict)
            return {task_id: reading for task_id, reading in answer.items() if task_id != "gone"}

    rig = batching()
    rig.provider = Forgetful(rig.clock)
    rig.provider.most_together = 50
    rig.provider.scripts["gone"] = [Reading(kind=ReadingKind.NOT_FOUND)]
    async with rig.running():
        await rig.watch("gone", "here")
        await rig.clock.advance(200)
        assert rig.topics() == ["task_not_found"]
        assert rig.phase("here") == "running"


async def test_an_id_missing_because_the_answer_is_cut_short_ends_nothing() -> None:
    class Capped(ScriptedProvider):
        async def poll_batch(self, task_ids: Sequence[str], action: str | None) -> Mapping[str, Reading] | Reading:
            answer = await super().poll_batch(task_ids[:5], action)
            assert isinstance(answer, dict)
            return answer

    rig = batching()
    rig.provider = Capped(rig.clock)
    rig.provider.most_together = 50
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(50)])
        await rig.clock.advance(600)
        assert rig.topics() == []


async def test_a_failed_batch_falls_back_to_single_polls_and_is_retried_later() -> None:
    rig = batching()
    rig.provider.batch_failure = Reading(kind=ReadingKind.BAD_REQUEST, detail="no such route")
    ids = [f"t{number}" for number in range(10)]
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(30)
        assert len(rig.provider.batches) == 1
        assert {task_id for _, task_id in rig.provider.asked} == set(ids)
        rig.provider.batch_failure = None
        await rig.clock.advance(60)
        assert len(rig.provider.batches) > 1
        assert rig.topics() == []


async def test_a_refused_key_blocks_the_account_in_single_and_batch_polls() -> None:
    rig = batching()
    rig.provider.batch_failure = REVOKED
    rig.provider.default = REVOKED
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(10)])
        await rig.clock.advance(300)
        assert rig.topics() == ["account_blocked"]
        assert len(rig.provider.batches) == 1
        assert len(rig.provider.asked) < 10 + 8  # each task once, the requests in flight, and the probes


async def test_a_gateway_that_refuses_only_batches_does_not_block_the_account() -> None:
    rig = batching()
    rig.provider.batch_failure = REVOKED
    ids = [f"t{number}" for number in range(10)]
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(30)
        for task_id in ids:
            rig.script(task_id, SUCCEEDED)
        await rig.clock.advance(120)
        assert rig.topics() == ["task_succeeded"] * len(ids)


async def test_a_blocked_account_is_probed_with_a_single_task() -> None:
    rig = batching()
    rig.provider.batch_failure = rig.provider.default = REVOKED
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(10)])
        await rig.clock.advance(60)
        rig.provider.default = Reading(kind=ReadingKind.RUNNING)
        await rig.clock.advance(700)
        assert rig.topics() == ["account_blocked", "account_restored"]


async def test_batches_stay_within_the_limits_and_an_outage_causes_few_requests() -> None:
    rig = batching(limits=RateLimits(rate=1, burst=1, concurrency=1))
    ids = [f"t{number}" for number in range(40)]
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(60)
        assert len(rig.provider.batches) <= 61
        rig.provider.batch_failure = rig.provider.default = BROKEN
        before = len(rig.provider.batches) + len(rig.provider.asked)
        await rig.clock.advance(600)
        assert len(rig.provider.batches) + len(rig.provider.asked) - before < 60


async def test_thirty_tasks_in_flight_cost_few_requests_each() -> None:
    """A task is added every six seconds and lasts three minutes, so thirty are running."""
    rig = batching()
    async with rig.running():
        for number in range(200):
            task_id = f"t{number}"
            ends_at = rig.clock.steady() + 180
            rig.provider.ends[task_id] = ends_at
            await rig.watch(task_id)
            await rig.clock.advance(6)
        requests = len(rig.provider.batches) + len(rig.provider.asked)
        told = rig.topics().count("task_succeeded")
        print(f"\nrequests per task with 30 in flight: {requests / told:.2f}")
        assert told >= 165
        assert requests / told <= 1.8
