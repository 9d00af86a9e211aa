from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.host import TROUBLED_TASKS
from bridge.domain.limits import Gate, Limits, Verdict
from bridge.domain.shares import Part
from bridge.domain.task import Kind, Reading
from tests.factories import NOW, make_reading

GOOD = make_reading(Kind.RUNNING)
REFUSED = make_reading(Kind.AUTH_ERROR, detail="401")
DOWN = make_reading(Kind.TRANSIENT, detail="500", server_trouble=True)
GARBAGE = make_reading(Kind.TRANSIENT, detail="not JSON")
LIMITED = make_reading(Kind.RATE_LIMITED)


def make_gate(*, rate: float = 10.0, burst: int = 20, concurrency: int = 16) -> Gate:
    return Gate(Limits(rate=rate, burst=burst, concurrency=concurrency), now=NOW)


def ask(gate: Gate, reading: Reading, *, at: float = 0.0, task: str = "task-1") -> Verdict:
    """One request, answered at once."""
    assert gate.wait_s(NOW + at) == 0
    gate.take(NOW + at)
    return gate.answered(reading, task_id=task, now=NOW + at, chance=0.0)


def wait(gate: Gate, *, at: float = 0.0) -> float:
    return round(gate.wait_s(NOW + at), 5)


# The bucket


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    gate = make_gate(rate=10.0, burst=3)
    for _ in range(3):
        ask(gate, GOOD)
    assert wait(gate) == 0.1
    assert wait(gate, at=0.05) == 0.05
    assert wait(gate, at=0.1001) == 0.0


def test_only_so_many_are_in_flight() -> None:
    gate = make_gate(concurrency=2)
    gate.take(NOW)
    gate.take(NOW)
    assert gate.wait_s(NOW) == math.inf
    gate.abandoned(now=NOW)
    assert gate.wait_s(NOW) == 0.0


def test_new_limits_hold_from_now_on() -> None:
    gate = make_gate(burst=20)
    gate.resize(Limits(rate=1.0, burst=1), now=NOW)
    ask(gate, GOOD)
    assert wait(gate) == 1.0


def test_a_long_sleep_fills_the_bucket_no_further_than_its_brim() -> None:
    gate = make_gate(rate=10.0, burst=5)
    passed = 0
    while gate.wait_s(NOW + 1e6) == 0:
        gate.take(NOW + 1e6)
        passed += 1
    assert passed == 5


def test_a_clock_that_goes_back_neither_storms_nor_freezes() -> None:
    gate = make_gate(rate=10.0, burst=1)
    ask(gate, GOOD, at=100)
    assert wait(gate, at=0) == 0.1


# 429


@pytest.mark.parametrize("hint_s", [None, 0.0])
def test_a_429_without_a_hint_halves_the_rate_which_is_back_within_a_minute(hint_s: float | None) -> None:
    gate = make_gate(rate=10.0, burst=1)
    assert ask(gate, LIMITED._replace(retry_after_s=hint_s)) is Verdict.NOTHING
    rates = []
    for at, tokens_short in ((0, 2), (30, 1), (60, 1), (90, 1)):
        gate.take(NOW + at)
        rates.append(tokens_short / gate.wait_s(NOW + at))
    assert rates == pytest.approx([5.0, 7.5, 10.0, 10.0], rel=0.01)


def test_a_429_takes_what_was_left_of_the_burst() -> None:
    gate = make_gate(rate=10.0, burst=20)
    ask(gate, LIMITED)
    assert wait(gate) == 0.2


def test_the_rate_never_falls_below_a_tenth() -> None:
    gate = make_gate(rate=10.0, burst=1)
    for _ in range(20):
        gate.take(NOW)
        gate.answered(LIMITED, task_id="task-1", now=NOW, chance=0.0)
    ask(gate, LIMITED, at=gate.wait_s(NOW))
    assert gate.wait_s(NOW + 61) == 0.0


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.AUTH_ERROR])
def test_after_an_outage_there_is_no_burst(kind: Kind) -> None:
    gate = make_gate(rate=10.0, burst=20)
    for number in range(TROUBLED_TASKS):
        gate.take(NOW)
        gate.answered(
            make_reading(kind, detail="down", server_trouble=kind is Kind.TRANSIENT),
            task_id=f"task-{number}",
            now=NOW,
            chance=0.0,
        )
    assert wait(gate) > 0
    ask(gate, GOOD, at=600)
    assert not gate.probing
    assert gate.room(NOW + 600) == 1
    assert gate.room(NOW + 601) == 11


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.TRANSIENT])
def test_after_the_time_the_provider_named_there_is_no_burst(kind: Kind) -> None:
    gate = make_gate(rate=10.0, burst=20)
    limited = make_reading(kind, retry_after_s=30.0, server_trouble=kind is Kind.TRANSIENT)
    assert ask(gate, limited) is Verdict.PAUSED
    assert wait(gate, at=29) == 1.0
    gate.resize(Limits(rate=10.0, burst=20), now=NOW + 15)
    assert gate.room(NOW + 30) == 1
    ask(gate, GOOD, at=30)
    assert wait(gate, at=30) == 0.1
    assert gate.room(NOW + 31) == 10


def test_after_a_time_that_the_process_before_or_another_daemon_was_told_there_is_no_burst() -> None:
    gate = make_gate(rate=10.0, burst=20)
    gate.paused_until = NOW + 30.0
    assert gate.room(NOW + 30) == 1
    assert gate.room(NOW + 31) == 11


@pytest.mark.parametrize("task", ["task-1", "task-2"])
def test_nothing_passes_before_the_time_the_provider_named(task: str) -> None:
    gate = make_gate()
    assert ask(gate, LIMITED._replace(retry_after_s=30.0)) is Verdict.PAUSED
    assert gate.paused_until == NOW + 30.0
    assert wait(gate, at=1.0) == 29.0
    assert ask(gate, GOOD, at=30.0, task=task) is Verdict.NOTHING


def test_a_shorter_hint_does_not_shorten_the_pause() -> None:
    gate = make_gate()
    gate.take(NOW)
    gate.take(NOW)
    gate.answered(LIMITED._replace(retry_after_s=60.0), task_id="task-1", now=NOW, chance=0.0)
    gate.answered(LIMITED._replace(retry_after_s=5.0), task_id="task-2", now=NOW, chance=0.0)
    assert wait(gate) == 60.0


# A refused account


@pytest.mark.parametrize("kind", [Kind.AUTH_ERROR, Kind.ACCOUNT_ERROR])
def test_a_refusal_blocks_the_account_until_a_probe_is_answered(kind: Kind) -> None:
    gate = make_gate()
    assert ask(gate, make_reading(kind)) is Verdict.BLOCKED
    assert (gate.blocked, gate.probing, gate.wait_s(NOW)) == (True, True, 60.0)
    assert ask(gate, GOOD, at=60) is Verdict.RESTORED
    assert (gate.blocked, gate.probing, gate.wait_s(NOW + 60)) == (False, False, 0.0)


@pytest.mark.parametrize("answer", [REFUSED, DOWN, GARBAGE, LIMITED])
def test_probes_come_every_minute_growing_to_ten_whatever_unhelpful_they_are_answered(answer: Reading) -> None:
    gate, at, gaps = make_gate(), 0.0, []
    assert ask(gate, REFUSED) is Verdict.BLOCKED
    for count in range(7):
        gap_s = gate.wait_s(NOW + at)
        at += gap_s
        gaps.append(gap_s)
        assert ask(gate, answer, at=at, task=f"task-{count}") is Verdict.NOTHING
        assert gate.blocked
    assert gaps == [60, 120, 240, 480, 600, 600, 600]
    assert ask(gate, GOOD, at=at + 600) is Verdict.RESTORED


def test_one_probe_is_in_flight_at_a_time() -> None:
    gate = make_gate()
    ask(gate, REFUSED)
    gate.take(NOW + 60)
    assert gate.wait_s(NOW + 60) == gate.wait_s(NOW + 1e6) == math.inf
    gate.abandoned(now=NOW + 61)
    assert gate.wait_s(NOW + 61) == 60.0
    assert gate.wait_s(NOW + 121) == 0.0


def test_answers_to_requests_from_before_the_block_change_nothing() -> None:
    gate = make_gate()
    for _ in range(16):
        gate.take(NOW)
    verdicts = [
        gate.answered(reading, task_id=f"task-{count}", now=NOW + count / 10, chance=0.0)
        for count, reading in enumerate([REFUSED, GOOD, REFUSED, DOWN, *[REFUSED] * 12])
    ]
    assert verdicts == [Verdict.BLOCKED] + [Verdict.NOTHING] * 15
    assert gate.blocked
    assert wait(gate) == 60.0


def test_an_account_that_the_store_remembers_as_blocked_is_probed_at_once() -> None:
    gate = make_gate()
    gate.block(now=NOW)
    assert ask(gate, REFUSED) is Verdict.NOTHING
    assert gate.wait_s(NOW) == 60.0
    assert ask(gate, GOOD, at=60) is Verdict.RESTORED


def test_a_task_that_alone_is_refused_blocks_the_account_once() -> None:
    gate = make_gate()
    assert ask(gate, REFUSED, task="foreign") is Verdict.BLOCKED
    assert ask(gate, GOOD, at=60, task="healthy") is Verdict.RESTORED
    assert ask(gate, REFUSED, at=120, task="foreign") is Verdict.NOTHING
    assert not gate.probing
    assert ask(gate, REFUSED, at=121, task="healthy") is Verdict.BLOCKED


def test_a_task_that_was_answered_again_can_block_the_account_again() -> None:
    gate = make_gate()
    assert ask(gate, REFUSED) is Verdict.BLOCKED
    assert ask(gate, GOOD, at=60) is Verdict.RESTORED
    assert ask(gate, REFUSED, at=61) is Verdict.BLOCKED
    assert gate.wait_s(NOW + 61) == 60.0


# A provider in trouble


def in_trouble(*, tasks: int = 5) -> Gate:
    gate = make_gate()
    for count in range(tasks):
        assert ask(gate, DOWN, task=f"task-{count}") is Verdict.NOTHING
    return gate


def test_many_tasks_in_trouble_leave_single_trials() -> None:
    assert not in_trouble(tasks=4).probing
    gate = in_trouble(tasks=5)
    assert gate.probing
    gaps, at = [], 0.0
    for _ in range(6):
        gap_s = gate.wait_s(NOW + at)
        at += gap_s
        gaps.append(gap_s)
        ask(gate, DOWN, at=at)
    assert gaps == [2, 2, 4, 8, 15, 15]  # with chance 0: the lower end of 2, 4, 8, 16, 30, 30


def test_one_good_answer_closes_the_breaker() -> None:
    gate = in_trouble()
    assert ask(gate, GOOD, at=2) is Verdict.NOTHING
    assert not gate.probing
    assert gate.wait_s(NOW + 2) == 0.0


def test_answers_from_before_the_breaker_opened_do_not_lengthen_the_trials() -> None:
    gate = make_gate()
    for _ in range(16):
        gate.take(NOW)
    for count in range(16):
        gate.answered(DOWN, task_id=f"task-{count}", now=NOW, chance=0.0)
    assert gate.wait_s(NOW) == 2.0


def test_a_task_that_always_meets_trouble_opens_nothing_alone() -> None:
    gate = make_gate(rate=1000.0)
    for count in range(100):
        ask(gate, DOWN, at=count, task="poisonous")
    assert not gate.probing


def test_garbage_neither_opens_nor_closes_the_breaker() -> None:
    gate = make_gate()
    for count in range(20):
        ask(gate, GARBAGE, task=f"task-{count}", at=count)
    assert not gate.probing
    gate = in_trouble()
    ask(gate, GARBAGE, at=2)
    assert gate.probing


def test_a_500_whose_body_speaks_of_the_task_is_no_trouble() -> None:
    gate = make_gate()
    for count in range(20):
        ask(gate, make_reading(Kind.NOT_FOUND, server_trouble=True), task=f"task-{count}")
    assert not gate.probing


def test_a_refusal_during_trouble_blocks_with_the_first_probe_after_a_minute() -> None:
    gate = in_trouble()
    assert ask(gate, DOWN, at=2) is Verdict.NOTHING
    assert ask(gate, REFUSED, at=10) is Verdict.BLOCKED
    assert gate.wait_s(NOW + 10) == 60.0
    assert ask(gate, GOOD, at=70) is Verdict.RESTORED
    assert not gate.probing


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
LIMITS = st.builds(Limits, rate=st.floats(0.05, 500), burst=st.integers(1, 40), concurrency=st.integers(1, 20))


@given(LIMITS, MOVES, st.floats(0, 1, exclude_max=True))
def test_the_gate_keeps_its_promises_in_any_order_of_things(
    limits: Limits, moves: list[tuple[object, ...]], chance: float
) -> None:
    gate, now, sent = Gate(limits, now=NOW), NOW, list[float]()
    for move in moves:
        match move:
            case ("sleep", float(seconds)):
                now += seconds
            case ("send", int(most)):
                for _ in range(most):
                    if gate.wait_s(now) > 0:
                        break
                    assert now >= gate.paused_until
                    gate.take(now)
                    sent.append(now)
                    assert gate.in_flight <= (1 if gate.probing else limits.concurrency)
            case ("answer", Reading() as reading, int(task)) if gate.in_flight:
                was_blocked = gate.blocked
                verdict = gate.answered(reading, task_id=f"task-{task}", now=now, chance=chance)
                assert (verdict is Verdict.BLOCKED) is (gate.blocked and not was_blocked)
                assert (verdict is Verdict.RESTORED) is (was_blocked and not gate.blocked)
                asked_s = (reading.retry_after_s or 0.0) if reading.kind is Kind.RATE_LIMITED else 0.0
                assert asked_s == 0 or gate.paused_until >= now + asked_s
            case ("abandon",) if gate.in_flight:
                gate.abandoned(now=now)
            case _:
                pass
    for first, start in enumerate(sent):
        assert all(
            count <= limits.burst + limits.rate * (end - start) + 1e-3
            for count, end in enumerate(sent[first:], start=1)
        )


@given(LIMITS, st.lists(READINGS, min_size=1, max_size=30), st.floats(0, 1, exclude_max=True))
def test_waiting_as_long_as_the_gate_says_always_lets_the_next_request_through(
    limits: Limits, readings: list[Reading], chance: float
) -> None:
    gate, now = Gate(limits, now=NOW), NOW
    for count, reading in enumerate(readings):
        for _ in range(3):
            wait_s = gate.wait_s(now)
            assert wait_s <= 3600
            now += wait_s
        assert gate.wait_s(now) == 0
        gate.take(now)
        gate.answered(reading, task_id=f"task-{count % 7}", now=now, chance=chance)


def test_who_holds_no_part_of_an_account_asks_nothing_until_it_does() -> None:
    gate = Gate(Limits(), now=0.0)
    gate.resize(Limits().part(Part(0, 16)), now=0.0)
    assert gate.wait_s(0.0) == math.inf
    assert gate.room(0.0) == 0
    gate.block(now=0.0)
    assert gate.wait_s(0.0) == math.inf
    gate.restore()
    gate.resize(Limits().part(Part(8, 16)), now=0.0)
    assert gate.wait_s(1.0) == 0.0
    assert gate.room(1.0) == 5  # half of the rate, for a second, and nothing at once
