"""The charts of the health view as numbers: pure arithmetic, for attributes of SVG elements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

BOTTOM: Final = 76.0  # lower end of bars and lines, with room for the axis below
TOP: Final = 5.0
WIDTH: Final = 400.0  # of the line chart, which is stretched to the page
BAR_SHARE: Final = 0.72  # part of the available width that a bar takes
ROW: Final = 18  # distance between rows
MOST_ROWS: Final = 5
ROW_SHARE: Final = 0.66  # part of the width that the longest row takes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartColumn:
    """A vertical bar: `x` and `width` in percent, and the heights of the whole bar and of the failed part."""

    x: float
    width: float
    height: float
    failed: float

    @property
    def y(self) -> float:
        return round(BOTTOM - self.height, 1)

    @property
    def failed_y(self) -> float:
        return round(BOTTOM - self.failed, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRow:
    """A horizontal bar. `y` is its upper edge; `width` is in percent."""

    label: str
    value: float
    y: int
    width: float


def columns(values: Sequence[tuple[int, int]]) -> list[ChartColumn]:
    """One bar for each (all, failed). The highest bar reaches the top; every value above 0 is visible."""
    highest, room = max((number for number, _ in values), default=0), 100 / max(1, len(values))

    def height(number: int) -> float:
        return 0.0 if not number else round(max(1.0, (BOTTOM - TOP) * number / highest), 1)

    return [
        ChartColumn(
            x=round(place * room + room * (1 - BAR_SHARE) / 2, 1),
            width=round(room * BAR_SHARE, 1),
            height=height(number),
            failed=height(failed),
        )
        for place, (number, failed) in enumerate(values)
    ]


def path(values: Sequence[float | None], *, highest: float) -> str:
    """A line through the known points, for the attribute `d`, with gaps. A single point becomes a short line."""
    step = WIDTH / max(1, len(values) - 1)
    runs = groupby(enumerate(values), key=lambda one: one[1] is None)
    return "".join(part for _, run in runs for part in _line(run, step, highest))


def high(*lines: Sequence[float | None]) -> float:
    """The highest value of these lines; 0 if nothing is known."""
    return max((value for line in lines for value in line if value is not None), default=0.0)


def rows(values: Sequence[tuple[str, float]]) -> list[ChartRow]:
    """One row for each of the largest values, the largest first."""
    chosen = sorted(values, key=lambda one: -one[1])[:MOST_ROWS]
    highest = max((value for _, value in chosen), default=0.0) or 1.0
    return [
        ChartRow(label=label, value=value, y=4 + ROW * place, width=round(100 * ROW_SHARE * value / highest, 1))
        for place, (label, value) in enumerate(chosen)
    ]


def used(share: float | None) -> float:
    """The filled part of a utilization bar, in percent. Every value above 0 is visible."""
    return 0.0 if not share else round(min(100.0, max(2.0, 100 * share)), 1)


def _line(run: Iterable[tuple[int, float | None]], step: float, highest: float) -> Iterator[str]:
    """The line through a run of points; nothing for a gap."""
    points = [(place, value) for place, value in run if value is not None]
    for number, (place, value) in enumerate(points):
        y = BOTTOM - (BOTTOM - TOP) * (value / highest if highest else 0.0)
        yield f"{'L' if number else 'M'}{place * step:.0f} {y:.0f}"
    if len(points) == 1:
        yield "h2"
