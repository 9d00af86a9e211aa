from __future__ import annotations

import math

import pytest

from bridge.domain.host import IN_FLIGHT, TROUBLED_TASKS, Host
from bridge.domain.limits import LONE_PAUSE_S, Gate, Limits, Verdict
from bridge.domain.task import Kind, Reading
from tests.factories import NOW, make_reading

GOOD = make_reading(Kind.RUNNING)
DOWN = make_reading(Kind.TRANSIENT, detail="503", server_trouble=True)
BUSY = DOWN._replace(retry_after_s=30.0)
LIMITED = make_reading(Kind.RATE_LIMITED, retry_after_s=30.0)
REFUSED = make_reading(Kind.AUTH_ERROR, detail="401")


def two_accounts() -> tuple[Gate, Gate]:
    host = Host()
    host.accounts = 2
    limits = Limits(rate=100.0, burst=100, concurrency=16)
    return Gate(limits, now=NOW, account="one", host=host), Gate(limits, now=NOW, account="two", host=host)


def ask(gate: Gate, reading: Reading, task: str, *, at: float = 0.0) -> Verdict:
    assert gate.wait_s(NOW + at) == 0
    gate.take(NOW + at)
    return gate.answered(reading, task_id=task, now=NOW + at, chance=0.0, asked_at=NOW + at)


def test_a_host_that_fails_two_accounts_is_tried_by_one_request_at_a_time_whoever_asks() -> None:
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


def test_accounts_try_a_host_in_trouble_in_turn_and_those_it_has_not_failed_come_first() -> None:
    one, two = two_accounts()
    one.host.accounts = 3
    three = Gate(one.limits, now=NOW, account="three", host=one.host)
    for number in range(TROUBLED_TASKS):
        one.take(NOW)
        one.answered(DOWN, task_id=f"a{number}", now=NOW, chance=0.0)
    ask(two, DOWN, "b")
    assert [gate.wait_s(NOW) for gate in (one, two, three)] == [3.0, 4.0, 2.0]
    ask(three, DOWN, "c", at=2)
    waits = [gate.wait_s(NOW + 2) for gate in (one, two, three)]
    assert waits == sorted(waits)
    assert waits[2] <= waits[0] + 2
    ask(one, DOWN, "a0", at=2 + waits[0])
    assert [gate.wait_s(NOW + 20) for gate in (one, two, three)] == [0, 0, 0]
    ask(three, GOOD, "c", at=20)
    assert two.room(NOW + 20) == 1  # no burst after an outage
    assert two.room(NOW + 20.055) == 6


def test_after_the_time_that_the_host_named_to_one_account_the_others_have_no_burst_either() -> None:
    one, two = two_accounts()
    ask(one, BUSY, "a")
    assert two.wait_s(NOW) == 30.0
    assert one.room(NOW + 30) == two.room(NOW + 30) == 1
    assert two.room(NOW + 30.055) == 6


def test_an_account_whose_5xx_asks_for_time_again_while_others_are_answered_pauses_itself_alone() -> None:
    one, two = two_accounts()
    ask(one, BUSY, "a")
    assert two.wait_s(NOW) == 30.0
    ask(two, GOOD, "c", at=30)
    ask(one, BUSY._replace(retry_after_s=3600.0), "b", at=31)
    assert one.wait_s(NOW + 31) == 3600.0
    assert two.wait_s(NOW + 31) == 0
    ask(one, GOOD, "b", at=3632)
    ask(one, BUSY, "b", at=3633)
    assert two.wait_s(NOW + 3633) == 30.0  # it is believed again


def test_one_account_in_trouble_holds_its_neighbour_back_in_nothing() -> None:
    one, two = two_accounts()
    for number in range(TROUBLED_TASKS):
        ask(one, DOWN, f"a{number}")
    assert one.troubled
    assert not two.troubled
    assert two.room(NOW) == 16


@pytest.mark.parametrize("reading", [LIMITED, REFUSED])
def test_a_429_and_a_refused_key_are_the_accounts_own_affair(reading: Reading) -> None:
    one, two = two_accounts()
    assert ask(one, reading, "a") is not Verdict.NOTHING
    assert one.room(NOW) == 0
    assert two.wait_s(NOW) == 0


def test_a_host_that_asks_for_time_gets_it_from_all_its_accounts() -> None:
    one, two = two_accounts()
    assert ask(one, BUSY, "a") is Verdict.PAUSED
    assert one.wait_s(NOW) == two.wait_s(NOW) == 30.0
    assert two.wait_s(NOW + 30) == 0


def test_one_task_alone_stops_the_others_for_a_minute_at_most_and_two_for_as_long_as_they_say() -> None:
    one, two = two_accounts()
    ask(one, BUSY._replace(retry_after_s=3600.0), "a")
    assert two.wait_s(NOW) == LONE_PAUSE_S
    ask(one, BUSY._replace(retry_after_s=3600.0), "b", at=LONE_PAUSE_S)
    assert two.wait_s(NOW + LONE_PAUSE_S) == 3600.0


def test_a_task_that_asks_for_time_while_others_are_answered_asks_for_itself() -> None:
    one, two = two_accounts()
    ask(one, BUSY, "sick")
    ask(one, GOOD, "well", at=30)
    assert ask(one, BUSY, "sick", at=31) is Verdict.NOTHING
    assert one.wait_s(NOW + 31) == two.wait_s(NOW + 31) == 0
    ask(one, GOOD, "sick", at=32)
    assert ask(one, BUSY, "sick", at=33) is Verdict.PAUSED


def test_what_may_be_in_flight_at_a_host_is_shared_equally() -> None:
    host = Host()
    assert host.share(1000) == 1000
    host.accounts = 8
    assert host.share(16) == 16
    assert host.share(100) == IN_FLIGHT // 8
    host.accounts = 1000
    assert host.share(16) == 1


def test_an_account_that_moves_takes_what_is_in_flight_with_it() -> None:
    one, _ = two_accounts()
    old, new = one.host, Host()
    one.take(NOW)
    one.move(new)
    assert (old.in_flight, new.in_flight) == (0, 1)
    one.answered(GOOD, task_id="a", now=NOW, chance=0.0)
    assert (old.in_flight, new.in_flight) == (0, 0)
    one.take(NOW)
    one.abandoned(now=NOW)
    assert new.in_flight == 0


def test_answers_to_what_was_in_flight_at_a_429_halve_the_rate_no_further() -> None:
    gate = Gate(Limits(rate=100.0, burst=16, concurrency=16), now=NOW)
    limited = make_reading(Kind.RATE_LIMITED)
    for _ in range(16):
        gate.take(NOW)
    for number in range(16):
        gate.answered(limited, task_id=f"t{number}", now=NOW + 1, chance=0.0, asked_at=NOW)
    gate.take(NOW + 1)
    assert 1 / gate.wait_s(NOW + 1) == pytest.approx(50.0 / 2, rel=0.05)  # two tokens short at half the rate
