"""Observations of one kind of task: finished tasks and running seconds per age bin. Older ones count less."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import add, mul
from typing import Final, NamedTuple

from bridge.domain.durations.bins import BINS, EDGES, WIDTHS, bin_of

FORGETTING: Final = 0.97  # each finished task multiplies the weight of earlier tasks by this
MOST: Final = 1e12  # larger than any real sum; a stored table with a larger number is invalid
_DIGITS: Final = 6  # significant digits of stored numbers; more would be noise
_LEAST_UNIT: Final = 1e-100  # the smallest weight before rescaling; far above the smallest float


def _zeros() -> list[float]:
    return [0.0] * BINS


class DurationKey(NamedTuple):
    """A kind of task: tasks with similar durations. `variant` is the model or mode, if answers name one."""

    account: str
    action: str = ""
    variant: str = ""


class Moments(NamedTuple):
    """Decaying sums over finished tasks. Those of durations are of successes only: early failures are distributed
    differently."""

    successes: float = 0.0
    log_sum: float = 0.0  # of ln(duration)
    log_squares: float = 0.0
    forecasts: float = 0.0  # finishes predicted from progress; then sums of ln(actual / forecast remaining time)
    error_sum: float = 0.0
    error_squares: float = 0.0

    def plus(self, *more: float) -> Moments:
        return Moments(*map(add, self, more))


@dataclass(slots=True)
class Table:
    """Decaying sums. Mutable; reads no clock. A table can also hold a difference: the observations since the last save.

    `absorb` adds a later table exactly as if one daemon had made all observations. With several daemons on a shared
    store, only the order in which old tasks lose weight differs.
    """

    count: int = 0  # finished tasks, without decay
    moments: Moments = field(default_factory=Moments)
    _ends: list[float] = field(default_factory=_zeros)
    _exposure_s: list[float] = field(default_factory=_zeros)
    _unit: float = 1.0  # factor for both lists: decay multiplies this number instead of the 104 numbers in them

    @property
    def ends(self) -> list[float]:
        """Finished tasks per bin."""
        return [each * self._unit for each in self._ends]

    @property
    def exposure_s(self) -> list[float]:
        """Observed running seconds per bin."""
        return [each * self._unit for each in self._exposure_s]

    @property
    def weight(self) -> float:
        """The number of finished tasks, with decay."""
        return sum(self._ends) * self._unit

    def seen(self, from_s: float, to_s: float) -> None:
        """A task ran between these two ages."""
        from_s = max(0.0, from_s)
        if to_s <= from_s:
            return
        exposure_s, unit = self._exposure_s, self._unit
        place = bin_of(to_s)
        while EDGES[place] > from_s:
            exposure_s[place] += (to_s - EDGES[place]) / unit
            to_s = EDGES[place]
            place -= 1
        exposure_s[place] += (to_s - from_s) / unit

    def ended(self, ages_s: Sequence[float], *, succeeded: bool, error: float | None = None) -> None:
        """One task finished: at an age, or at one of several equally probable ages. `error` is ln(actual / forecast
        remaining time), if its progress predicted the finish."""
        self.scale(FORGETTING)
        self.count += 1
        ends, share = self._ends, 1 / (len(ages_s) * self._unit)
        for age_s in ages_s:
            ends[bin_of(age_s)] += share
        logs = [math.log(max(age_s, 0.5)) for age_s in ages_s] if succeeded else [0.0]
        of_logs = float(succeeded), sum(logs) / len(logs), sum(map(mul, logs, logs)) / len(logs)
        of_errors = (0.0, 0.0, 0.0) if error is None else (1.0, error, error * error)
        self.moments = self.moments.plus(*of_logs, *of_errors)

    def scale(self, factor: float) -> None:
        """Multiply the weight of all observations by a factor."""
        self.moments = Moments(*[each * factor for each in self.moments])
        self._unit *= factor
        if self._unit < _LEAST_UNIT:
            self._ends, self._exposure_s, self._unit = self.ends, self.exposure_s, 1.0

    def add(self, other: Table) -> None:
        """Add the other table, without decay."""
        self.count += other.count
        self.moments = self.moments.plus(*other.moments)
        self._ends = [mine + its for mine, its in zip(self.ends, other.ends, strict=True)]
        self._exposure_s = [mine + its for mine, its in zip(self.exposure_s, other.exposure_s, strict=True)]
        self._unit = 1.0

    def absorb(self, later: Table) -> None:
        """Add later observations, as if they had been made here one after the other."""
        self.scale(FORGETTING ** min(later.count, 10_000))
        self.add(later)

    def finished_only(self) -> Table:
        """A copy without observations of running tasks, for the usual duration, which running tasks must not change.

        Each finished task ran through all earlier bins and half of its own. The last bin has no upper edge, so its
        observed seconds are used.
        """
        twin, later = self.copy(), 0.0
        ends = twin.ends
        exposure_s = [0.0] * (BINS - 1) + [twin.exposure_s[-1] if ends[-1] else 0.0]
        for place in reversed(range(BINS - 1)):
            later += ends[place + 1]
            exposure_s[place] = WIDTHS[place] * (later + ends[place] / 2)
        twin._exposure_s = exposure_s  # `copy` has set `_unit` to 1
        return twin

    def copy(self) -> Table:
        twin = Table()
        twin.add(self)
        return twin

    def to_text(self) -> str:
        """The table as text for the store: JSON, below 2 KB."""
        moments = [_rounded(each) for each in self.moments]
        stored = {
            "count": self.count,
            "logs": moments[:3],
            "errors": moments[3:],
            "ends": [_rounded(each) for each in self.ends],
            "exposure_s": [_rounded(each) for each in self.exposure_s],
        }
        return json.dumps(stored, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_text(cls, text: str) -> Table:
        """The inverse of `to_text`. ValueError if the text is not a valid table."""
        try:
            found = json.loads(text)
            count = found["count"]
            sums, errors = _numbers(found["logs"], 3, signed=True), _numbers(found["errors"], 3, signed=True)
            ends, exposure_s = _numbers(found["ends"], BINS), _numbers(found["exposure_s"], BINS)
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("not a table of durations") from error
        if type(count) is not int or not 0 <= count <= MOST:
            raise ValueError("an invalid count")
        return cls(count=count, moments=Moments(*sums, *errors), _ends=ends, _exposure_s=exposure_s)


def _numbers(values: Sequence[float], length: int, *, signed: bool = False) -> list[float]:
    if type(values) is not list or len(values) != length:
        raise ValueError("a list of the wrong length")
    for value in values:
        if type(value) not in (int, float) or not (-MOST if signed else 0) <= value <= MOST:
            raise ValueError("an invalid number")
    return [float(value) for value in values]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
