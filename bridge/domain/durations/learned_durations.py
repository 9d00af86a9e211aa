"""The durations of all kinds of task: stored tables, unsaved observations, and fits made on demand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bridge.domain.durations.fit import Fit, fit
from bridge.domain.durations.table import DurationKey, Table

STALE: Final = 0.05  # a fit is renewed when its observed seconds have grown by this share ...
NEWS: Final = 0.1  # ... or its finished tasks by this share, so that many finished tasks at once cost little
MOST_KINDS: Final = 1000  # at about 15 KB each; all further kinds share one, because action names are arbitrary
OWN_ENOUGH: Final = 30.0  # a kind with this many finished tasks needs no similar ones


@dataclass(slots=True)
class _Known:
    """One kind of task: the stored table, newer observations, and the last fit of both."""

    stored: Table = field(default_factory=Table)
    taken: Table | None = None  # observations that are being stored
    fresh: Table = field(default_factory=Table)
    fit: Fit | None = None
    usual: Fit | None = None  # the last fit of finished tasks only
    unfitted: int = 0  # tasks that finished since the fit
    unfitted_s: float = 0.0  # seconds observed since the fit
    fitted_s: float = 0.0  # observed seconds in the fit

    @property
    def all(self) -> Table:
        total = self.stored.copy()
        if self.taken is not None:
            total.absorb(self.taken)
        total.absorb(self.fresh)
        return total

    @property
    def count(self) -> int:
        """How many tasks of this kind were seen to finish."""
        return self.stored.count + self.fresh.count + (0 if self.taken is None else self.taken.count)

    def has_news(self, fit: Fit) -> bool:
        """Whether there are enough observations since the fit to change it."""
        return self.unfitted > NEWS * fit.support or self.unfitted_s > STALE * self.fitted_s + 60.0


class LearnedDurations:
    """The learned durations of one daemon. Mutable, for one thread; reads no clock. `providers` maps each account to
    its provider; accounts of one provider have similar tasks."""

    def __init__(self, providers: Mapping[str, str] | None = None) -> None:
        self.providers: Mapping[str, str] = providers or {}
        self._known: dict[DurationKey, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def seen(self, key: DurationKey, from_s: float, to_s: float) -> None:
        """A task was running at both ages."""
        known = self._of(key)
        known.fresh.seen(from_s, to_s)
        known.unfitted_s += max(0.0, to_s - from_s)

    def ended(
        self,
        key: DurationKey,
        from_s: float,
        to_s: float,
        *,
        at_s: float | None,
        succeeded: bool,
        rest_s: float | None = None,
    ) -> None:
        """A task last seen running at `from_s` was found finished at `to_s`.

        `at_s` is the duration that the provider states; it is ignored if it lies outside these two. Without it, the
        last fit estimates when the task finished. No new fit is made: a thousand finished tasks at once cost little.
        `rest_s` is the remaining time that its progress predicted at `from_s`.
        """
        known = self._of(key)
        if at_s is not None and from_s <= at_s <= to_s:
            ages_s = [at_s]
        elif to_s - from_s <= 0.2 * from_s:
            ages_s = [(from_s + to_s) / 2]
        else:
            ages_s = (known.fit or self.fit(key)).between(from_s, to_s)
        middle_s = sum(ages_s) / len(ages_s)
        error = None
        if rest_s is not None and rest_s > 0 and succeeded:
            error = min(max(math.log(max(middle_s - from_s, 0.5) / rest_s), -3.0), 3.0)
        known.fresh.seen(from_s, middle_s)
        known.fresh.ended(ages_s, succeeded=succeeded, error=error)
        known.unfitted += 1

    def fit(self, key: DurationKey) -> Fit:
        """The fit for this kind of task, renewed only after enough new observations."""
        known = self._of(key)
        found = known.fit
        if found is None or known.has_news(found):
            table = known.all
            found = known.fit = fit(table, self._similar(key, table))
            known.unfitted, known.unfitted_s, known.fitted_s = 0, 0.0, sum(table.exposure_s)
        return found

    def usual(self, key: DurationKey) -> Fit:
        """How long tasks of this kind usually take, from finished tasks only: running tasks are compared with it, so
        they must not change it. For polling, use `fit`."""
        known = self._of(key)
        found = known.usual
        if found is None or known.count > found.count * (1 + NEWS):
            table = known.all
            similar = self._similar(key, table)
            found = known.usual = fit(table.finished_only(), similar.finished_only() if similar is not None else None)
        return found

    def take_fresh(self) -> dict[DurationKey, Table]:
        """The observations since the last call. Call `stored` when they are stored, or `put_back` when that failed."""
        taken = {}
        for key, known in self._known.items():
            if known.fresh.count or any(known.fresh.exposure_s):
                taken[key] = known.taken = known.fresh
                known.fresh = Table()
        return taken

    def put_back(self, taken: Mapping[DurationKey, Table]) -> None:
        """Keep observations that could not be stored, for the next `take_fresh`."""
        for key, table in taken.items():
            known = self._of(key)
            table.absorb(known.fresh)
            known.fresh, known.taken = table, None

    def stored(self, tables: Mapping[DurationKey, Table | None]) -> None:
        """Replace the stored tables of these kinds (None: unreadable). They include the observations that were taken,
        but not the fresh ones."""
        for key, table in tables.items():
            if table is not None:
                known = self._of(key)
                known.stored, known.taken, known.fit, known.usual = table, None, None, None

    def _of(self, key: DurationKey) -> _Known:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST_KINDS:
                key = DurationKey("")
            known = self._known.setdefault(key, _Known())
        return known

    def _similar(self, key: DurationKey, own: Table) -> Table | None:
        """All observations of the most similar tasks: the same action of the same account, or else of accounts of the
        same provider. None if there are none, or if this kind itself has enough."""
        if own.weight >= OWN_ENOUGH:
            return None
        provider = self.providers.get(key.account, "")
        alike = [
            (other.account, known)
            for other, known in self._known.items()
            if other.action == key.action and other != key and known.count
        ]
        for group in (
            [known for account, known in alike if account == key.account],
            [known for account, known in alike if provider and self.providers.get(account) == provider],
        ):
            if group:
                total = Table()
                for known in group:
                    total.add(known.all)
                return total
        return None
