"""The rate limiter: bursts, 429, Retry-After, and its promises for any order of calls."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.host_limits import TROUBLED_TASKS
from bridge.domain.rate_limiter import AccountEffect, RateLimiter, RateLimits
from bridge.domain.slots import Portion
from bridge.domain.task import Reading, ReadingKind
from tests.domain.limiter_answers import GOOD, LIMITED, ask, make_limiter, wait
from tests.factories import NOW, make_reading

# The bucket


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    limiter = make_limiter(rate=10.0, burst=3)
    for _ in range(3):
        ask(limiter, GOOD)
    assert wait(limiter) == 0.1
    assert wait(limiter, at=0.05) == 0.05
    assert wait(limiter, at=0.1001) == 0.0


def test_requests_in_flight_are_limited() -> None:
    limiter = make_limiter(concurrency=2)
    limiter.take(NOW)
    limiter.take(NOW)
    assert limiter.wait_s(NOW) == math.inf
    limiter.abandoned(now=NOW)
    assert limiter.wait_s(NOW) == 0.0


def test_new_limits_hold_from_now_on() -> None:
    limiter = make_limiter(burst=20)
    limiter.resize(RateLimits(rate=1.0, burst=1), now=NOW)
    ask(limiter, GOOD)
    assert wait(limiter) == 1.0


def test_a_long_idle_time_never_overfills_the_bucket() -> None:
    limiter = make_limiter(rate=10.0, burst=5)
    passed = 0
    while limiter.wait_s(NOW + 1e6) == 0:
        limiter.take(NOW + 1e6)
        passed += 1
    assert passed == 5


def test_a_clock_that_is_set_back_causes_no_burst_and_no_stop() -> None:
    limiter = make_limiter(rate=10.0, burst=1)
    ask(limiter, GOOD, at=100)
    assert wait(limiter, at=0) == 0.1


# 429


@pytest.mark.parametrize("hint_s", [None, 0.0])
def test_a_429_without_retry_after_halves_the_rate_up_to_a_minute(hint_s: float | None) -> None:
    limiter = make_limiter(rate=10.0, burst=1)
    assert ask(limiter, LIMITED._replace(retry_after_s=hint_s)) is AccountEffect.NOTHING
    rates = []
    for at, tokens_short in ((0, 2), (30, 1), (60, 1), (90, 1)):
        limiter.take(NOW + at)
        rates.append(tokens_short / limiter.wait_s(NOW + at))
    assert rates == pytest.approx([5.0, 7.5, 10.0, 10.0], rel=0.01)


def test_a_429_takes_what_was_left_of_the_burst() -> None:
    limiter = make_limiter(rate=10.0, burst=20)
    ask(limiter, LIMITED)
    assert wait(limiter) == 0.2


def test_the_rate_never_falls_below_a_tenth() -> None:
    limiter = make_limiter(rate=10.0, burst=1)
    for _ in range(20):
        limiter.take(NOW)
        limiter.answered(LIMITED, task_id="task-1", now=NOW, chance=0.0)
    ask(limiter, LIMITED, at=limiter.wait_s(NOW))
    assert limiter.wait_s(NOW + 61) == 0.0


@pytest.mark.parametrize("kind", [ReadingKind.TRANSIENT, ReadingKind.AUTH_ERROR])
def test_after_an_outage_there_is_no_burst(kind: ReadingKind) -> None:
    limiter = make_limiter(rate=10.0, burst=20)
    for number in range(TROUBLED_TASKS):
        limiter.take(NOW)
        limiter.answered(
            make_reading(kind, detail="down", server_trouble=kind is ReadingKind.TRANSIENT),
            task_id=f"task-{number}",
            now=NOW,
            chance=0.0,
        )
    assert wait(limiter) > 0
    ask(limiter, GOOD, at=600)
    assert not limiter.probing
    assert limiter.room(NOW + 600) == 1
    assert limiter.room(NOW + 601) == 11


@pytest.mark.parametrize("kind", [ReadingKind.RATE_LIMITED, ReadingKind.TRANSIENT])
def test_after_a_retry_after_there_is_no_burst(kind: ReadingKind) -> None:
    limiter = make_limiter(rate=10.0, burst=20)
    limited = make_reading(kind, retry_after_s=30.0, server_trouble=kind is ReadingKind.TRANSIENT)
    assert ask(limiter, limited) is AccountEffect.ASKED_TO_WAIT
    assert wait(limiter, at=29) == 1.0
    limiter.resize(RateLimits(rate=10.0, burst=20), now=NOW + 15)
    assert limiter.room(NOW + 30) == 1
    ask(limiter, GOOD, at=30)
    assert wait(limiter, at=30) == 0.1
    assert limiter.room(NOW + 31) == 10


def test_after_a_stored_or_shared_wait_there_is_no_burst() -> None:
    limiter = make_limiter(rate=10.0, burst=20)
    limiter.wait_until_at = NOW + 30.0
    assert limiter.room(NOW + 30) == 1
    assert limiter.room(NOW + 31) == 11


@pytest.mark.parametrize("task", ["task-1", "task-2"])
def test_no_request_is_sent_before_the_end_of_a_retry_after(task: str) -> None:
    limiter = make_limiter()
    assert ask(limiter, LIMITED._replace(retry_after_s=30.0)) is AccountEffect.ASKED_TO_WAIT
    assert limiter.wait_until_at == NOW + 30.0
    assert wait(limiter, at=1.0) == 29.0
    assert ask(limiter, GOOD, at=30.0, task=task) is AccountEffect.NOTHING


def test_a_shorter_hint_does_not_shorten_the_wait() -> None:
    limiter = make_limiter()
    limiter.take(NOW)
    limiter.take(NOW)
    limiter.answered(LIMITED._replace(retry_after_s=60.0), task_id="task-1", now=NOW, chance=0.0)
    limiter.answered(LIMITED._replace(retry_after_s=5.0), task_id="task-2", now=NOW, chance=0.0)
    assert wait(limiter) == 60.0


# Any order of calls


KINDS = st.sampled_from(ReadingKind)
READINGS = st.builds(
    make_reading, kind=KINDS, server_trouble=st.booleans(), retry_after_s=st.none() | st.floats(0, 100)
)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("sleep"), st.floats(0, 50)),
        st.tuples(st.just("send"), st.integers(1, 30)),
        st.tuples(st.just("answer"), READINGS, st.integers(0, 9)),
        st.tuples(st.just("abandon")),
    ),
    max_size=80,
)
LIMITS = st.builds(RateLimits, rate=st.floats(0.05, 500), burst=st.integers(1, 40), concurrency=st.integers(1, 20))


def _values(limiter: RateLimiter) -> dict[str, object]:
    return {**vars(limiter), "host": vars(limiter.host)}


@given(LIMITS, MOVES, st.floats(0, 1, exclude_max=True))
def test_the_limiter_keeps_its_promises_in_any_order_of_calls(
    limits: RateLimits, moves: list[tuple[object, ...]], chance: float
) -> None:
    limiter, now, sent = RateLimiter(limits, now=NOW), NOW, list[float]()
    for move in moves:
        match move:
            case ("sleep", float(seconds)):
                now += seconds
            case ("send", int(most)):
                for _ in range(most):
                    if limiter.wait_s(now) > 0:
                        break
                    assert now >= limiter.wait_until_at
                    limiter.take(now)
                    sent.append(now)
                    assert limiter.in_flight <= (1 if limiter.probing else limits.concurrency)
            case ("answer", Reading() as reading, int(task)) if limiter.in_flight:
                was_blocked = limiter.blocked
                counting = None if limiter.is_changed_by(reading) else deepcopy(limiter)
                verdict = limiter.answered(reading, task_id=f"task-{task}", now=now, chance=chance).account
                assert (verdict is AccountEffect.BLOCKED) is (limiter.blocked and not was_blocked)
                assert (verdict is AccountEffect.RESTORED) is (was_blocked and not limiter.blocked)
                asked_s = (reading.retry_after_s or 0.0) if reading.kind is ReadingKind.RATE_LIMITED else 0.0
                assert asked_s == 0 or limiter.wait_until_at >= now + asked_s
                if counting is not None:
                    counting.count_answer()
                    assert _values(counting) == _values(limiter)
            case ("abandon",) if limiter.in_flight:
                limiter.abandoned(now=now)
            case _:
                pass
    for first, start in enumerate(sent):
        assert all(
            count <= limits.burst + limits.rate * (end - start) + 1e-3
            for count, end in enumerate(sent[first:], start=1)
        )


@given(LIMITS, st.lists(READINGS, min_size=1, max_size=30), st.floats(0, 1, exclude_max=True))
def test_after_the_limiters_wait_the_next_request_is_always_allowed(
    limits: RateLimits, readings: list[Reading], chance: float
) -> None:
    limiter, now = RateLimiter(limits, now=NOW), NOW
    for count, reading in enumerate(readings):
        for _ in range(3):
            wait_s = limiter.wait_s(now)
            assert wait_s <= 3600
            now += wait_s
        assert limiter.wait_s(now) == 0
        limiter.take(now)
        limiter.answered(reading, task_id=f"task-{count % 7}", now=now, chance=chance)


def test_a_daemon_without_a_portion_of_an_account_sends_nothing() -> None:
    limiter = RateLimiter(RateLimits(), now=0.0)
    limiter.resize(RateLimits().portion(Portion(0, 16)), now=0.0)
    assert limiter.wait_s(0.0) == math.inf
    assert limiter.room(0.0) == 0
    limiter.block(now=0.0)
    assert limiter.wait_s(0.0) == math.inf
    limiter.restore()
    limiter.resize(RateLimits().portion(Portion(8, 16)), now=0.0)
    assert limiter.wait_s(1.0) == 0.0
    assert limiter.room(1.0) == 5  # half of the rate, for a second, and nothing at once


def test_a_drained_limiter_sends_at_its_rate_and_not_at_once() -> None:
    limiter = make_limiter(rate=10.0)
    limiter.drain()
    assert wait(limiter) == 0.1


def test_a_limiter_knows_whether_a_route_may_be_held() -> None:
    limiter = make_limiter()
    assert not limiter.delays_routes
    limiter.delay_route("videos", NOW + 60, now=NOW)
    assert limiter.delays_routes


@pytest.mark.parametrize(("concurrency", "others", "polls"), [(16, 4, 12), (16, 20, 1), (1, 1, 1)])
def test_requests_of_others_leave_one_place_for_polls(concurrency: int, others: int, polls: int) -> None:
    limiter = make_limiter(concurrency=concurrency)
    limiter.others_in_flight = others
    assert limiter.room(NOW) == polls
    for _ in range(polls):
        assert limiter.wait_s(NOW) == 0
        limiter.take(NOW)
    assert limiter.wait_s(NOW) == math.inf
