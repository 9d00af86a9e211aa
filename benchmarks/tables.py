"""Figures with their spread, and tables of them, for the terminal and for `docs/benchmarks.md`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table; the first column is text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        widths = [max(len(row[place]) for row in (self.head, *self.rows)) for place in range(len(self.head))]
        rule = ["-" * width for width in widths]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in (self.head, rule, *self.rows)
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a subject found. `plots` are SVG texts by file name."""

    title: str
    how: str
    tables: Sequence[Table]
    notes: Sequence[str] = ()
    plots: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        listed = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join(part for part in [self.how.strip(), *map(str, self.tables), listed] if part)


def spread(values: Sequence[float], *, unit: str = "", digits: int = 3) -> str:
    """`142 us (138-151)`: the median, the minimum and the maximum."""
    if not values:
        return "-"
    middle, least, most = (number(value, digits) for value in (statistics.median(values), min(values), max(values)))
    text = f"{middle} {unit}".rstrip()
    return text if len(values) == 1 else f"{text} ({least}-{most})"


def median(values: Sequence[float]) -> float:
    """The median of these values; nan when there are none."""
    return statistics.median(values) if values else float("nan")


def ratio(over: Sequence[float], under: Sequence[float]) -> str:
    """The spread of the ratio of two sides, which were measured in turn in each round."""
    return spread([a / b for a, b in zip(over, under, strict=True)]) if over and under else "-"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; nan when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def number(value: float, digits: int = 3) -> str:
    """The number with three significant digits, without an exponent."""
    if value != value:
        return "-"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"
