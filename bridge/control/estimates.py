"""When watched tasks should finish, based on what the daemons have learned."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from bridge.control.formats import rfc3339, span
from bridge.control.store_now import StoreNow
from bridge.domain.durations.table import DurationKey
from bridge.domain.task import LIVE
from bridge.domain.views import WatchView

if TYPE_CHECKING:
    from bridge.domain.durations.forecast import Expected
    from bridge.domain.durations.learned_durations import LearnedDurations
    from bridge.domain.durations.table import Table


LATE: Final = "longer than usual"
MOST_RATIO: Final = 10.0  # maximum ratio of the two ends of a range that is shown


class Estimates:
    """Estimates from the stored tables of durations. `providers` maps each account to its provider."""

    def __init__(self, tables: Mapping[DurationKey, Table | None], providers: Mapping[str, str]) -> None:
        self._tables = tables
        self._providers = providers

    def of(self, view: WatchView, now: float) -> Expected | None:
        """When this task should finish. None if it has finished, or if too little is known."""
        return self._expected(view.account, view.action, view.added_at, now)[0] if view.phase in LIVE else None

    def remaining_s(self, account: str, action: str | None, age_s: float) -> float | None:
        """The time after which half of the tasks of this kind and age have finished. None if too little is known."""
        found, _ = self._expected(account, action, -age_s, 0.0)
        return None if found is None else found.at

    def usual(self, view: WatchView) -> tuple[Expected, int] | None:
        """When tasks like this one finish, and how many were observed. None if too little is known."""
        found, observed = self._expected(view.account, view.action, view.added_at, view.added_at)
        return None if found is None else (found, observed)

    def _expected(self, account: str, action: str | None, began_at: float, now: float) -> tuple[Expected | None, int]:
        if not self._tables:
            return None, 0
        from bridge.domain.durations.forecast import expected  # imported here: without tables, nothing can be estimated

        fit = self._knowledge.usual(DurationKey(account, action or ""))
        return expected(fit, began_at=began_at, now=now), fit.count

    @cached_property
    def _knowledge(self) -> LearnedDurations:
        from bridge.domain.durations.learned_durations import LearnedDurations

        knowledge = LearnedDurations(self._providers)
        knowledge.stored(self._tables)
        return knowledge


def estimates(at: StoreNow) -> Estimates:
    return Estimates(at.store.durations(), {name: account.provider for name, account in at.file.accounts.items()})


def is_late(found: Expected, now: float) -> bool:
    """Whether 90 % of such tasks have finished by this age."""
    return now > found.usual_until_at


def eta(found: Expected | None, now: float) -> str:
    """For people: `in 20s to 45s`, `longer than usual`, or `-`."""
    if found is None:
        return "-"
    if is_late(found, now):
        return LATE
    low, high = (span(max(0.0, at - now)) for at in (found.low_at, found.high_at))
    return f"in {low} to {high}"


def when_done(found: Expected, now: float) -> str:
    """For people: `done in 20s to 45s`, or `longer than usual`."""
    return eta(found, now) if is_late(found, now) else f"done {eta(found, now)}"


def is_vague(found: Expected, now: float) -> bool:
    """Whether the range of `eta` is too wide: it begins now, or its end is more than ten times its beginning."""
    if is_late(found, now):
        return False
    return found.low_at <= now or found.high_at - now > MOST_RATIO * (found.low_at - now)


def eta_json(found: Expected | None) -> Mapping[str, Any]:
    """For JSON: when 50 %, 10 % and 90 % of similar tasks have finished."""
    return {
        "eta_at": rfc3339(found.at if found else None),
        "eta_low_at": rfc3339(found.low_at if found else None),
        "eta_high_at": rfc3339(found.high_at if found else None),
    }
