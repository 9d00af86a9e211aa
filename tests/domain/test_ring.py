"""Figures of the last day, in slots of five minutes."""

from __future__ import annotations

import pytest

from bridge.domain.ring import EVERY_S, KEPT, Ring, quantile

NOW = 1_700_000_100.0  # the start of a slot
assert NOW % EVERY_S == 0


def test_amounts_are_summed_in_their_slot() -> None:
    ring = Ring(2, began_at=NOW)
    ring.add([1, 10], at=NOW)
    ring.add([2, 20], at=NOW + EVERY_S - 1)
    ring.add([4, 40], at=NOW + EVERY_S)
    *_, first, second = ring.slots(NOW + EVERY_S)
    assert (first, second) == ((NOW, (3, 30)), (NOW + EVERY_S, (4, 40)))


def test_slots_before_the_start_are_unknown_and_empty_slots_are_zero() -> None:
    ring = Ring(1, began_at=NOW)
    slots = ring.slots(NOW + 2 * EVERY_S)
    assert len(slots) == KEPT
    assert [slot.sums for slot in slots[-4:]] == [None, (0,), (0,), (0,)]


def test_a_ring_keeps_a_day() -> None:
    ring = Ring(1, began_at=NOW)
    for slot in range(3 * KEPT):
        ring.add([1], at=NOW + slot * EVERY_S)
    end = NOW + (3 * KEPT - 1) * EVERY_S
    assert ring.total(end) == (KEPT,)
    assert [slot.sums for slot in ring.slots(end)] == [(1,)] * KEPT
    assert len(ring._sums) == KEPT


def test_the_total_sums_the_last_slots() -> None:
    ring = Ring(1, began_at=NOW)
    for slot in range(4):
        ring.add([10**slot], at=NOW + slot * EVERY_S)
    assert ring.total(NOW + 3 * EVERY_S, slots=2) == (1100,)
    assert ring.total(NOW + 9 * EVERY_S, slots=2) == (0,)


def test_an_amount_of_an_earlier_instant_counts_with_the_last() -> None:
    ring = Ring(1, began_at=NOW)
    ring.add([1], at=NOW + EVERY_S)
    ring.add([1], at=NOW)
    assert [slot.sums for slot in ring.slots(NOW + EVERY_S)][-2:] == [(0,), (2,)]


@pytest.mark.parametrize(
    ("counts", "part", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([2, 0, 0], 0.5, 0.5),
        ([0, 4, 0], 0.5, 1.5),
        ([1, 1, 0], 0.5, 1.0),
        ([1, 1, 2], 0.95, 2.0),
        ([0, 0, 1], 0.0, 2.0),
    ],
)
def test_a_quantile_is_interpolated(counts: list[float], part: float, expected: float | None) -> None:
    assert quantile([1.0, 2.0], counts, part) == expected
