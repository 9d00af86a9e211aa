"""What the engine counts, as `Metrics` shows it."""

from __future__ import annotations

from bridge.domain.delivery import Accepted, Deferred, Refused, Undeliverable
from bridge.domain.event import Topic
from bridge.domain.task import Reading, ReadingKind, Snapshot
from bridge.metrics import INTERNAL_ERROR
from tests.engine.rig import REVOKED, RUNNING, SUCCEEDED, Rig
from tests.fakes import START

SLOW_DOWN = Reading(kind=ReadingKind.RATE_LIMITED, detail="HTTP 429")


def polls(rig: Rig, account: str = "kling") -> dict[str, int]:
    """The polls of an account by outcome, without zeros."""
    return {outcome: count for outcome, count in rig.metrics.account(account).polls.items() if count}


def attempts(rig: Rig) -> dict[str, int]:
    return {outcome: count for outcome, count in rig.metrics.endpoint("hook").attempts.items() if count}


def ended_at(at: float) -> Reading:
    """A success with this finish time, as the provider reports it."""
    snapshot = Snapshot(status="succeed", updated_ms=round(at * 1000))
    return Reading(kind=ReadingKind.SUCCEEDED, snapshot=snapshot)


async def test_every_poll_counts_once_for_its_account_by_what_the_answer_meant() -> None:
    rig = Rig()
    rig.script("a", RUNNING, RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(600)
    assert polls(rig) == {"running": 2, "succeeded": 1}


async def test_a_batch_counts_as_one_poll() -> None:
    rig = Rig()
    rig.provider.most_together = 50
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(30)])
        await rig.clock.advance(0)
    assert sum(polls(rig).values()) == len(rig.provider.batches) + len(rig.provider.asked)


async def test_all_rate_limit_answers_count_as_rate_limited() -> None:
    rig = Rig()
    rig.script("a", SLOW_DOWN, RUNNING)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(30)
    assert rig.metrics.account("kling").rate_limited == polls(rig)["rate_limited"] == 1


async def test_a_429_through_the_gateway_is_rate_limited_but_no_poll() -> None:
    rig = Rig()
    async with rig.running():
        rig.poller.limited("kling", SLOW_DOWN, asked_at=rig.clock.steady())
    assert (rig.metrics.account("kling").rate_limited, polls(rig)) == (1, {})


async def test_a_poll_stopped_by_a_bug_counts_as_an_internal_error() -> None:
    rig = Rig()
    rig.provider.scripts["a"] = [None]  # type: ignore[list-item]  # no Reading: the engine trips over it
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(0)
    assert polls(rig) == {INTERNAL_ERROR: 1}


async def test_the_detection_delay_counts_from_the_providers_finish_time() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(0)
        rig.script("a", ended_at(START + 1))
        await rig.clock.advance(600)
    [(polled_at)] = rig.provider.polls_of("a")[-1:]
    assert rig.metrics.detection_s.total_s == polled_at - (START + 1)
    assert sum(rig.metrics.detection_s.counts) == 1


async def test_a_task_added_after_its_finish_does_not_count_as_detected_late() -> None:
    rig = Rig()
    rig.script("a", ended_at(START - 3600))
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(0)
    assert (rig.metrics.detection_s.total_s, sum(rig.metrics.detection_s.counts)) == (0.0, 1)


async def test_a_finish_without_a_time_does_not_count_for_detection() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(0)
    assert sum(rig.metrics.detection_s.counts) == 0


async def test_a_committed_event_counts_by_its_topic_and_each_commit_is_timed() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    rig.script("b", REVOKED)
    async with rig.running():
        await rig.watch("a", "b")
        await rig.clock.advance(5)
    found = {topic: count for topic, count in rig.metrics.events.items() if count}
    assert found == {"task_succeeded": 1, "account_blocked": 1}
    assert sum(rig.metrics.commit_s.counts) >= 2


async def test_an_event_whose_commit_fails_first_counts_once() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        rig.torn.failures = 2
        await rig.clock.advance(60)
    assert rig.metrics.events[Topic.TASK_SUCCEEDED] == 1


async def test_every_attempt_counts_for_its_endpoint_by_its_outcome() -> None:
    rig = Rig(retries=(5, 300))
    rig.sink.script = [
        Deferred(reason="503"),
        Refused(reason="410"),
        Undeliverable(reason="too long"),
        Accepted(detail="200"),
    ]
    for task_id in ("a", "b"):
        rig.script(task_id, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(10)
        rig.store.enable("hook")
        await rig.dispatcher.refresh()
        await rig.clock.advance(10)
        await rig.watch("b")
        await rig.clock.advance(10)
    assert attempts(rig) == {"accepted": 1, "deferred": 1, "refused": 1, "undeliverable": 1}


async def test_the_time_of_a_delivery_counts_from_the_observed_finish_until_acceptance() -> None:
    rig = Rig(retries=(5, 300))
    rig.sink.script = [Deferred(reason="503"), Accepted(detail="200")]
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(60)
    delivery_s = rig.metrics.endpoint("hook").delivery_s
    assert (delivery_s.total_s, sum(delivery_s.counts)) == (5.0, 1)


async def test_an_event_about_an_account_does_not_count_as_a_delivered_finish() -> None:
    rig = Rig()
    rig.script("a", REVOKED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(60)
    assert attempts(rig) == {"accepted": 1}
    assert sum(rig.metrics.endpoint("hook").delivery_s.counts) == 0
