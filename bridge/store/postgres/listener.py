"""Hears of what others write to the store: a thread with a connection of its own that listens to notifications."""

from __future__ import annotations

import math
import threading
from typing import Final

import psycopg

from bridge.errors import GenbridgeError
from bridge.ports import News
from bridge.store.postgres.database import CHANNEL, MEMBERS, Database, one
from bridge.store.postgres.failures import understood
from bridge.store.postgres.link import Link
from bridge.store.postgres.part import ENDS, OUTBOX, WORK

LISTEN_S: Final = 5.0  # then it looks for itself: also at connections that carry no notifications (pgbouncer)
AGAIN_AFTER_S: Final = 1.0

_LOOK: Final = "SELECT revision, touched FROM genbridge_store"


class Listener:
    """What is `heard` grows with everything that others have written and daemons are woken for, all of it whenever
    something may have been missed. It begins to listen when first asked."""

    def __init__(self, database: Database) -> None:
        self.failure: GenbridgeError | None = None  # why nothing can be heard now
        self._database = database
        self._heard = dict.fromkeys((WORK, OUTBOX, MEMBERS, ENDS), 0)
        self._seen: tuple[int, int] | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def heard(self) -> News:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store-listener", daemon=True)
            self._thread.start()
        heard = self._heard
        return News(work=heard[WORK], outbox=heard[OUTBOX], members=heard[MEMBERS], ends=heard[ENDS])

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(AGAIN_AFTER_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                link = self._database.new_link(unless=self._closing.is_set)
                try:
                    self._listen(link)
                finally:
                    link.close()
            except psycopg.Error as error:
                self.failure = understood(error, self._database.place)
            except GenbridgeError as error:
                self.failure = error
            self._closing.wait(AGAIN_AFTER_S)

    def _listen(self, link: Link) -> None:
        link.execute(f"LISTEN {CHANNEL}")
        schema = one(link.execute("SELECT current_schema()"))[0]
        for what in self._heard:
            self._heard[what] += 1  # whatever was written while nobody listened
        while not self._closing.is_set():
            self._look(link)
            self.failure = None
            with link.patience(math.inf):
                for notice in link.notifies(timeout=LISTEN_S):
                    self._take(notice.payload, schema)

    def _take(self, payload: str, schema: str) -> None:
        said = payload.rsplit(" ", 2)  # the channel is the database's: anybody may say anything
        if len(said) == 3 and said[0] == schema and said[1] != self._database.writer and said[2] in self._heard:
            self._heard[said[2]] += 1

    def _look(self, link: Link) -> None:
        seen = link.execute(_LOOK).fetchone()
        if seen is not None and seen != self._seen:
            self._heard[WORK] += self._seen is not None
            self._seen = (seen[0], seen[1])
