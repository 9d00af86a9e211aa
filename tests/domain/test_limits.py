from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.host import TROUBLED_TASKS
from bridge.domain.limits import AccountEffect, RateLimiter, RateLimits
from bridge.domain.slots import Portion
from bridge.domain.task import Kind, Reading
from tests.factories import NOW, make_reading

GOOD = make_reading(Kind.RUNNING)
REFUSED = make_reading(Kind.AUTH_ERROR, detail="401")
DOWN = make_reading(Kind.TRANSIENT, detail="500", server_trouble=True)
GARBAGE = make_reading(Kind.TRANSIENT, detail="not JSON")
LIMITED = make_reading(Kind.RATE_LIMITED)


def make_limiter(*, rate: float = 10.0, burst: int = 20, concurrency: int = 16) -> RateLimiter:
    return RateLimiter(RateLimits(rate=rate, burst=burst, concurrency=concurrency), now=NOW)


def ask(limiter: RateLimiter, reading: Reading, *, at: float = 0.0, task: str = "task-1") -> AccountEffect:
    """One request, answered at once."""
    assert limiter.wait_s(NOW + at) == 0
    limiter.take(NOW + at)
    return limiter.answered(reading, task_id=task, now=NOW + at, chance=0.0)


def wait(limiter: RateLimiter, *, at: float = 0.0) -> float:
    return round(limiter.wait_s(NOW + at), 5)


# The bucket


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    limiter = make_limiter(rate=10.0, burst=3)
    for _ in range(3):
        ask(limiter, GOOD)
    assert wait(limiter) == 0.1
    assert wait(limiter, at=0.05) == 0.05
    assert wait(limiter, at=0.1001) == 0.0


def test_only_so_many_are_in_flight() -> None:
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


def test_a_long_pause_never_overfills_the_bucket() -> None:
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
def test_a_429_without_a_hint_halves_the_rate_which_is_back_within_a_minute(hint_s: float | None) -> None:
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


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.AUTH_ERROR])
def test_after_an_outage_there_is_no_burst(kind: Kind) -> None:
    limiter = make_limiter(rate=10.0, burst=20)
    for number in range(TROUBLED_TASKS):
        limiter.take(NOW)
        limiter.answered(
            make_reading(kind, detail="down", server_trouble=kind is Kind.TRANSIENT),
            task_id=f"task-{number}",
            now=NOW,
            chance=0.0,
        )
    assert wait(limiter) > 0
    ask(limiter, GOOD, at=600)
    assert not limiter.probing
    assert limiter.room(NOW + 600) == 1
    assert limiter.room(NOW + 601) == 11


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.TRANSIENT])
def test_after_a_retry_after_there_is_no_burst(kind: Kind) -> None:
    limiter = make_limiter(rate=10.0, burst=20)
    limited = make_reading(kind, retry_after_s=30.0, server_trouble=kind is Kind.TRANSIENT)
    assert ask(limiter, limited) is AccountEffect.PAUSED
    assert wait(limiter, at=29) == 1.0
    limiter.resize(RateLimits(rate=10.0, burst=20), now=NOW + 15)
    assert limiter.room(NOW + 30) == 1
    ask(limiter, GOOD, at=30)
    assert wait(limiter, at=30) == 0.1
    assert limiter.room(NOW + 31) == 10


def test_after_a_stored_or_shared_pause_there_is_no_burst() -> None:
    limiter = make_limiter(rate=10.0, burst=20)
    limiter.paused_until = NOW + 30.0
    assert limiter.room(NOW + 30) == 1
    assert limiter.room(NOW + 31) == 11


@pytest.mark.parametrize("task", ["task-1", "task-2"])
def test_nothing_passes_before_the_end_of_a_retry_after(task: str) -> None:
    limiter = make_limiter()
    assert ask(limiter, LIMITED._replace(retry_after_s=30.0)) is AccountEffect.PAUSED
    assert limiter.paused_until == NOW + 30.0
    assert wait(limiter, at=1.0) == 29.0
    assert ask(limiter, GOOD, at=30.0, task=task) is AccountEffect.NOTHING


def test_a_shorter_hint_does_not_shorten_the_pause() -> None:
    limiter = make_limiter()
    limiter.take(NOW)
    limiter.take(NOW)
    limiter.answered(LIMITED._replace(retry_after_s=60.0), task_id="task-1", now=NOW, chance=0.0)
    limiter.answered(LIMITED._replace(retry_after_s=5.0), task_id="task-2", now=NOW, chance=0.0)
    assert wait(limiter) == 60.0


# A refused account


@pytest.mark.parametrize("kind", [Kind.AUTH_ERROR, Kind.ACCOUNT_ERROR])
def test_a_refusal_blocks_the_account_until_a_probe_is_answered(kind: Kind) -> None:
    limiter = make_limiter()
    assert ask(limiter, make_reading(kind)) is AccountEffect.BLOCKED
    assert (limiter.blocked, limiter.probing, limiter.wait_s(NOW)) == (True, True, 60.0)
    assert ask(limiter, GOOD, at=60) is AccountEffect.RESTORED
    assert (limiter.blocked, limiter.probing, limiter.wait_s(NOW + 60)) == (False, False, 0.0)


@pytest.mark.parametrize("answer", [REFUSED, DOWN, GARBAGE, LIMITED])
def test_probes_are_sent_every_one_to_ten_minutes_while_answers_are_unusable(answer: Reading) -> None:
    limiter, at, gaps = make_limiter(), 0.0, []
    assert ask(limiter, REFUSED) is AccountEffect.BLOCKED
    for count in range(7):
        gap_s = limiter.wait_s(NOW + at)
        at += gap_s
        gaps.append(gap_s)
        assert ask(limiter, answer, at=at, task=f"task-{count}") is AccountEffect.NOTHING
        assert limiter.blocked
    assert gaps == [60, 120, 240, 480, 600, 600, 600]
    assert ask(limiter, GOOD, at=at + 600) is AccountEffect.RESTORED


def test_one_probe_is_in_flight_at_a_time() -> None:
    limiter = make_limiter()
    ask(limiter, REFUSED)
    limiter.take(NOW + 60)
    assert limiter.wait_s(NOW + 60) == limiter.wait_s(NOW + 1e6) == math.inf
    limiter.abandoned(now=NOW + 61)
    assert limiter.wait_s(NOW + 61) == 60.0
    assert limiter.wait_s(NOW + 121) == 0.0


def test_answers_to_requests_from_before_the_block_change_nothing() -> None:
    limiter = make_limiter()
    for _ in range(16):
        limiter.take(NOW)
    verdicts = [
        limiter.answered(reading, task_id=f"task-{count}", now=NOW + count / 10, chance=0.0)
        for count, reading in enumerate([REFUSED, GOOD, REFUSED, DOWN, *[REFUSED] * 12])
    ]
    assert verdicts == [AccountEffect.BLOCKED] + [AccountEffect.NOTHING] * 15
    assert limiter.blocked
    assert wait(limiter) == 60.0


def test_an_account_that_the_store_remembers_as_blocked_is_probed_at_once() -> None:
    limiter = make_limiter()
    limiter.block(now=NOW)
    assert ask(limiter, REFUSED) is AccountEffect.NOTHING
    assert limiter.wait_s(NOW) == 60.0
    assert ask(limiter, GOOD, at=60) is AccountEffect.RESTORED


def test_a_single_refused_task_blocks_the_account_once() -> None:
    limiter = make_limiter()
    assert ask(limiter, REFUSED, task="foreign") is AccountEffect.BLOCKED
    assert ask(limiter, GOOD, at=60, task="healthy") is AccountEffect.RESTORED
    assert ask(limiter, REFUSED, at=120, task="foreign") is AccountEffect.NOTHING
    assert not limiter.probing
    assert ask(limiter, REFUSED, at=121, task="healthy") is AccountEffect.BLOCKED


def test_a_task_that_was_answered_again_can_block_the_account_again() -> None:
    limiter = make_limiter()
    assert ask(limiter, REFUSED) is AccountEffect.BLOCKED
    assert ask(limiter, GOOD, at=60) is AccountEffect.RESTORED
    assert ask(limiter, REFUSED, at=61) is AccountEffect.BLOCKED
    assert limiter.wait_s(NOW + 61) == 60.0


# A provider in trouble


def in_trouble(*, tasks: int = 5) -> RateLimiter:
    limiter = make_limiter()
    for count in range(tasks):
        assert ask(limiter, DOWN, task=f"task-{count}") is AccountEffect.NOTHING
    return limiter


def test_many_failing_tasks_allow_only_single_probes() -> None:
    assert not in_trouble(tasks=4).probing
    limiter = in_trouble(tasks=5)
    assert limiter.probing
    gaps, at = [], 0.0
    for _ in range(6):
        gap_s = limiter.wait_s(NOW + at)
        at += gap_s
        gaps.append(gap_s)
        ask(limiter, DOWN, at=at)
    assert gaps == [2, 2, 4, 8, 15, 15]  # with chance 0: the lower end of 2, 4, 8, 16, 30, 30


def test_one_good_answer_closes_the_breaker() -> None:
    limiter = in_trouble()
    assert ask(limiter, GOOD, at=2) is AccountEffect.NOTHING
    assert not limiter.probing
    assert limiter.wait_s(NOW + 2) == 0.0


def test_answers_from_before_the_breaker_opened_do_not_lengthen_the_trials() -> None:
    limiter = make_limiter()
    for _ in range(16):
        limiter.take(NOW)
    for count in range(16):
        limiter.answered(DOWN, task_id=f"task-{count}", now=NOW, chance=0.0)
    assert limiter.wait_s(NOW) == 2.0


def test_a_single_failing_task_does_not_open_the_breaker() -> None:
    limiter = make_limiter(rate=1000.0)
    for count in range(100):
        ask(limiter, DOWN, at=count, task="poisonous")
    assert not limiter.probing


def test_unreadable_answers_neither_open_nor_close_the_breaker() -> None:
    limiter = make_limiter()
    for count in range(20):
        ask(limiter, GARBAGE, task=f"task-{count}", at=count)
    assert not limiter.probing
    limiter = in_trouble()
    ask(limiter, GARBAGE, at=2)
    assert limiter.probing


def test_a_500_about_the_task_does_not_count_as_a_server_failure() -> None:
    limiter = make_limiter()
    for count in range(20):
        ask(limiter, make_reading(Kind.NOT_FOUND, server_trouble=True), task=f"task-{count}")
    assert not limiter.probing


def test_a_refusal_during_an_outage_blocks_with_the_first_probe_after_a_minute() -> None:
    limiter = in_trouble()
    assert ask(limiter, DOWN, at=2) is AccountEffect.NOTHING
    assert ask(limiter, REFUSED, at=10) is AccountEffect.BLOCKED
    assert limiter.wait_s(NOW + 10) == 60.0
    assert ask(limiter, GOOD, at=70) is AccountEffect.RESTORED
    assert not limiter.probing


# Any order of things

KINDS = st.sampled_from(Kind)
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
                    assert now >= limiter.paused_until
                    limiter.take(now)
                    sent.append(now)
                    assert limiter.in_flight <= (1 if limiter.probing else limits.concurrency)
            case ("answer", Reading() as reading, int(task)) if limiter.in_flight:
                was_blocked = limiter.blocked
                verdict = limiter.answered(reading, task_id=f"task-{task}", now=now, chance=chance)
                assert (verdict is AccountEffect.BLOCKED) is (limiter.blocked and not was_blocked)
                assert (verdict is AccountEffect.RESTORED) is (was_blocked and not limiter.blocked)
                asked_s = (reading.retry_after_s or 0.0) if reading.kind is Kind.RATE_LIMITED else 0.0
                assert asked_s == 0 or limiter.paused_until >= now + asked_s
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
def test_waiting_as_long_as_the_limiter_says_always_lets_the_next_request_through(
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


def test_a_blocked_account_has_room_for_a_single_probe() -> None:
    limiter = make_limiter()
    limiter.block(now=NOW)
    assert limiter.room(NOW) == 1


def test_a_limiter_knows_whether_a_route_may_be_held() -> None:
    limiter = make_limiter()
    assert not limiter.holds_routes
    limiter.hold("videos", NOW + 60, now=NOW)
    assert limiter.holds_routes
