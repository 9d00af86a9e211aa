"""What is known of all kinds of task: their tables, what has not been stored yet, and fits made when needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bridge.domain.durations.fit import Fit, fit
from bridge.domain.durations.table import Table

STALE: Final = 0.05  # a fit is made anew once so much has been added to the seconds it rests on ...
NEWS: Final = 0.1  # ... or so many of the ends it rests on, so that a burst of them costs little
MOST_KINDS: Final = 1000  # at some 15 KB; beyond, all new ones are one: actions are anybody's words
KIN_ENOUGH: Final = 30.0  # a kind of which so many ends count needs no kin


class Key(NamedTuple):
    """Tasks whose durations are thought alike. `variant` is the model or mode, where answers name one."""

    account: str
    action: str = ""
    variant: str = ""


@dataclass(slots=True)
class _Known:
    """One kind: what the store holds, what has been seen since, and what was last made of both."""

    stored: Table = field(default_factory=Table)
    taken: Table | None = None  # on its way into the store
    fresh: Table = field(default_factory=Table)
    fit: Fit | None = None
    unfitted: int = 0  # ends since
    unfitted_s: float = 0.0  # seconds seen since
    fitted_s: float = 0.0  # that the fit rests on

    @property
    def all(self) -> Table:
        """All that is known."""
        total = self.stored.copy()
        if self.taken is not None:
            total.absorb(self.taken)
        total.absorb(self.fresh)
        return total

    @property
    def has_ends(self) -> bool:
        """Whether any task of this kind has been seen to end."""
        return bool(self.stored.count or self.fresh.count or (self.taken is not None and self.taken.count))

    @property
    def is_stale(self) -> bool:
        """Whether so much has happened that it may say something else now."""
        if self.fit is None or self.unfitted > NEWS * self.fit.support:
            return True
        return self.unfitted_s > STALE * self.fitted_s + 60.0


class Knowledge:
    """Mutable, single-threaded, clockless. `forms` names each account's provider: accounts of one form are kin."""

    def __init__(self, forms: Mapping[str, str] | None = None) -> None:
        self.forms: Mapping[str, str] = forms or {}
        self._known: dict[Key, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def seen(self, key: Key, from_s: float, to_s: float) -> None:
        """A task was found under way at both ages."""
        known = self._of(key)
        known.fresh.seen(from_s, to_s)
        known.unfitted_s += max(0.0, to_s - from_s)

    def ended(
        self, key: Key, from_s: float, to_s: float, *, at_s: float | None, succeeded: bool, rest_s: float | None = None
    ) -> None:
        """A task last found under way at `from_s` was found ended at `to_s`.

        `at_s` is its duration by the provider's own word; one that lies outside of the two is not believed. Without it
        the end is put where the last fit has it: a burst of ends costs no new ones. `rest_s` is what its progress, at
        `from_s`, had left to expect.
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

    def fit(self, key: Key) -> Fit:
        """What to expect of a task of this kind; made anew only when enough has happened since."""
        known = self._of(key)
        found = known.fit
        if found is None or known.is_stale:
            table = known.all
            found = known.fit = fit(table, self._kin(key, table))
            known.unfitted, known.unfitted_s, known.fitted_s = 0, 0.0, sum(table.exposure_s)
        return found

    def take_fresh(self) -> dict[Key, Table]:
        """What has been seen since this was last called; say then that it was `stored`, or `put_back` what was not."""
        taken = {}
        for key, known in self._known.items():
            if known.fresh.count or any(known.fresh.exposure_s):
                taken[key] = known.taken = known.fresh
                known.fresh = Table()
        return taken

    def put_back(self, taken: Mapping[Key, Table]) -> None:
        """It is to be stored later."""
        for key, table in taken.items():
            known = self._of(key)
            table.absorb(known.fresh)
            known.fresh, known.taken = table, None

    def stored(self, tables: Mapping[Key, Table | None]) -> None:
        """What the store holds of these kinds (None: nothing that can be read), with all that was taken; what is fresh
        here is not in it yet."""
        for key, table in tables.items():
            if table is not None:
                known = self._of(key)
                known.stored, known.taken, known.fit = table, None, None

    def _of(self, key: Key) -> _Known:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST_KINDS:
                key = Key("")
            known = self._known.setdefault(key, _Known())
        return known

    def _kin(self, key: Key, own: Table) -> Table | None:
        """All that is known of the nearest kindred tasks of which anything is: the same action of the account, then
        of accounts of the same provider."""
        if own.weight >= KIN_ENOUGH:
            return None
        form = self.forms.get(key.account, "")
        alike = [
            (other.account, known)
            for other, known in self._known.items()
            if other.action == key.action and other != key and known.has_ends
        ]
        for kin in (
            [known for account, known in alike if account == key.account],
            [known for account, known in alike if form and self.forms.get(account) == form],
        ):
            if kin:
                total = Table()
                for known in kin:
                    total.add(known.all)
                return total
        return None
