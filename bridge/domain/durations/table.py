"""What has been seen of one kind of task: ends and seconds under way per bin of age, older ends counting less."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Final

from bridge.domain.durations.bins import BINS, EDGES, bin_of

FORGETTING: Final = 0.97  # what is left, after each end, of the weight of all that was seen before
MOST: Final = 1e12  # no honest sum comes near; beyond it a stored table is not believed
_DIGITS: Final = 6  # of the stored numbers: more would be noise
_LEAST_UNIT: Final = 1e-100  # far from where floating-point numbers end


def _zeros() -> list[float]:
    return [0.0] * BINS


@dataclass(slots=True)
class Table:
    """Decayed sums; mutable, clockless. A table also serves as a difference: what has been seen since the last save.

    Addition with decay (`absorb`) is exact for one daemon. Of several that share a store each adds its own part; they
    differ from one that had seen everything only in the order in which the ends are forgotten.
    """

    count: int = 0  # ends seen in all, undecayed
    successes: float = 0.0
    log_sum: float = 0.0  # of the logarithms of the successes' durations: early failures have another shape
    log_squares: float = 0.0
    forecasts: float = 0.0  # ends that progress had forecast, and the logarithms of actual / forecast remaining time
    error_sum: float = 0.0
    error_squares: float = 0.0
    _ends: list[float] = field(default_factory=_zeros)
    _exposure_s: list[float] = field(default_factory=_zeros)
    _unit: float = 1.0  # what 1 in either list counts by now: forgetting scales this number, not a hundred others

    @property
    def ends(self) -> list[float]:
        """Per bin."""
        return [each * self._unit for each in self._ends]

    @property
    def exposure_s(self) -> list[float]:
        """Seconds seen under way, per bin."""
        return [each * self._unit for each in self._exposure_s]

    @property
    def weight(self) -> float:
        """How many ends this knowledge amounts to."""
        return sum(self._ends) * self._unit

    def seen(self, from_s: float, to_s: float) -> None:
        """A task was under way between these two ages."""
        from_s = max(0.0, from_s)
        if to_s <= from_s:
            return
        exposure_s, unit = self._exposure_s, self._unit
        place, last = bin_of(from_s), bin_of(to_s)
        while place < last:
            exposure_s[place] += (EDGES[place + 1] - from_s) / unit
            place += 1
            from_s = EDGES[place]
        exposure_s[last] += (to_s - from_s) / unit

    def ended(self, ages_s: Sequence[float], *, succeeded: bool, error: float | None = None) -> None:
        """One task ended: at an age, or at one of several that are equally probable. `error` is the logarithm of
        actual by forecast remaining time, where its progress had forecast the end."""
        self.scale(FORGETTING)
        self.count += 1
        ends, share = self._ends, 1 / (len(ages_s) * self._unit)
        for age_s in ages_s:
            ends[bin_of(age_s)] += share
        if succeeded:
            logs = [math.log(max(age_s, 0.5)) for age_s in ages_s]
            self.successes += 1
            self.log_sum += sum(logs) / len(logs)
            self.log_squares += sum(map(mul, logs, logs)) / len(logs)
        if error is not None:
            self.forecasts += 1
            self.error_sum += error
            self.error_squares += error * error

    def scale(self, factor: float) -> None:
        """Let all that was seen so far weigh so much less."""
        self.successes *= factor
        self.log_sum *= factor
        self.log_squares *= factor
        self.forecasts *= factor
        self.error_sum *= factor
        self.error_squares *= factor
        self._unit *= factor
        if self._unit < _LEAST_UNIT:
            self._ends, self._exposure_s, self._unit = self.ends, self.exposure_s, 1.0

    def add(self, other: Table) -> None:
        """The plain sum of both."""
        self.count += other.count
        self.successes += other.successes
        self.log_sum += other.log_sum
        self.log_squares += other.log_squares
        self.forecasts += other.forecasts
        self.error_sum += other.error_sum
        self.error_squares += other.error_squares
        self._ends = [mine + its for mine, its in zip(self.ends, other.ends, strict=True)]
        self._exposure_s = [mine + its for mine, its in zip(self.exposure_s, other.exposure_s, strict=True)]
        self._unit = 1.0

    def absorb(self, later: Table) -> None:
        """Take in what has been seen since: as if it had been seen here, one end after the other."""
        self.scale(FORGETTING ** min(later.count, 10_000))
        self.add(later)

    def copy(self) -> Table:
        """One that goes its own way."""
        twin = Table()
        twin.add(self)
        return twin


def text(table: Table) -> str:
    """A table as the store keeps it: JSON, below 2 KB."""
    sums = (table.successes, table.log_sum, table.log_squares)
    errors = (table.forecasts, table.error_sum, table.error_squares)
    form = {
        "count": table.count,
        "logs": [_rounded(each) for each in sums],
        "errors": [_rounded(each) for each in errors],
        "ends": [_rounded(each) for each in table.ends],
        "exposure_s": [_rounded(each) for each in table.exposure_s],
    }
    return json.dumps(form, separators=(",", ":"), allow_nan=False)


def table(stored: str) -> Table:
    """From `text`; ValueError when this is not what any table looks like, whatever it is."""
    try:
        form = json.loads(stored)
        count = form["count"]
        sums, errors = _numbers(form["logs"], 3, signed=True), _numbers(form["errors"], 3, signed=True)
        ends, exposure_s = _numbers(form["ends"], BINS), _numbers(form["exposure_s"], BINS)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("not a table of durations") from error
    if type(count) is not int or not 0 <= count <= MOST:
        raise ValueError("a count that is none")
    return Table(
        count=count,
        successes=sums[0],
        log_sum=sums[1],
        log_squares=sums[2],
        forecasts=errors[0],
        error_sum=errors[1],
        error_squares=errors[2],
        _ends=ends,
        _exposure_s=exposure_s,
    )


def _numbers(values: Sequence[float], length: int, *, signed: bool = False) -> list[float]:
    if type(values) is not list or len(values) != length:
        raise ValueError("a list of another length")
    for value in values:
        if type(value) not in (int, float) or not (-MOST if signed else 0) <= value <= MOST:
            raise ValueError("a number that no table holds")
    return [float(value) for value in values]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
