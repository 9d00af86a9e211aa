"""What happens to the tasks that a source names."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE, Phase
from bridge.domain.watch import Wish


class WishIntake:
    """Decides about wishes one by one, and collects what to store.

    `known`: the existing watches of these wishes, each with its id and phase. `named`: the ids of those that the source
    has named before. With `again`, a finished task starts again. Without `revive`, a withdrawn task stays withdrawn.
    """

    def __init__(
        self, known: Mapping[WatchKey, tuple[int, Phase]], named: set[int], *, again: bool, revive: bool
    ) -> None:
        self._known, self._named = dict(known), named
        self._may_again, self._may_revive = again, revive
        self.new: dict[WatchKey, Wish] = {}
        self.over: dict[int, Wish] = {}  # watches that start over ...
        self.again: list[int] = []  # ... and the ones that start a new generation
        self.named: list[int] = []  # watches that this source did not name before
        self.facts: list[tuple[int | WatchKey, str]] = []  # for histories; a new watch has no id yet, only its key

    def take(self, wish: Wish) -> tuple[str, Phase]:
        """The result for this wish, in the words of `ports.Added`, and the phase afterwards."""
        key = wish.key
        if key in self.new:
            return "known", Phase.SUBMITTED
        if key not in self._known:
            self.new[key] = wish
            self.facts.append((key, "added"))
            return "added", Phase.SUBMITTED
        watch_id, phase = self._known[key]
        what = self._what(phase)
        if what == "withdrawn":
            return what, phase
        if what in {"revived", "again"}:
            phase = Phase.SUBMITTED
            self._known[key] = (watch_id, phase)
            self.over[watch_id] = wish
            self.again += [watch_id] if what == "again" else []
            self.facts.append((watch_id, what))
        elif watch_id not in self._named:
            self.facts.append((watch_id, "named"))
        if watch_id not in self._named:
            self._named.add(watch_id)
            self.named.append(watch_id)
        return what, phase

    def _what(self, phase: Phase) -> str:
        if phase in LIVE:
            return "known"
        if phase is Phase.WITHDRAWN:
            return "revived" if self._may_revive else "withdrawn"
        return "again" if self._may_again else "ended"
