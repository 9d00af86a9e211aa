"""Commits whose answer was lost with the connection: finds out which were done, and repeats only the others."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.change import Change
from bridge.ports import ParcelsFor
from bridge.store.postgres.database import Database
from bridge.store.postgres.failures import InDoubt, Mark
from bridge.store.transaction import CommitStore


class RepeatableCommits(CommitStore):
    """`ports.Commits` on PostgreSQL.

    When the answer to a commit is lost, the caller commits the same changes again, perhaps in smaller groups. Changes
    that were applied get the answer they would have had, and are not applied again.
    """

    _database: Database

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._doubts: list[tuple[Mark, Sequence[tuple[Change, bool]]]] = []  # the changes of each commit in doubt
        self._done: dict[int, tuple[Change, bool]] = {}  # changes that were applied although the answer was lost
        self._committer: int | None = None  # the membership that made them

    def commit(self, changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        if not changes:
            return []
        if self._committer != self._database.fence:  # commits of a lost lease are never repeated
            self._doubts, self._done, self._committer = [], {}, self._database.fence
        self._settle_doubts()
        answers = [self._done.get(id(change)) for change in changes]
        rest = [change for change, done in zip(changes, answers, strict=True) if done is None]
        applied: list[bool] = []
        if rest:
            try:
                with self._database.write() as session:
                    applied = self._apply(session, rest, parcels_for)
            except InDoubt as doubt:
                self._doubts.append((doubt.mark, list(zip(rest, applied, strict=True))))
                raise
        for change in changes:
            self._done.pop(id(change), None)
        fresh = iter(applied)
        return [next(fresh) if done is None else done[1] for done in answers]

    def _settle_doubts(self) -> None:
        """Find out which commits in doubt were done. StoreError while that cannot be known."""
        while self._doubts:
            mark, answers = self._doubts[0]
            if self._database.has_committed(mark):
                self._done.update((id(answer[0]), answer) for answer in answers)
                self._database.unheard += 1  # its deliveries may be in any queue
            self._doubts.pop(0)
