"""PostgreSQL's errors as errors for the person who runs genbridge."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import psycopg
from psycopg import errors

from bridge.config.postgres_url import PostgresUrl
from bridge.errors import BridgeBug, GenbridgeError, LeaseLost, StoreDamaged, StoreError

_POOLING: Final = "let the connection pooler (pgbouncer) use session pooling"
_GRANTS: Final = {  # by the object that the server's message names
    "row-level security": "ALTER TABLE ... DISABLE ROW LEVEL SECURITY, or ALTER ROLE ... BYPASSRLS",
    "schema": "GRANT USAGE, CREATE ON SCHEMA {} TO this user, or let its owner run `genbridge store migrate`",
    "database": "GRANT CONNECT ON DATABASE ... TO this user",
    "sequence": "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO this user",
    "table": "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO this user",
}
_ADVICE: Final = {  # by a part of the message
    "password": "check user and password in postgresql://USER:${PASSWORD}@..., or in the passfile",
    "prepared statement": _POOLING,
    "pooling mode": _POOLING,
    '" does not exist': "create it, or name another one",
    "permission denied": _GRANTS["database"],
    "certificate verify failed": "name the file of the CA in sslrootcert, or sslrootcert=system for public CAs",
    "too many": "end other connections, or raise the limit on the server",
}
_WRAPPING: Final = re.compile(r"(- host: .*: )?connection (failed|is bad): |Multiple connection attempts failed.*")


class Mark(NamedTuple):
    """Stored by each commit, to find out later whether it was done: the name of its connection, and its number."""

    writer: str
    serial: int


class InDoubt(StoreError):
    """The connection was lost before the answer to COMMIT came, so it is not known whether the commit was done.
    `Database.has_committed` finds out by the mark."""

    def __init__(self, text: str, mark: Mark) -> None:
        super().__init__(text)
        self.mark = mark


def lease_lost() -> LeaseLost:
    return LeaseLost("this daemon's lease on the store has ended")


def denied(place: PostgresUrl, said: str, schema: str = "...") -> StoreDamaged:
    """The error about a missing right. It names the statement that grants it."""
    grant = next((grant for what, grant in _GRANTS.items() if what in said), _GRANTS["table"])
    return StoreDamaged(f"store {place}: {said}; {grant.format(schema)}")


def refuses_writes(place: PostgresUrl) -> StoreError:
    why = "it is a standby, or default_transaction_read_only is set"
    way_out = "name the primary, or all hosts and target_session_attrs=read-write"
    return StoreError(f"store {place}: the server accepts no writes ({why}); {way_out}")


def understood(error: psycopg.Error, place: PostgresUrl) -> GenbridgeError:
    """The error that says what happened and how to fix it."""
    lines = (error.diag.message_primary or str(error) or type(error).__name__).splitlines()
    unique = dict.fromkeys(" ".join(_WRAPPING.sub("", line).split()) for line in lines)  # one for each attempt
    said = place.hide("; ".join(filter(None, unique)))
    match error:
        case errors.InsufficientPrivilege():
            return denied(place, said)
        case errors.ReadOnlySqlTransaction():
            return refuses_writes(place)
        case errors.LockNotAvailable() | errors.DeadlockDetected():
            return StoreError(f"store {place}: another process has kept it locked ({said}); try again later")
        case errors.DuplicateTable():
            return StoreDamaged(f"store {place}: {said}, of another program; give genbridge a schema of its own")
        case errors.QueryCanceled():
            return StoreError(f"store {place}: the server is too slow ({said}); genbridge tries again")
        case errors.IdleInTransactionSessionTimeout():
            return StoreError(f"store {place}: this process or its network was frozen ({said}); genbridge tries again")
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.InvalidSchemaName():
            return StoreDamaged(f"store {place}: {said}; restore a backup, or `genbridge store migrate`")
        case errors.DiskFull() | errors.OutOfMemory() | errors.ConfigurationLimitExceeded():
            return StoreError(f"store {place}: the server has no room left ({said}); free some space there")
    # Lost connections, a server that starts or stops, too many connections, I/O errors, a pooler: these may pass.
    kind = "08" if "prepared statement" in said else (error.sqlstate or "")[:2]
    if isinstance(error, psycopg.OperationalError) or kind in {"08", "53", "57", "58"}:
        advice = next((f"; {advice}" for what, advice in _ADVICE.items() if what in said), "")
        return StoreError(f"store {place}: {said}{advice}")
    return BridgeBug(f"store {place}: {type(error).__name__}: {said}")
