"""Commits: the one door for transitions and outcomes, each with the event it causes and that event's deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.domain.change import AccountState, Change
from bridge.ports import Tell
from bridge.store.postgres.database import Database
from bridge.store.postgres.failures import InDoubt, Mark
from bridge.store.postgres.part import ENDS, OUTBOX, Part
from bridge.store.postgres.statements import PostgresStatements
from bridge.store.rows import SELECT_ACCOUNT, account_state
from bridge.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A commit of which it is not known whether it was done: its mark, and what it would have answered."""

    mark: Mark
    answers: Sequence[tuple[Change, bool]]


class CommitsPart(Part):
    """`ports.Commits` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._doubts: list[_Doubt] = []
        self._done: dict[int, tuple[Change, bool]] = {}  # changes that were applied although we did not hear of it
        self._committer: int | None = None  # the membership whose they are

    def commit(self, changes: Sequence[Change], tell: Tell) -> list[bool]:
        """See `ports.Commits.commit`. What `tell` raises passes through, and none of the changes has been applied.

        After a commit whose answer was lost the same changes are asked for again, perhaps in smaller groups. Those
        that turn out to have been applied are answered as they would have been, and not applied again.
        """
        if not changes:
            return []
        if self._committer != self._fence:  # whoever would have asked again has gone with its lease
            self._doubts, self._done, self._committer = [], {}, self._fence
        self._settle_doubts()
        answers = [self._done.get(id(change)) for change in changes]
        rest = [change for change, done in zip(changes, answers, strict=True) if done is None]
        applied = iter(self._apply(rest, tell) if rest else [])
        for change in changes:
            self._done.pop(id(change), None)
        return [next(applied) if done is None else done[1] for done in answers]

    def accounts(self) -> Mapping[str, AccountState]:
        """See `ports.Commits.accounts`."""
        with self._database.read() as link:
            rows = link.execute(SELECT_ACCOUNT + " FROM accounts")
            return {row[0]: account_state(row) for row in rows}

    def _apply(self, changes: Sequence[Change], tell: Tell) -> list[bool]:
        applied: list[bool] = []
        try:
            with self._database.write() as link:
                self._guard(link)
                statements = PostgresStatements(link)
                transaction = Transaction(statements, changes, tell=tell, fingerprints=self._fingerprints)
                applied = [transaction.apply(change) for change in changes]
                transaction.write()
                if transaction.touches_all:
                    self._touch(link)  # accounts and endpoints are everybody's
                if self._held is not None and not transaction.told <= self._held:
                    self._wake(link, OUTBOX)
                if transaction.ends:
                    self._wake(link, ENDS)
        except InDoubt as doubt:
            self._doubts.append(_Doubt(doubt.mark, list(zip(changes, applied, strict=True))))
            raise
        return applied

    def _settle_doubts(self) -> None:
        """Find out what became of commits whose answer was lost. StoreError while that cannot be known."""
        while self._doubts:
            doubt = self._doubts[0]
            if self._database.has_committed(doubt.mark):
                self._done.update((id(answer[0]), answer) for answer in doubt.answers)
                self._database.unheard += 1  # nobody was told which lanes it has filled
            self._doubts.pop(0)
