"""A callback is a hint: its task is polled at once, and regular polls are rarer while callbacks arrive."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from bridge.domain.cadence import Pacing
from bridge.domain.callback import CallbackOutcome, CallbackRequest
from bridge.domain.ids import WatchKey
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.store_key import callback_secret
from bridge.engine.callback_hints import CallbackReply
from tests.engine.rig import RUNNING, SUCCEEDED, Rig

EVERY_10_S = Pacing(min_interval_s=10, max_interval_s=10, learned=False)


def call(rig: Rig, task_id: str, status: str = "succeed", **more: Any) -> CallbackOutcome:
    return called(rig, {"task_id": task_id, "task_status": status, **more}).outcome


def called(rig: Rig, body: Any) -> CallbackReply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return rig.hints.receive("kling", CallbackRequest(headers={}, body=raw))


def facts(rig: Rig, task_id: str) -> list[str]:
    history = rig.store.details(WatchKey("kling", task_id)).history
    return [f"{fact.what} {fact.detail}".strip() for fact in history]


@asynccontextmanager
async def hints_running(rig: Rig) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(rig.hints.run)
        yield
        group.cancel_scope.cancel()


async def test_a_callback_causes_a_poll_of_its_task_at_once() -> None:
    rig = Rig()
    rig.script("a", RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1.5)
        assert call(rig, "a") is CallbackOutcome.POLLED
        await rig.clock.advance(0)
        assert rig.topics() == ["task_succeeded"]
        assert facts(rig, "a")[-2:] == ["callback unsigned: succeed", "succeeded"]


async def test_a_callback_without_a_poll_finishes_nothing() -> None:
    rig = Rig()
    rig.script("a", RUNNING)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1.5)
        call(rig, "a")
        await rig.clock.advance(0)
        assert rig.topics() == []
        assert rig.phase("a") == "running"


async def test_callbacks_about_unknown_tasks_are_forgotten() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1.5)
        assert call(rig, "b") is CallbackOutcome.UNKNOWN
        assert called(rig, b"no json").outcome is CallbackOutcome.UNREADABLE
        await rig.clock.advance(0.4)
        assert len(rig.provider.polls_of("a")) == 1


async def test_callbacks_about_one_task_share_a_poll() -> None:
    rig = Rig(answer_s=0.5)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1.6)
        outcomes = [call(rig, "a") for _ in range(100)]
        assert outcomes == [CallbackOutcome.POLLED, *[CallbackOutcome.COALESCED] * 99]
        await rig.clock.advance(0.3)
        assert len(rig.provider.polls_of("a")) == 2


async def test_a_callback_during_a_poll_leads_to_another_one() -> None:
    rig = Rig(answer_s=0.5)
    rig.script("a", RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(0.2)
        assert call(rig, "a") is CallbackOutcome.POLLED
        await rig.clock.advance(1.0)
        assert rig.provider.polls_of("a")[1] - rig.provider.polls_of("a")[0] < 0.6
        assert rig.topics() == ["task_succeeded"]


async def test_a_callback_while_the_answer_is_being_stored_leads_to_another_poll() -> None:
    rig = Rig()
    rig.script("a", RUNNING, SUCCEEDED)
    async with rig.running():
        rig.torn.failures = 2  # notifications of the transition to running
        await rig.watch("a")
        await rig.clock.advance(0)
        assert call(rig, "a") is CallbackOutcome.POLLED
        await rig.clock.advance(10)
        assert rig.topics() == ["task_succeeded"]
        assert "callback unsigned: succeed" in facts(rig, "a")


async def test_the_second_of_two_callbacks_during_a_poll_is_not_lost() -> None:
    rig = Rig(answer_s=0.5, pacing=EVERY_10_S)
    rig.script("a", RUNNING, RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(3)
        call(rig, "a", "processing")
        await rig.clock.advance(0.1)
        call(rig, "a", "succeed")
        await rig.clock.advance(2)
        assert rig.topics() == ["task_succeeded"]


async def test_at_most_five_polls_a_second_come_from_callbacks() -> None:
    rig = Rig(
        pacing=Pacing(min_interval_s=60, max_interval_s=60, learned=False), limits=RateLimits(rate=1000, burst=1000)
    )
    ids = [f"t{number}" for number in range(50)]
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(10)
        before = len(rig.provider.asked)
        for task_id in ids:
            call(rig, task_id, "processing")
        for second in range(1, 6):
            await rig.clock.advance(1.0 if second > 1 else 0.999)
            assert len(rig.provider.asked) - before == 5 * second


async def test_a_flood_about_one_task_polls_it_once_a_second() -> None:
    rig = Rig(pacing=EVERY_10_S)
    async with rig.running():
        await rig.watch("a", "b")
        await rig.clock.advance(2)
        for _ in range(400):
            call(rig, "a", "processing")
            await rig.clock.advance(0.01)
        assert len(rig.provider.polls_of("a")) - 1 <= 5
        assert len(rig.provider.polls_of("b")) == 1
        assert len([fact for fact in facts(rig, "a") if fact.startswith("callback")]) <= 5


async def test_another_task_does_not_wait_behind_a_flood() -> None:
    rig = Rig(pacing=EVERY_10_S)
    rig.script("b", RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a", "b")
        await rig.clock.advance(2)
        for _ in range(300):
            call(rig, "a", "processing")
            await rig.clock.advance(0.01)
        call(rig, "b")
        await rig.clock.advance(0)
        assert rig.phase("b") == "succeeded"


async def test_regular_polls_are_four_times_rarer_while_callbacks_arrive() -> None:
    rig = Rig(pacing=EVERY_10_S)
    async with rig.running():
        await rig.watch("a", "quiet")
        await rig.clock.advance(60)
        usual = len(rig.provider.polls_of("quiet"))
        assert usual == 7
        for _ in range(20):
            call(rig, "a", "processing")
            await rig.clock.advance(20)
        thinned = len(rig.provider.polls_of("quiet")) - usual
        assert 9 <= thinned <= 11  # of 40
        await rig.clock.advance(160)
        before = len(rig.provider.polls_of("quiet"))
        await rig.clock.advance(100)
        assert len(rig.provider.polls_of("quiet")) - before == 10


async def test_the_next_poll_says_that_callbacks_arrive() -> None:
    rig = Rig(pacing=EVERY_10_S)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1.5)
        call(rig, "a", "processing")
        await rig.clock.advance(2)
        why = rig.store.details(WatchKey("kling", "a")).next_poll_why
        assert why is not None
        assert why.endswith("; callbacks arrive; time between polls: 40 s")


async def test_polls_are_as_usual_after_a_callback_failed_to_come() -> None:
    rig = Rig(pacing=EVERY_10_S)
    rig.script("missed", RUNNING, RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a", "missed", "quiet")
        await rig.clock.advance(5)
        for _ in range(12):
            call(rig, "a", "processing")
            await rig.clock.advance(10)
        assert rig.phase("missed") == "succeeded"
        before = len(rig.provider.polls_of("quiet"))
        for _ in range(10):
            call(rig, "a", "processing")
            await rig.clock.advance(10)
        assert len(rig.provider.polls_of("quiet")) - before >= 5


async def test_a_callback_about_a_task_of_another_daemon_is_forwarded() -> None:
    rig = Rig()
    async with rig.running():
        rig.poller.set_shares(frozenset(), daemons=2)
        async with hints_running(rig):
            await rig.watch("t1")
            assert call(rig, "t1") is CallbackOutcome.FORWARDED
            await rig.clock.advance(1)
            assert "callback unsigned: succeed" in facts(rig, "t1")
            assert not rig.provider.polls_of("t1")


async def test_only_the_secret_of_the_address_opens_it() -> None:
    rig = Rig()
    async with rig.running():
        assert not rig.hints.is_address("kling", callback_secret(b"", "kling"))
        async with hints_running(rig):
            await rig.clock.advance(0)
            key = rig.store.key("callbacks")
            assert key is not None
            secret = callback_secret(key, "kling")
            assert rig.hints.is_address("kling", secret)
            assert rig.hints.path("kling") == f"/callbacks/kling/{secret}"
            assert not rig.hints.is_address("kling", secret[:-1])
            assert not rig.hints.is_address("kling", "é")
            assert not rig.hints.is_address("other", callback_secret(key, "other"))


async def test_every_callback_is_counted_by_its_outcome() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1.5)
        call(rig, "a")
        for _ in range(3):
            call(rig, "x")
        counted = rig.metrics.account("kling").callbacks
        assert {outcome: count for outcome, count in counted.items() if count} == {"polled": 1, "unknown": 3}


async def test_a_flood_of_callbacks_is_not_read() -> None:
    rig = Rig()
    async with rig.running():
        outcomes = [call(rig, "x") for _ in range(5000)]
        assert outcomes.count(CallbackOutcome.DROPPED) > 2500
        await rig.clock.advance(10)
        assert call(rig, "x") is CallbackOutcome.UNKNOWN
