from __future__ import annotations

import math

import pytest

from bridge.domain.host_limits import IN_FLIGHT, TROUBLED_TASKS, HostLimits
from bridge.domain.rate_limiter import AccountEffect, AnswerEffects, RateLimiter, RateLimits
from bridge.domain.task import Reading, ReadingKind
from tests.factories import NOW, make_reading

GOOD = make_reading(ReadingKind.RUNNING)
DOWN = make_reading(ReadingKind.TRANSIENT, detail="503", server_trouble=True)
BUSY = DOWN._replace(retry_after_s=30.0)
LIMITED = make_reading(ReadingKind.RATE_LIMITED, retry_after_s=30.0)
REFUSED = make_reading(ReadingKind.AUTH_ERROR, detail="401")


def two_accounts() -> tuple[RateLimiter, RateLimiter]:
    host = HostLimits()
    host.accounts = ("one", "two")
    limits = RateLimits(rate=100.0, burst=100, concurrency=16)
    return RateLimiter(limits, now=NOW, account="one", host=host), RateLimiter(
        limits, now=NOW, account="two", host=host
    )


def ask(limiter: RateLimiter, reading: Reading, task: str, *, at: float = 0.0) -> AccountEffect:
    assert limiter.wait_s(NOW + at) == 0
    limiter.take(NOW + at)
    return limiter.answered(reading, task_id=task, now=NOW + at, chance=0.0, asked_at=NOW + at).account


def test_a_host_that_fails_two_accounts_gets_one_request_at_a_time() -> None:
    one, two = two_accounts()
    for number in range(TROUBLED_TASKS - 1):
        ask(one, DOWN, f"a{number}")
    assert two.room(NOW) == 16
    ask(two, DOWN, "b")
    assert two.troubled
    assert (one.wait_s(NOW), two.wait_s(NOW)) == (2.0, 3.0)
    two.take(NOW + 2)
    assert one.wait_s(NOW + 2) == math.inf
    two.answered(GOOD, task_id="b", now=NOW + 2, chance=0.0)
    assert one.wait_s(NOW + 2) == two.wait_s(NOW + 2) == 0


def test_accounts_probe_a_failing_host_in_turn_and_new_ones_come_first() -> None:
    one, two = two_accounts()
    one.host.accounts = ("one", "two", "three")
    three = RateLimiter(one.limits, now=NOW, account="three", host=one.host)
    for number in range(TROUBLED_TASKS):
        one.take(NOW)
        one.answered(DOWN, task_id=f"a{number}", now=NOW, chance=0.0)
    ask(two, DOWN, "b")
    assert [limiter.wait_s(NOW) for limiter in (one, two, three)] == [3.0, 4.0, 2.0]
    ask(three, DOWN, "c", at=2)
    waits = [limiter.wait_s(NOW + 2) for limiter in (one, two, three)]
    assert waits == sorted(waits)
    assert waits[2] <= waits[0] + 2
    ask(one, DOWN, "a0", at=2 + waits[0])
    assert [limiter.wait_s(NOW + 20) for limiter in (one, two, three)] == [0, 0, 0]
    ask(three, GOOD, "c", at=20)
    assert two.room(NOW + 20) == 1  # no burst after an outage
    assert two.room(NOW + 20.055) == 6


def test_other_accounts_on_the_host_do_not_change_an_accounts_retry_time() -> None:
    one, two = two_accounts()
    ask(two, GOOD, "c")
    ask(one, BUSY._replace(retry_after_s=3600.0), "a")
    for at in range(0, 3600, 5):
        ask(two, GOOD, "c", at=at)
        assert one.wait_s(NOW + at) == 3600.0 - at
    assert one.wait_s(NOW + 3600) == 0


def test_a_retry_time_of_one_account_does_not_delay_an_idle_account() -> None:
    one, two = two_accounts()
    ask(one, BUSY, "a")
    assert two.room(NOW) == 16


def test_accounts_that_fail_alternately_delay_only_themselves() -> None:
    one, two = two_accounts()
    ask(one, GOOD, "a")
    for turn in range(0, 600, 60):
        sick, well = (one, two) if turn % 120 else (two, one)
        ask(well, GOOD, "b", at=turn)
        ask(sick, BUSY, "a", at=turn)
        assert well.room(NOW + turn) > 0
        assert sick.wait_s(NOW + turn) == 30.0
        ask(well, GOOD, "b", at=turn + 1)
        ask(sick, GOOD, "a", at=turn + 30)


def test_a_retry_time_on_one_route_does_not_delay_other_routes() -> None:
    one, two = two_accounts()
    ask(two, GOOD, "c")
    one.take(NOW)
    one.answered(BUSY, task_id="a", route="videos/text2video", now=NOW, chance=0.0)
    assert one.opens_at("videos/text2video", NOW) == NOW + 30
    assert one.opens_at("images/generations", NOW) <= NOW
    assert one.wait_s(NOW) == 0
    one.delay_route("videos/text2video", NOW + 10, now=NOW)
    assert one.opens_at("videos/text2video", NOW + 29) == NOW + 30  # a shorter Retry-After does not shorten it
    assert one.opens_at("videos/text2video", NOW + 30) <= NOW + 30
    assert one.room(NOW + 30) == 1  # no burst on a route that has just opened
    one.delay_route("videos/text2video", NOW + 20, now=NOW + 30)
    assert one.opens_at("videos/text2video", NOW + 30) <= NOW + 30


def test_a_failing_account_does_not_delay_others_on_its_host() -> None:
    one, two = two_accounts()
    for number in range(TROUBLED_TASKS):
        ask(one, DOWN, f"a{number}")
    assert one.troubled
    assert not two.troubled
    assert two.room(NOW) == 16


@pytest.mark.parametrize("reading", [LIMITED, REFUSED])
def test_a_429_or_a_rejected_key_affects_only_its_account(reading: Reading) -> None:
    one, two = two_accounts()
    assert ask(one, reading, "a") is not AccountEffect.NOTHING
    assert one.room(NOW) == 0
    assert two.wait_s(NOW) == 0


def test_a_retry_time_for_one_task_holds_all_tasks_of_the_account() -> None:
    one, two = two_accounts()
    ask(two, GOOD, "c")
    assert ask(one, BUSY._replace(retry_after_s=3600.0), "a") is AccountEffect.ASKED_TO_WAIT
    assert one.wait_s(NOW) == 3600.0


def test_a_retry_time_holds_only_its_task_while_others_are_answered() -> None:
    one, two = two_accounts()
    ask(one, BUSY, "sick")
    ask(one, GOOD, "well", at=30)
    assert ask(one, BUSY, "sick", at=31) is AccountEffect.NOTHING
    assert one.wait_s(NOW + 31) == two.wait_s(NOW + 31) == 0
    ask(one, GOOD, "sick", at=32)
    assert ask(one, BUSY, "sick", at=33) is AccountEffect.ASKED_TO_WAIT


def test_requests_in_flight_at_a_host_are_shared_equally() -> None:
    host = HostLimits()
    assert host.share(1000) == 1000
    host.accounts = tuple("abcdefgh")
    assert host.share(16) == 16
    assert host.share(100) == IN_FLIGHT // 8
    host.accounts = [str(number) for number in range(1000)]
    assert host.share(16) == 1


def test_an_account_that_moves_takes_what_is_in_flight_with_it() -> None:
    one, _ = two_accounts()
    old, new = one.host, HostLimits()
    one.take(NOW)
    one.move(new)
    assert (old.in_flight, new.in_flight) == (0, 1)
    one.answered(GOOD, task_id="a", now=NOW, chance=0.0)
    assert (old.in_flight, new.in_flight) == (0, 0)
    one.take(NOW)
    one.abandoned(now=NOW)
    assert new.in_flight == 0


def test_requests_in_flight_at_a_429_halve_the_rate_no_further() -> None:
    limiter = RateLimiter(RateLimits(rate=100.0, burst=16, concurrency=16), now=NOW)
    limited = make_reading(ReadingKind.RATE_LIMITED)
    for _ in range(16):
        limiter.take(NOW)
    for number in range(16):
        limiter.answered(limited, task_id=f"t{number}", now=NOW + 1, chance=0.0, asked_at=NOW)
    limiter.take(NOW + 1)
    assert 1 / limiter.wait_s(NOW + 1) == pytest.approx(50.0 / 2, rel=0.05)  # two tokens short at half the rate


def test_an_answer_says_what_it_changed_at_the_host() -> None:
    one, two = two_accounts()
    for number in range(TROUBLED_TASKS - 1):
        ask(one, DOWN, f"a{number}")
    two.take(NOW)
    opened = two.answered(DOWN, task_id="b", now=NOW, chance=0.0)
    assert opened == AnswerEffects(AccountEffect.NOTHING, False, ("one", "two"), True)
    two.take(NOW + 3)
    closed = two.answered(GOOD, task_id="b", now=NOW + 3, chance=0.0)
    assert closed == AnswerEffects(AccountEffect.NOTHING, True, ("one", "two"), True)
    two.take(NOW + 4)
    asked = two.answered(BUSY, task_id="b", now=NOW + 4, chance=0.0)
    assert asked == AnswerEffects(AccountEffect.ASKED_TO_WAIT, False, (), False)
