from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.durations.bins import BINS, EDGES, age_at, bin_of, integral, summed
from bridge.domain.durations.table import FORGETTING, Table

AGES = st.floats(0, 1e5)


def seen_of(*durations: float) -> Table:
    made = Table()
    for duration_s in durations:
        made.seen(0.0, duration_s)
        made.ended([duration_s], succeeded=True)
    return made


def numbers(of: Table) -> list[float]:
    sums = list(of.moments)
    return [of.count, *sums, *of.ends, *of.exposure_s]


def close(one: Table, other: Table) -> bool:
    pairs = zip(numbers(one), numbers(other), strict=True)
    return all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in pairs)


def test_bins_grow_with_the_age_and_the_last_is_open() -> None:
    assert [bin_of(age) for age in (-5.0, 0.0, 0.99, 1.0, 1.17, 1.19, 1e9)] == [0, 0, 0, 1, 1, 2, BINS - 1]
    assert 3600 < EDGES[-1] < 4000


@given(st.lists(st.floats(1e-7, 10), min_size=BINS, max_size=BINS), AGES)
def test_an_integral_can_be_inverted(rates: list[float], age_s: float) -> None:
    sums = summed(rates)
    assert age_at(integral(age_s, rates, sums), rates, sums) == pytest.approx(age_s, rel=1e-3, abs=1e-3)


@given(AGES, AGES)
def test_observed_running_time_equals_the_time_between_polls(one: float, other: float) -> None:
    made = Table()
    made.seen(one, other)
    assert sum(made.exposure_s) == pytest.approx(max(0.0, other - one))


def test_each_finished_task_reduces_the_weight_of_earlier_ones() -> None:
    made = seen_of(60.0, 60.0, 60.0)
    assert made.count == 3
    assert made.weight == pytest.approx(1 + FORGETTING + FORGETTING**2)
    assert made.ends[bin_of(60.0)] == made.weight


def test_many_finishes_decay_earlier_weights_correctly() -> None:
    made = seen_of(20.0)
    for _ in range(10_000):
        made.seen(0.0, 60.0)
        made.ended([60.0], succeeded=False)
    assert made.weight == pytest.approx(1 / (1 - FORGETTING))
    assert made.ends[bin_of(20.0)] < 1e-9
    assert sum(made.exposure_s) == pytest.approx(60.0 / (1 - FORGETTING), rel=0.05)
    assert Table.from_text(made.to_text()).count == 10_001


def test_a_failure_does_not_change_the_learned_duration_of_a_success() -> None:
    made = seen_of(60.0)
    made.ended([3.0], succeeded=False, error=0.5)
    assert made.ends[bin_of(3.0)] == 1.0
    assert made.moments.successes == FORGETTING
    assert made.moments.forecasts == 1
    assert made.moments.error_sum == 0.5


@given(st.lists(st.floats(0.1, 1e4), max_size=30), st.lists(st.floats(0.1, 1e4), max_size=30))
def test_an_absorbed_table_equals_local_observations(before: list[float], after: list[float]) -> None:
    whole, stored = seen_of(*before, *after), Table.from_text(seen_of(*before).to_text())
    stored.absorb(seen_of(*after))
    assert close(stored, whole)


def test_observations_of_two_daemons_are_complete_after_both_have_saved() -> None:
    stored = Table()
    for _ in range(10):
        stored.absorb(seen_of(30.0))
        stored.absorb(seen_of(300.0))
    assert stored.count == 20
    assert stored.ends[bin_of(30.0)] == pytest.approx(stored.ends[bin_of(300.0)] * FORGETTING)


@given(st.lists(st.floats(0.1, 1e5), max_size=40))
def test_a_duration_table_survives_its_text_form(durations: list[float]) -> None:
    made = seen_of(*durations)
    assert close(Table.from_text(made.to_text()), made)
    assert len(made.to_text()) < 2000


def test_a_copy_is_independent() -> None:
    made = seen_of(60.0)
    twin = made.copy()
    twin.ended([5.0], succeeded=True)
    assert made.count == 1
    assert close(made, seen_of(60.0))


GOOD = json.loads(seen_of(5.0, 60.0).to_text())


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "null",
        "[]",
        "{}",
        "17",
        "[" * 100_000,
        json.dumps({**GOOD, "count": -1}),
        json.dumps({**GOOD, "count": True}),
        json.dumps({**GOOD, "count": 1.5}),
        json.dumps({**GOOD, "count": 10**400}),
        json.dumps({**GOOD, "logs": [1, 2]}),
        json.dumps({**GOOD, "logs": None}),
        json.dumps({**GOOD, "logs": [1.0, 2.0, math.nan]}),
        json.dumps({**GOOD, "ends": "x" * BINS}),
        json.dumps({**GOOD, "ends": [-1.0] * BINS}),
        json.dumps({**GOOD, "ends": [None] * BINS}),
        json.dumps({**GOOD, "exposure_s": [math.inf] * BINS}),
        json.dumps({**GOOD, "exposure_s": [1e300] * BINS}),
    ],
)
def test_an_invalid_table_is_refused(stored: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Table.from_text(stored)
