from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.durations.bins import BINS
from bridge.domain.durations.budget import LEAST, MOST, WORTH, Budget
from bridge.domain.durations.fit import Fit, fit
from bridge.domain.durations.poll_rate import Bounds, expected_polls, poll_rate, together_in_s
from bridge.domain.durations.progress import ProgressTrend, next_by_progress_in_s, trend_after
from bridge.domain.durations.table import MOST as MOST_SUM
from bridge.domain.durations.table import Table

BOUNDS = Bounds(min_s=2.0, max_s=300.0)
AGES = st.floats(0, 1e7)
SUMS = st.floats(0, MOST_SUM)


def learned(median_s: float, *, spread: float = 0.3, number: int = 100, seed: int = 1) -> Table:
    chance, made = random.Random(seed), Table()
    for _ in range(number):
        duration_s = median_s * math.exp(chance.gauss(0, spread))
        made.seen(0.0, duration_s)
        made.ended([duration_s], succeeded=True)
    return made


@st.composite
def any_table(draw: st.DrawFn) -> Table:
    """Any table that can be read from a store, even one that no tasks can produce."""

    def bins() -> list[float]:
        filled = draw(st.dictionaries(st.integers(0, BINS - 1), SUMS, max_size=4))
        rest = draw(st.sampled_from([0.0, 1e-300, 1.0, MOST_SUM]))
        return [filled.get(place, rest) for place in range(BINS)]

    signed = st.lists(st.floats(-MOST_SUM, MOST_SUM), min_size=3, max_size=3)
    form = {
        "count": draw(st.integers(0, 10**9)),
        "logs": draw(signed),
        "errors": draw(signed),
        "ends": bins(),
        "exposure_s": bins(),
    }
    return Table.from_text(json.dumps(form))


def test_without_observations_a_task_is_expected_to_take_a_minute_or_two() -> None:
    found = fit(Table())
    assert 60 < found.quantile_s(0.0, 0.5) < 120
    assert found.support == 0
    assert found.survival(0.0, 0.0) == 1.0


def test_observed_durations_are_expected_again() -> None:
    found = fit(learned(60.0))
    assert found.quantile_s(0.0, 0.5) == pytest.approx(60.0, rel=0.15)
    assert found.quantile_s(0.0, 0.1) == pytest.approx(60.0 * math.exp(-0.3 * 1.28), rel=0.25)
    assert found.quantile_s(0.0, 0.9) == pytest.approx(60.0 * math.exp(0.3 * 1.28), rel=0.35)
    assert found.quantile_s(80.0, 0.5) > 80.0
    assert found.survival(30.0, 200.0) < 0.1


def test_a_new_kind_starts_with_the_durations_of_similar_tasks() -> None:
    alone, helped = fit(Table()), fit(Table(), learned(400.0))
    assert abs(helped.quantile_s(0.0, 0.5) - 400) < abs(alone.quantile_s(0.0, 0.5) - 400) / 3
    own = fit(learned(30.0, number=60), learned(400.0))
    assert own.quantile_s(0.0, 0.5) == pytest.approx(30.0, rel=0.2)


def test_a_finish_during_a_long_gap_is_placed_where_finishes_are_likely() -> None:
    ages = fit(learned(60.0)).between(20.0, 3600.0)
    assert ages == sorted(ages)
    assert 30 < ages[4] < 100
    late = fit(learned(60.0)).between(20_000.0, 20_000.001)
    assert all(20_000 <= age_s <= 20_001 for age_s in late)


@given(any_table(), any_table(), AGES, AGES, st.floats(0.01, 0.99))
def test_no_stored_table_makes_an_invalid_fit(
    own: Table, similar: Table, one: float, other: float, probability: float
) -> None:
    found = fit(own, similar)
    assert all(0 < each < math.inf for each in found.hazards)
    assert 0.0 <= found.survival(one, other) <= 1.0
    assert one <= found.quantile_s(one, probability) * (1 + 1e-9) < math.inf
    assert math.isfinite(found.bias)
    assert 0.1 <= found.error <= 3.0
    assert all(math.isfinite(age_s) for age_s in found.between(min(one, other), max(one, other)))


@given(any_table(), AGES, st.floats(0.001, 1e3), st.floats(0, 1e5), st.floats(1e-6, 1e6))
def test_every_wait_is_within_its_bounds(own: Table, age_s: float, min_s: float, more_s: float, worth: float) -> None:
    bounds, found = Bounds(min_s=min_s, max_s=min_s + more_s), fit(own)
    made = poll_rate(found, worth=worth, bounds=bounds)
    assert bounds.min_s <= made.next_in_s(age_s) <= bounds.max_s
    assert bounds.min_s <= together_in_s([(found, age_s)] * 3, worth=worth, bounds=bounds) <= bounds.max_s
    assert expected_polls(found, made) > 0


@given(any_table(), AGES, st.floats(1e-3, 1e12), st.floats(0.01, 10))
def test_a_poll_by_forecast_respects_the_interval_limits(own: Table, age_s: float, rest_s: float, worth: float) -> None:
    assert 2.0 <= next_by_progress_in_s(fit(own), age_s=age_s, rest_s=rest_s, worth=worth, bounds=BOUNDS) <= 300.0


@given(st.floats(0, 1e4), st.floats(0.01, 5), st.floats(1.0, 10))
def test_a_larger_weight_never_means_a_longer_wait(age_s: float, worth: float, factor: float) -> None:
    found = fit(learned(60.0))
    less, more = (poll_rate(found, worth=each, bounds=BOUNDS) for each in (worth, worth * factor))
    assert more.next_in_s(age_s) <= less.next_in_s(age_s) * (1 + 1e-9)


def test_polls_are_rare_before_a_finish_is_possible_and_frequent_around_it() -> None:
    made = poll_rate(fit(learned(180.0)), worth=0.5, bounds=BOUNDS)
    assert made.next_in_s(0.0) > 50
    assert made.next_in_s(170.0) < 12
    assert made.next_in_s(1e6) <= 300


def test_without_observations_young_tasks_are_polled_soon() -> None:
    made = poll_rate(fit(Table()), worth=0.5, bounds=BOUNDS)
    assert made.next_in_s(0.0) == 2.0
    assert made.next_in_s(2.0) == 2.0
    assert made.next_in_s(10.0) <= 5.0
    assert poll_rate(fit(Table(), learned(180.0)), worth=0.5, bounds=BOUNDS).next_in_s(0.0) > 10


def test_the_expected_polls_match_a_simulation() -> None:
    found = fit(learned(60.0, number=1000))
    made, chance, polls = poll_rate(found, worth=0.5, bounds=BOUNDS), random.Random(2), 0
    for _ in range(2000):
        duration_s, age_s = found.quantile_s(0.0, chance.random()), 0.0
        while age_s < duration_s:
            age_s += made.next_in_s(age_s)
            polls += 1
    assert polls / 2000 == pytest.approx(expected_polls(found, made) + 0.5, rel=0.1)


def test_many_tasks_share_a_steady_interval() -> None:
    found = fit(learned(180.0))
    crowd = [(found, age_s * 12.0) for age_s in range(30)]
    wait_s = together_in_s(crowd, worth=0.3, bounds=BOUNDS)
    alone = poll_rate(found, worth=0.3, bounds=BOUNDS).next_in_s(180.0)
    assert 2.0 < wait_s < alone
    later = [(each, age_s + 5.0) for each, age_s in crowd]
    assert together_in_s(later, worth=0.3, bounds=BOUNDS) == pytest.approx(wait_s, rel=0.3)
    assert together_in_s([(found, 0.0)], worth=1e-9, bounds=BOUNDS) == 300.0


def test_progress_that_grows_is_extrapolated() -> None:
    trend = trend_after(None, 10.0, polled_s=20.0, age_s=30.0)
    assert trend == ProgressTrend(20.0, 0.0, 30.0, 10.0)
    trend = trend_after(trend, 50.0, polled_s=30.0, age_s=70.0)
    assert trend is not None
    assert trend.rest_s(70.0) == pytest.approx(50.0)
    assert trend.rest_s(90.0) == pytest.approx(30.0)


@pytest.mark.parametrize("percents", [[None] * 5, [0.0] * 5, [0.5, 0.5, 0.5, 0.5, 0.5], [-3.0, 400.0, math.nan, 0, 0]])
def test_progress_without_a_usable_value_gives_no_trend(percents: list[float | None]) -> None:
    trend = None
    for place, percent in enumerate(percents):
        trend = trend_after(trend, percent, polled_s=place * 10.0, age_s=place * 10.0 + 10)
    assert trend is None


def test_progress_that_decreases_restarts_the_extrapolation() -> None:
    trend = trend_after(ProgressTrend(0.0, 0.0, 50.0, 60.0), 20.0, polled_s=50.0, age_s=60.0)
    assert trend is not None
    assert trend.rest_s(60.0) is None
    assert ProgressTrend(0.0, 0.0, 50.0, 100.0).rest_s(60.0) is None
    stuck = ProgressTrend(0.0, 0.0, 99.0, 99.0)
    assert stuck.rest_s(99.0) == pytest.approx(1.0)
    assert stuck.rest_s(500.0) == pytest.approx(200.5)
    assert trend_after(stuck, 99.0, polled_s=400.0, age_s=500.0) is stuck
    assert trend_after(stuck, None, polled_s=400.0, age_s=500.0) is stuck


def test_a_progress_forecast_moves_the_next_poll_near_the_finish() -> None:
    found = fit(learned(180.0, spread=0.8))
    far, near = (
        next_by_progress_in_s(found, age_s=60.0, rest_s=rest_s, worth=0.5, bounds=BOUNDS) for rest_s in (200.0, 5.0)
    )
    assert near < 6 < 15 < far
    assert next_by_progress_in_s(found, age_s=60.0, rest_s=1e9, worth=0.005, bounds=BOUNDS) == 300.0


def test_without_a_budget_the_weight_has_its_default() -> None:
    budget = Budget(None, bounds=BOUNDS)
    budget.spent(100.0)
    budget.recalculate([(fit(Table()), 1.0)])
    assert budget.worth == WORTH
    assert not budget.is_due


@pytest.mark.parametrize("polls", [4.0, 8.0, 20.0])
def test_a_budget_is_met_on_average(polls: float) -> None:
    found, budget, chance = fit(learned(180.0)), Budget(polls, bounds=BOUNDS), random.Random(3)
    taken = []
    for _ in range(400):
        if budget.is_due:
            budget.recalculate([(found, 1.0)])
        made = poll_rate(found, worth=budget.worth, bounds=BOUNDS)
        duration_s, age_s, requests = found.quantile_s(0.0, chance.random()), 0.0, 1
        while age_s < duration_s:
            age_s += made.next_in_s(age_s)
            requests += 1
        budget.spent(requests)
        taken.append(requests)
    assert sum(taken[50:]) / 350 == pytest.approx(polls, rel=0.1)


def test_a_budget_needs_observations() -> None:
    budget = Budget(4.0, bounds=BOUNDS)
    budget.recalculate([(fit(Table()), 0.0)])
    assert (budget.is_due, budget.worth) == (True, WORTH)
    budget.recalculate([(fit(learned(180.0)), 1.0)])
    assert (budget.is_due, budget.worth < WORTH / 2) == (False, True)


@given(any_table(), st.lists(st.floats(0, 1e9), max_size=50), st.floats(1.01, 1e6))
def test_every_history_gives_a_usable_weight(own: Table, spent: list[float], polls: float) -> None:
    budget = Budget(polls, bounds=BOUNDS)
    budget.recalculate([(fit(own), own.weight)])
    for requests in spent:
        budget.spent(requests)
    assert LEAST <= budget.worth <= MOST


def test_wrong_forecasts_get_a_wider_range() -> None:
    good, bad = learned(180.0), learned(180.0)
    for place in range(30):
        good.ended([180.0], succeeded=True, error=0.05)
        bad.ended([180.0], succeeded=True, error=2.0 if place % 2 else -2.0)
    assert fit(good).error < 0.25 < 1 < fit(bad).error
    assert isinstance(fit(good), Fit)
