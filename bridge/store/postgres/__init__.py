"""The shared store: a PostgreSQL database.

Specific to PostgreSQL: transactions and versions (`database`), one connection (`server_connection`), statements
(`sql_session`), commits that lost their answer, leases and shares (`postgres_store`), listening for changes of others
(`listener`), and errors (`failures`).
"""

from __future__ import annotations

from contextlib import closing

from bridge.config.postgres_url import PostgresUrl
from bridge.errors import StoreError
from bridge.ports import Clock
from bridge.store.postgres.database import LATEST, Database
from bridge.store.postgres.failures import denied, refuses_writes
from bridge.store.postgres.postgres_store import PostgresStore
from bridge.store.statements import SQL, TABLES

__all__ = ["PostgresStore", "connected", "migrate_postgres", "usable_version"]


def migrate_postgres(place: PostgresUrl, *, clock: Clock) -> tuple[int, int]:
    """Create or upgrade a store's tables. Returns the versions before and after."""
    with closing(Database(place, clock=clock)) as database:
        return database.migrate()


def usable_version(place: PostgresUrl, *, clock: Clock) -> tuple[int, int]:
    """The version of the store at this place (0: no store yet), and the latest version. Raises the errors of
    `connected` if a daemon could not work there."""
    with closing(Database(place, clock=clock)) as database:
        version = database.version()
        schema, may_create, is_read_only = database.find(SQL["server.may_create"])[0]
        closed = database.find(SQL["server.closed"], tables=list(TABLES))
    if version < LATEST and not may_create:
        raise denied(place, f"permission denied for schema {schema}", schema)
    if closed:
        raise denied(place, closed[0][0], schema)
    if is_read_only:
        raise refuses_writes(place)
    return version, LATEST


def connected(place: PostgresUrl, *, create: bool, clock: Clock) -> Database:
    """The transactions of the store at this place. With `create` its tables are created or upgraded.

    StoreDamaged when it is of a newer version, or the database cannot be used. StoreError when the server does not
    answer, or the store is missing or of an older version.
    """
    database = Database(place, clock=clock)
    try:
        version = database.version()
        if create and version < LATEST:
            database.migrate()
        elif version == 0:
            raise StoreError(f"there is no store in {place} yet: start `genbridge run` once")
        else:
            database.check(version)
    except BaseException:
        database.close()
        raise
    return database
