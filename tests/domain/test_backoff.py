from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.backoff import RetryPlan, growing_s, parse_retry_after, retry_in_s

CHANCE = st.floats(0, 1, exclude_max=True)
DATE = "Sat, 01 Nov 2025 12:00:00 GMT"
DOCUMENTED = RetryPlan(steps_s=(5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))


def test_each_failure_uses_the_next_step_until_the_plan_is_used_up() -> None:
    waits = [retry_in_s(DOCUMENTED, attempts, retry_after_s=None, chance=0.0) for attempts in range(1, 11)]
    assert waits == [*DOCUMENTED.steps_s, None]


def test_an_empty_plan_allows_one_attempt() -> None:
    assert retry_in_s(RetryPlan(steps_s=()), 1, retry_after_s=5.0, chance=0.0) is None


@pytest.mark.parametrize(
    ("hint_s", "wait_s"),
    [(None, 300.0), (0.0, 300.0), (299.0, 300.0), (1000.0, 1000.0), (86_400.0, 86_400.0), (1e9, 86_400.0)],
)
def test_a_longer_retry_after_replaces_the_step_up_to_the_longest(hint_s: float | None, wait_s: float) -> None:
    assert retry_in_s(DOCUMENTED, 2, retry_after_s=hint_s, chance=0.0) == wait_s


@given(
    st.lists(st.floats(0.001, 1e6), min_size=1, max_size=12).map(tuple),
    st.none() | st.floats(0, 1e9),
    CHANCE,
    st.data(),
)
def test_jitter_adds_at_most_a_fifth_and_never_takes_away(
    steps_s: tuple[float, ...], hint_s: float | None, chance: float, data: st.DataObject
) -> None:
    plan, attempts = RetryPlan(steps_s=steps_s), data.draw(st.integers(1, len(steps_s)))
    plain_s = retry_in_s(plan, attempts, retry_after_s=hint_s, chance=0.0)
    wait_s = retry_in_s(plan, attempts, retry_after_s=hint_s, chance=chance)
    assert plain_s is not None
    assert wait_s is not None
    assert steps_s[attempts - 1] <= plain_s <= wait_s <= 1.2 * plain_s <= 1.2 * max(steps_s)


def test_backoff_doubles_until_its_cap() -> None:
    waits = [growing_s(failures, first_s=2.0, most_s=60.0, chance=1.0) for failures in range(8)]
    assert waits == [2.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


@given(st.integers(0, 10**9), st.floats(0.01, 100), st.floats(0.01, 1e4), CHANCE)
def test_backoff_stays_within_bounds_and_in_the_upper_half_of_its_step(
    failures: int, first_s: float, most_s: float, chance: float
) -> None:
    wait_s = growing_s(failures, first_s=first_s, most_s=most_s, chance=chance)
    assert min(first_s, most_s) <= wait_s <= most_s
    assert wait_s >= growing_s(failures, first_s=first_s, most_s=most_s, chance=1.0) / 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("1.5", 1.5),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("1e9", 3600.0),
        ("9" * 400, 3600.0),
        ("-5", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("30 seconds", None),
        ("Sat, 01 Nov 2025 12:01:30 GMT", 90.0),
        ("Saturday, 01-Nov-25 12:01:30 GMT", 90.0),
        ("Sat Nov  1 12:01:30 2025", 90.0),
        ("Sat, 01 Nov 2025 14:01:30 +0200", 90.0),
        ("Sun, 02 Nov 2025 12:00:00 GMT", 3600.0),
        ("Sat, 01 Nov 2025 11:59:59 GMT", None),
        ("Sat, 99 Nov 2025 12:00:00 GMT", None),
        ("Sat, 01 Nov 99999 12:00:00 GMT", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, date=DATE) == seconds


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sat, 99 Nov 2025 12:00:00 GMT"])
def test_a_date_means_nothing_without_the_answers_own_date(date: str | None) -> None:
    assert parse_retry_after("Sat, 01 Nov 2025 12:01:30 GMT", date=date) is None


def test_a_retry_after_in_seconds_needs_no_date() -> None:
    assert parse_retry_after("30", date=None) == 30.0


@pytest.mark.parametrize(("value", "seconds"), [("30, 60", 60.0), ("60,30", 60.0), ("30, soon", None)])
def test_the_longest_of_joined_waits_counts(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, date=DATE) == seconds


def test_a_receivers_retry_after_may_have_another_maximum() -> None:
    assert parse_retry_after("1e9", date=None, most_s=86_400.0) == 86_400.0


@given(st.integers(0, 2**31), st.integers(-(10**6), 10**6))
def test_only_the_difference_of_two_dates_counts(date_s: int, ahead_s: int) -> None:
    date = formatdate(date_s, usegmt=True)
    value = formatdate(date_s + ahead_s, usegmt=True)
    assert parse_retry_after(value, date=date) == (min(ahead_s, 3600.0) if ahead_s >= 0 else None)


@given(st.none() | st.text(max_size=60), st.none() | st.text(max_size=60))
def test_no_text_makes_reading_the_hint_fail(value: str | None, date: str | None) -> None:
    seconds = parse_retry_after(value, date=date)
    assert seconds is None or 0 <= seconds <= 3600


def test_a_plan_knows_its_longest_wait_and_its_longest_hold() -> None:
    assert RetryPlan(steps_s=(5.0, 600.0)).longest_s == 720.0
    assert RetryPlan(steps_s=(5.0,)).longest_s == 360.0, "after a request without an answer"
    assert RetryPlan(steps_s=(5.0, 600.0)).most_wait_s == 720.0
    assert RetryPlan(steps_s=()).most_wait_s == 4320.0
