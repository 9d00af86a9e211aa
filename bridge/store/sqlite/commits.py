"""Commits: the one door for transitions and outcomes, each with the event it causes and that event's deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.domain.change import AccountState, Change
from bridge.ports import Tell
from bridge.store.rows import SELECT_ACCOUNT, account_state
from bridge.store.sqlite.part import Part
from bridge.store.sqlite.statements import SqliteStatements
from bridge.store.transaction import Transaction


class CommitsPart(Part):
    """`ports.Commits` on SQLite."""

    def commit(self, changes: Sequence[Change], tell: Tell) -> list[bool]:
        """See `ports.Commits.commit`. What `tell` raises passes through, and none of the changes has been applied."""
        if not changes:
            return []
        with self._database.write() as connection:
            statements = SqliteStatements(connection)
            transaction = Transaction(statements, changes, tell=tell, fingerprints=self._fingerprints)
            applied = [transaction.apply(change) for change in changes]
            transaction.write()
            return applied

    def accounts(self) -> Mapping[str, AccountState]:
        """See `ports.Commits.accounts`."""
        with self._database.read() as connection:
            rows = connection.execute(SELECT_ACCOUNT + " FROM accounts")
            return {row[0]: account_state(row) for row in rows}
