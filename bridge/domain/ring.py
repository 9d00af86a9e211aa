"""Figures of the last day, in slots of five minutes. Pure; times are arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

EVERY_S: Final = 300.0
KEPT: Final = 288  # slots: a day


class Slot(NamedTuple):
    """The sums of one slot; None if nothing was counted then."""

    start_at: float
    sums: tuple[float, ...] | None


class Ring:
    """Sums of `width` numbers for each slot of the last day. Memory does not grow with the number of counted events."""

    def __init__(self, width: int, *, began_at: float) -> None:
        self._width = width
        self._first = _slot(began_at)
        self._last = self._first
        self._sums: dict[int, list[float]] = {}

    def add(self, amounts: Sequence[float], *, at: float) -> None:
        """Add these amounts. Amounts from before the newest slot are added to the newest slot."""
        self._last = slot = max(self._last, _slot(at))
        sums = self._sums.get(slot)
        if sums is None:
            sums = self._sums[slot] = [0.0] * self._width
            for old in [one for one in self._sums if one <= slot - KEPT]:
                del self._sums[old]
        for place, amount in enumerate(amounts):
            sums[place] += amount

    def slots(self, now: float) -> list[Slot]:
        """Every slot of the last day, the oldest first. The last one is still running."""
        nothing = (0.0,) * self._width
        return [
            Slot(slot * EVERY_S, tuple(self._sums.get(slot, nothing)) if slot >= self._first else None)
            for slot in range(_slot(now) - KEPT + 1, _slot(now) + 1)
        ]

    def total(self, now: float, *, slots: int = KEPT) -> tuple[float, ...]:
        """The sums of the last slots, including the one that is still running."""
        found = [self._sums[slot] for slot in self._sums if slot > _slot(now) - slots]
        return tuple(sum(column) for column in zip(*found, strict=True)) if found else (0.0,) * self._width


def quantile(bounds: Sequence[float], counts: Sequence[float], part: float) -> float | None:
    """The quantile `part` of a histogram whose last bucket has no upper bound. It is interpolated within a bucket; in
    the last bucket it is the highest bound. None when nothing was counted."""
    whole = sum(counts)
    if whole <= 0:
        return None
    wanted, below = part * whole, 0.0
    for place, (bound, count) in enumerate(zip(bounds, counts, strict=False)):
        if count and below + count >= wanted:
            low = bounds[place - 1] if place else 0.0
            return low + (bound - low) * (wanted - below) / count
        below += count
    return bounds[-1]


def _slot(at: float) -> int:
    return int(at // EVERY_S)
