"""What is expected, in words for people and as instants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.domain.durations.fit import Fit

LOW: Final = 0.1  # of the spread that is shown: four of five tasks end within it
HIGH: Final = 0.9
ENOUGH: Final = 3.0  # ends; from fewer nothing is foretold


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """When the end of one watch is expected: one of ten before `low_at`, half before `at`, nine before `high_at`."""

    low_at: float
    at: float
    high_at: float


def expected(fit: Fit, *, began_at: float, now: float) -> Expected | None:
    """For a task that is still under way; None while too little is known."""
    if fit.support < ENOUGH:
        return None
    age_s = max(0.0, now - began_at)
    low, middle, high = (began_at + fit.quantile_s(age_s, part) for part in (LOW, 0.5, HIGH))
    return Expected(low_at=low, at=middle, high_at=high)


def expectation(fit: Fit) -> str:
    """How long tasks of a kind take."""
    if fit.support < ENOUGH:
        return f"how long such tasks take is not known yet ({_seen(fit)})"
    low_s, high_s = (_span(fit.quantile_s(0.0, part)) for part in (LOW, HIGH))
    seen = _seen(fit) if fit.count else "none seen yet, but kindred ones"
    return f"usually done {low_s} to {high_s} after it began ({seen})"


def _seen(fit: Fit) -> str:
    return f"{fit.count} {'task' if fit.count == 1 else 'tasks'} seen"


def _span(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
