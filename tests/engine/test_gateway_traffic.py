"""Requests of other programs on an account, and answers that genbridge did not request."""

from __future__ import annotations

import math

import anyio
import pytest

from bridge.domain.rate_limiter import RateLimiter, RateLimits
from bridge.domain.task import Phase, Reading, ReadingKind
from bridge.ports import NotAdmitted
from tests.engine.rig import RUNNING, SUCCEEDED, Rig

LIMITED = Reading(kind=ReadingKind.RATE_LIMITED, detail="HTTP 429", retry_after_s=30.0)
LACKING = Reading(kind=ReadingKind.AMBIGUOUS, lacks_result=True)


async def test_an_answer_from_outside_finishes_a_task_without_a_poll() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("t1")
        await rig.clock.advance(3)
        polls = len(rig.provider.polls_of("t1"))
        rig.poller.submit("kling", "t1", SUCCEEDED)
        await rig.clock.advance(0.1)
        assert rig.phase("t1") == Phase.SUCCEEDED
        await rig.clock.advance(300)
        assert len(rig.provider.polls_of("t1")) == polls
        assert rig.topics() == ["task_succeeded"]


async def test_an_answer_from_outside_delays_the_next_poll_like_a_poll() -> None:
    polled, told = Rig(), Rig()
    for rig in (polled, told):
        async with rig.running():
            await rig.watch("t1")
            for _ in range(100):
                await rig.clock.advance(0.5)
                if rig is told:
                    rig.poller.submit("kling", "t1", RUNNING)
    assert len(told.provider.polls_of("t1")) <= 1 < len(polled.provider.polls_of("t1"))


async def test_an_answer_without_its_results_causes_a_poll_at_once() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("t1")
        await rig.clock.advance(100)
        polls = len(rig.provider.polls_of("t1"))
        rig.poller.submit("kling", "t1", LACKING)
        await rig.clock.advance(0.1)
        assert len(rig.provider.polls_of("t1")) == polls + 1


async def test_answers_about_unknown_tasks_and_accounts_are_ignored() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("t1")
        rig.script("t1", SUCCEEDED)
        await rig.clock.advance(3)
        for account, task_id in (("kling", "other"), ("nobody", "t1"), ("kling", "t1")):
            rig.poller.submit(account, task_id, RUNNING)
        await rig.clock.advance(3)
        assert rig.topics() == ["task_succeeded"]


async def test_requests_of_others_wait_in_line_for_the_rate() -> None:
    rig = Rig(limits=RateLimits(rate=1.0, burst=2, concurrency=4))
    async with rig.running():
        began_at, admitted_at = rig.clock.steady(), []
        async with rig.beside(lambda: rig.clock.advance(5)):
            for _ in range(4):
                assert await rig.poller.admit("kling", within_s=10) is None
                admitted_at.append(rig.clock.steady() - began_at)
                rig.poller.left("kling")
        assert admitted_at == pytest.approx([0.0, 0.0, 1.0, 2.0], abs=0.05)


async def test_a_request_that_would_wait_too_long_is_held_and_not_counted() -> None:
    rig = Rig(limits=RateLimits(rate=0.1, burst=1, concurrency=4))
    async with rig.running():
        assert await rig.poller.admit("kling", within_s=5) is None
        for _ in range(3):
            refusal = await rig.poller.admit("kling", within_s=5)
            assert isinstance(refusal, NotAdmitted)
            assert refusal.left_s == pytest.approx(10.0, abs=0.1)


async def test_one_place_in_flight_is_left_for_polls() -> None:
    rig = Rig(limits=RateLimits(rate=100.0, burst=100, concurrency=3))
    async with rig.running():
        assert [await rig.poller.admit("kling", within_s=0) for _ in range(2)] == [None, None]
        refusal = await rig.poller.admit("kling", within_s=0)
        assert isinstance(refusal, NotAdmitted)
        await rig.watch("t1")
        await rig.clock.advance(1)
        assert rig.provider.polls_of("t1")
        rig.poller.left("kling")
        assert await rig.poller.admit("kling", within_s=0) is None


async def test_a_429_to_a_request_of_others_pauses_polls_and_requests() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch("t1")
        await rig.clock.advance(3)
        assert await rig.poller.admit("kling", within_s=1) is None
        rig.poller.left("kling")
        rig.poller.limited("kling", LIMITED, asked_at=rig.clock.steady())
        polls = len(rig.provider.polls_of("t1"))
        refusal = await rig.poller.admit("kling", within_s=1)
        assert isinstance(refusal, NotAdmitted)
        assert refusal.left_s == pytest.approx(30.0, abs=0.1)
        await rig.clock.advance(29)
        assert len(rig.provider.polls_of("t1")) == polls
        await rig.clock.advance(2)
        assert len(rig.provider.polls_of("t1")) == polls + 1
        assert await rig.poller.admit("kling", within_s=1) is None


async def test_an_account_that_is_not_in_the_settings_admits_no_request() -> None:
    rig = Rig()
    async with rig.running():
        refusal = await rig.poller.admit("nobody", within_s=1)
        assert isinstance(refusal, NotAdmitted)
        assert refusal.left_s == math.inf


async def test_a_request_that_is_canceled_in_line_takes_no_place() -> None:
    rig = Rig(limits=RateLimits(rate=1.0, burst=1, concurrency=3))
    async with rig.running():
        assert await rig.poller.admit("kling", within_s=0) is None
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: rig.poller.admit("kling", within_s=10))
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        await rig.clock.advance(10)
        assert await rig.poller.admit("kling", within_s=0) is None


async def test_polls_use_the_place_of_a_canceled_request_at_once() -> None:
    rig = Rig(limits=RateLimits(rate=0.2, burst=1, concurrency=3), answer_s=100)
    async with rig.running():
        await rig.watch("a", "b")
        await rig.clock.advance(1)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(lambda: rig.poller.admit("kling", within_s=20))
            await rig.clock.advance(6)  # one is admitted; the other keeps the last place
            assert len(rig.provider.asked) == 1
            group.cancel_scope.cancel()
        await rig.clock.advance(10)
        assert len(rig.provider.asked) == 2


def test_a_daemon_without_shares_of_the_account_admits_gateway_requests() -> None:
    limiter = RateLimiter(RateLimits(rate=0.0, burst=0, concurrency=0), now=0.0)
    assert [limiter.reserve(0.0, within_s=0.0) for _ in range(50)] == [0.0] * 50
    limiter.others_in_flight = 0
    limiter.resize(RateLimits(rate=1.0, burst=1, concurrency=1), now=1.0)
    assert limiter.wait_s(2.0) == 0.0
