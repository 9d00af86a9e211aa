"""The embedded store: one SQLite file.

Specific to SQLite: connection and transactions (`database`), statements (`sql_session`), a look at a file before it is
opened and its owner (`inspection`), and errors (`failures`).
"""

from __future__ import annotations

from bridge.domain.slots import SoleMember
from bridge.store.full_store import Store
from bridge.store.sqlite.database import Database


class SqliteStore(SoleMember, Store):
    """A store in one SQLite file, for one daemon and any number of commands.

    Calls block, one at a time (`Offload`); only `is_syncing` may be called meanwhile. Every method is one transaction:
    on disk when it returns, not done at all when it raises. The only daemon holds the lock on the file, which is its
    lease.
    """

    _database: Database
