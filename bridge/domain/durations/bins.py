"""The age scale: 52 bins whose width grows with the age, from a second to more than an hour."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import mul
from typing import Final

BINS: Final = 52
RATIO: Final = 1.18
EDGES: Final = (0.0, *(RATIO**power for power in range(BINS - 1)))  # left edges; the last bin is open
WIDTHS: Final = tuple(right - left for left, right in pairwise(EDGES))  # the widths of all bins except the last


def bin_of(age_s: float) -> int:
    """The bin of an age. A negative age counts as 0."""
    return bisect_right(EDGES, age_s, 1) - 1


def summed(rates: Sequence[float]) -> tuple[float, ...]:
    """The integral of a rate from 0 to each edge of the bins."""
    return tuple(accumulate(map(mul, rates, WIDTHS), initial=0.0))


def integral(age_s: float, rates: Sequence[float], sums: Sequence[float]) -> float:
    """The integral of a rate from 0 to an age; `sums` is `summed(rates)`."""
    place = bin_of(age_s)
    return sums[place] + rates[place] * (age_s - EDGES[place])


def age_at(total: float, rates: Sequence[float], sums: Sequence[float]) -> float:
    """The inverse of `integral`: the age at which the integral of a positive rate reaches `total`."""
    place = bisect_right(sums, total) - 1
    return EDGES[place] + (total - sums[place]) / rates[place]
