"""When tasks are expected to finish, as instants and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.domain.durations.fit import Fit
from bridge.domain.plurals import count

LOW: Final = 0.1  # lower quantile of the shown range; 80 % of tasks finish within the range
HIGH: Final = 0.9
ENOUGH: Final = 3.0  # fewer finished tasks give no forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """When a task is expected to finish. Of such tasks, 10 % finish before `low_at`, 50 % before `at`, 90 % before
    `high_at`. `usual_until_at`: when this task reaches an age that 90 % of all tasks of its kind do not reach."""

    low_at: float
    at: float
    high_at: float
    usual_until_at: float


def expected(fit: Fit, *, began_at: float, now: float) -> Expected | None:
    """The forecast for a running task; None while too little is known. `fit`: see `LearnedDurations.usual`."""
    if fit.support < ENOUGH:
        return None
    age_s = max(0.0, now - began_at)
    low, middle, high = (began_at + fit.quantile_s(age_s, part) for part in (LOW, 0.5, HIGH))
    return Expected(low_at=low, at=middle, high_at=high, usual_until_at=began_at + fit.quantile_s(0.0, HIGH))


def expectation(fit: Fit) -> str:
    """How long tasks of a kind take, in words."""
    if fit.support < ENOUGH:
        return f"the duration of similar tasks is not known yet ({_seen(fit)})"
    low_s, high_s = (_span(fit.quantile_s(0.0, part)) for part in (LOW, HIGH))
    seen = _seen(fit) if fit.count else "estimated from other models or accounts"
    return f"similar tasks usually take {low_s} to {high_s} ({seen})"


def _seen(fit: Fit) -> str:
    return f"{count(fit.count, 'task')} seen"


def _span(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
