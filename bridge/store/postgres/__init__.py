"""The shared store. One object for all slices, one file for each, as for SQLite:

watches, commits, outbox,
durations, shares           the slices of `ports`, for the engine; intake and transaction do the work of the first two
views, asks                 the slices of `store.views`, for the commands
retention                   what goes when it has been kept long enough
moving                      a whole store out or in
part                        what those eight share
database                    transactions and versions; link is one connection, failures tells what its errors mean
listener                    hears what others write
"""

from __future__ import annotations

from typing import Final

from bridge.config.place import PostgresUrl
from bridge.errors import StoreError
from bridge.ports import Clock, News
from bridge.store.postgres.asks import AsksPart
from bridge.store.postgres.commits import CommitsPart
from bridge.store.postgres.database import LATEST, Database, one
from bridge.store.postgres.durations import DurationsPart
from bridge.store.postgres.listener import Listener
from bridge.store.postgres.moving import MovingPart
from bridge.store.postgres.outbox import OutboxPart
from bridge.store.postgres.retention import RetentionPart
from bridge.store.postgres.shares import SharesPart
from bridge.store.postgres.views import ViewsPart
from bridge.store.postgres.watches import WatchesPart

AGREE_S: Final = 2.0  # a difference that does no harm, and may be the answer's own way here

_NOW: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"


class PostgresStore(
    WatchesPart,
    CommitsPart,
    OutboxPart,
    DurationsPart,
    SharesPart,
    ViewsPart,
    AsksPart,
    RetentionPart,
    MovingPart,
):
    """A store in a PostgreSQL database, for any number of daemons and commands.

    Calls block, and may come from several threads at a time. Every method is one transaction, on the server's disk
    when it returns, or not done at all when it raises; where that cannot be known, because the connection was lost in
    the middle of a commit, `commit` finds it out when it is called again.
    """

    is_shared: Final = True
    look_every_s: Final = 0.05  # for news: that costs a glance at four numbers
    notes_every_s: Final = 30.0  # only the last of each watch is written, and losing them costs a few early polls

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._listener = Listener(database)

    @property
    def place(self) -> PostgresUrl:
        return self._database.place

    def news(self) -> News:
        """See `ports.Newsworthy.news`. It asks nobody: a thread listens. StoreError while that cannot reach the
        server."""
        heard = self._listener.heard
        if isinstance(self._listener.failure, StoreError):
            raise self._listener.failure
        return heard._replace(work=heard.work + self._database.unheard)

    def ahead_s(self, clock: Clock) -> float:
        """See `whole.Store.ahead_s`. It is the server's."""
        with self._database.read() as link:
            ahead_s: float = one(link.execute(_NOW))[0] - clock.now()
        return ahead_s if abs(ahead_s) > AGREE_S else 0.0

    def is_syncing(self) -> bool:
        """Whether the server is being waited for right now: each such wait has its own end. To be asked from another
        thread: waits for nothing."""
        return self._database.is_busy

    def give_up(self) -> None:
        """See `whole.Store.give_up`."""
        self._database.give_up()

    def close(self) -> None:
        """Let go of the server. A later call would connect again."""
        self._listener.close()
        self._database.close()


def migrate_postgres(place: PostgresUrl, *, clock: Clock) -> tuple[int, int]:
    """Make a store's tables, or bring them up to date; says from which version to which."""
    database = Database(place, clock=clock)
    try:
        return database.migrate()
    finally:
        database.close()


def open_postgres(place: PostgresUrl, *, create: bool, clock: Clock) -> PostgresStore:
    """The store at this place. With `create` its tables are made if they are not there, and brought up to date.

    StoreDamaged when it is newer than we are, or the database cannot be used; StoreError when nobody answers, when
    there is no store yet, or when it is of an older version.
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
    return PostgresStore(database)
