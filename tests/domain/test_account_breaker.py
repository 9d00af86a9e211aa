"""A rejected or failing account gets single probes."""

from __future__ import annotations

import math

import pytest

from bridge.domain.rate_limiter import AccountEffect, RateLimiter
from bridge.domain.task import Reading, ReadingKind
from tests.domain.limiter_answers import DOWN, GARBAGE, GOOD, LIMITED, REFUSED, UNSENT, ask, make_limiter, wait
from tests.factories import NOW, make_reading

# A refused account


@pytest.mark.parametrize("kind", [ReadingKind.AUTH_ERROR, ReadingKind.ACCOUNT_ERROR])
def test_a_refusal_blocks_the_account_until_a_probe_is_answered(kind: ReadingKind) -> None:
    limiter = make_limiter()
    assert ask(limiter, make_reading(kind)) is AccountEffect.BLOCKED
    assert (limiter.blocked, limiter.probing, limiter.wait_s(NOW)) == (True, True, 60.0)
    assert ask(limiter, GOOD, at=60) is AccountEffect.RESTORED
    assert (limiter.blocked, limiter.probing, limiter.wait_s(NOW + 60)) == (False, False, 0.0)


@pytest.mark.parametrize("answer", [REFUSED, DOWN, GARBAGE, LIMITED, UNSENT])
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
        limiter.answered(reading, task_id=f"task-{count}", now=NOW + count / 10, chance=0.0).account
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


def test_answers_from_before_the_breaker_opened_do_not_delay_probes() -> None:
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
        ask(limiter, make_reading(ReadingKind.NOT_FOUND, server_trouble=True), task=f"task-{count}")
    assert not limiter.probing


def test_a_refusal_during_an_outage_blocks_and_is_probed_after_a_minute() -> None:
    limiter = in_trouble()
    assert ask(limiter, DOWN, at=2) is AccountEffect.NOTHING
    assert ask(limiter, REFUSED, at=10) is AccountEffect.BLOCKED
    assert limiter.wait_s(NOW + 10) == 60.0
    assert ask(limiter, GOOD, at=70) is AccountEffect.RESTORED
    assert not limiter.probing


def test_a_blocked_account_has_room_for_a_single_probe() -> None:
    limiter = make_limiter()
    limiter.block(now=NOW)
    assert limiter.room(NOW) == 1
