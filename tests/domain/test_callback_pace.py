from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.callback_pace import (
    CONFIRMED_BY,
    HINTS_PER_S,
    LATE_S,
    MAX_AWAITED,
    PROVEN_BY,
    QUIET_LEAST_S,
    QUIET_MOST_S,
    READ_BURST_BYTES,
    READ_BYTES_PER_S,
    READ_COST_BYTES,
    CallbackReliance,
    HintPace,
    ReadBudget,
    first_of_each,
)
from bridge.domain.ids import WatchKey


def test_five_hints_are_polled_at_once_and_the_sixth_a_second_later() -> None:
    pace = HintPace()
    at = []
    for _ in range(7):
        at.append(pace.next_at(100.0))
        pace.take(at[-1])
    assert at == [100.0] * 5 + [101.0] * 2


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 5)), max_size=60))
def test_no_second_has_more_than_five_hints(steps: list[tuple[float, float]]) -> None:
    pace, now, taken = HintPace(), 0.0, []
    for step_s, delay_s in steps:
        now += step_s
        taken.append(pace.next_at(now, not_before=now + delay_s))
        assert taken[-1] >= now + delay_s
        pace.take(taken[-1])
    for at in taken:
        assert len([other for other in taken if at <= other < at + 1.0 - 1e-9]) <= HINTS_PER_S


def reliance(*gaps_s: float) -> tuple[CallbackReliance, float]:
    """The reliance after a first callback and one more after each of these gaps, and the time of the last callback."""
    made, now = CallbackReliance(), 1000.0
    made.heard(now)
    for gap_s in gaps_s:
        now += gap_s
        made.heard(now)
    return made, now


def test_without_callbacks_polls_are_as_usual() -> None:
    assert CallbackReliance().stretched_s(10.0, 0.0) == 10.0


def test_while_callbacks_arrive_polls_are_four_times_rarer() -> None:
    made, now = reliance(10.0, 10.0)
    assert made.stretched_s(10.0, now) == 40.0


@pytest.mark.parametrize(
    ("gaps_s", "quiet_s"),
    [((), QUIET_LEAST_S), ((1.0,), QUIET_LEAST_S),
     ((45.0, 45.0), 180.0), ((400.0,), QUIET_MOST_S), ((5e3,), QUIET_LEAST_S)],
)  # fmt: skip
def test_callbacks_have_stopped_after_four_times_their_usual_distance(
    gaps_s: tuple[float, ...], quiet_s: float
) -> None:
    made, now = reliance(*gaps_s)
    assert made.stretched_s(1.0, now + quiet_s - 0.1) > 1.0
    assert made.stretched_s(1.0, now + quiet_s) == 1.0


@given(st.floats(0.1, 2000), st.floats(0, 700))
def test_no_poll_is_later_than_one_usual_wait_after_callbacks_have_stopped(wait_s: float, since_s: float) -> None:
    made, now = reliance(30.0)
    at = now + since_s
    assert wait_s <= made.stretched_s(wait_s, at) <= max(wait_s, made.until_at - at + wait_s)


def test_after_a_missing_callback_polls_are_frequent_until_three_callbacks_came() -> None:
    made, now = reliance(10.0)
    made.ended("a", now, announced=False)
    assert made.stretched_s(1.0, now) == 4.0  # it may be late
    made.heard(now + LATE_S)
    assert made.stretched_s(1.0, now + LATE_S) == 1.0
    for number in range(CONFIRMED_BY):
        assert made.stretched_s(1.0, now + LATE_S) == 1.0
        made.ended(f"b{number}", now + LATE_S, announced=True)
    assert made.stretched_s(1.0, now + LATE_S) == 4.0


def test_after_ten_tasks_with_a_callback_polls_are_eight_times_rarer() -> None:
    made, now = reliance(10.0)
    for number in range(PROVEN_BY):
        assert made.stretched_s(1.0, now) == 4.0
        made.ended(f"t{number}", now, announced=True)
    assert made.stretched_s(1.0, now) == 8.0
    made.ended("missed", now, announced=False)
    made.heard(now + LATE_S)
    for number in range(CONFIRMED_BY):
        made.ended(f"b{number}", now + LATE_S, announced=True)
    assert made.stretched_s(1.0, now + LATE_S) == 4.0


def test_a_late_callback_counts_as_one_that_came() -> None:
    made, now = reliance(10.0)
    made.ended("a", now, announced=False)
    assert made.heard_late("a", now + 2)
    assert not made.heard_late("a", now + 3)
    made.heard(now + LATE_S)
    assert made.stretched_s(1.0, now + LATE_S) == 4.0


def test_the_number_of_awaited_late_callbacks_is_limited() -> None:
    made, now = reliance(10.0)
    for number in range(MAX_AWAITED + 1):
        made.ended(f"t{number}", now, announced=False)
    assert made.stretched_s(1.0, now) == 1.0


def test_callbacks_that_never_came_are_not_awaited_once_callbacks_have_stopped() -> None:
    made, now = reliance(10.0)
    made.ended("a", now + QUIET_MOST_S, announced=False)
    assert not made.heard_late("a", now + QUIET_MOST_S)


def test_a_flood_is_read_only_as_far_as_the_budget_goes() -> None:
    budget = ReadBudget()
    assert sum(budget.admits(500, 0.0) for _ in range(10_000)) == READ_BURST_BYTES // (READ_COST_BYTES + 500)
    assert not budget.admits(500, 0.001)
    assert sum(budget.admits(0, 1.0) for _ in range(10_000)) >= READ_BYTES_PER_S // READ_COST_BYTES - 1


def test_the_largest_callback_can_be_read_after_a_quiet_time() -> None:
    budget = ReadBudget()
    assert budget.admits(16 << 20, 0.0)
    assert not budget.admits(16 << 20, 0.0)
    assert budget.admits(16 << 20, 60.0)


def test_only_the_first_tasks_of_each_account_are_taken() -> None:
    one, two, three, other = (WatchKey(*key) for key in (("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")))
    assert first_of_each([one, two, other, three], 2) == ([one, two, other], [three])
    assert first_of_each([], 2) == ([], [])
