"""The embedded store: one SQLite file.

Specific to SQLite: connection and transactions (`database`), statements (`sql_session`), a look at a file before it is
opened and its owner (`inspection`), and errors (`failures`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bridge.domain.slots import Share
from bridge.ports import Roster
from bridge.store.full_store import Store
from bridge.store.sqlite.database import Database


class SqliteStore(Store):
    """A store in one SQLite file, for one daemon and any number of commands.

    Calls block, one at a time (`Offload`); only `is_syncing` may be called meanwhile. Every method is one transaction:
    on disk when it returns, not done at all when it raises. The only daemon holds the lock on the file, and
    `ports.Shares` gives all shares to that daemon until its process ends.
    """

    _database: Database
    _member = ""
    _claimed: frozenset[Share] = frozenset()

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        """See `ports.Shares.join`. The lock on the file is the lease."""
        self._member = f"{name}#1"
        return self._member

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roster:
        return Roster(members={self._member: scopes}, holders=dict.fromkeys(self._claimed, self._member))

    def claim(self, shares: Collection[Share]) -> frozenset[Share]:
        free = frozenset(shares) - self._claimed
        self._claimed |= free
        return free

    def release(self, shares: Collection[Share]) -> None:
        self._claimed -= frozenset(shares)

    def leave(self) -> None:
        self._member, self._claimed = "", frozenset()
