"""Asks: what people want done to a store by commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from bridge.domain.delivery import DELIVERY_FOLLOWS, DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE, Phase
from bridge.store.sqlite.part import ADD_FACT, ENABLE, Part, found, next_revision
from bridge.store.sqlite.watches import withdraw
from bridge.store.views import BY_PERSON, Touched

_REDELIVERABLE: Final = json.dumps(
    [state for state in DeliveryState if DeliveryState.WAITING in DELIVERY_FOLLOWS[state]]
)
_REDELIVER: Final = """
    UPDATE deliveries SET state = 'waiting', attempts = 0, next_attempt_at = 0, settled_at = NULL
    WHERE state IN (SELECT value FROM json_each(?1))
        AND (?2 IS NULL OR event_id IN (SELECT value FROM json_each(?2)))
        AND (?3 IS NULL OR created_at >= ?3)
        AND (?4 IS NULL OR endpoint = ?4)
"""
_HASTEN: Final = """
    UPDATE deliveries SET next_attempt_at = 0 WHERE state = 'waiting' AND endpoint = ?
"""
_ASK: Final = "UPDATE watches SET poll_asked_at = ?, revision = ? WHERE watch_id = ?"


class AsksPart(Part):
    """`views.Asks` on SQLite."""

    def withdraw(self, keys: Sequence[WatchKey], *, now: float) -> list[Touched]:
        """See `views.Asks.withdraw`."""
        touched = []
        with self._database.write() as connection:
            revision = next_revision(connection)
            for key in keys:
                row = found(connection, key)
                if row is None or row[1] not in LIVE:
                    touched.append(_left_alone(key, row))
                    continue
                withdraw(connection, row[0], revision=revision, by=BY_PERSON, now=now)
                # Whoever added it once wants it no longer; a list that holds it still does, and is left its say.
                connection.execute("DELETE FROM naming WHERE watch_id = ? AND NOT is_listed", (row[0],))
                touched.append(Touched(key=key, done=True, phase=Phase.WITHDRAWN))
        return touched

    def poll_now(self, keys: Sequence[WatchKey], *, now: float) -> list[Touched]:
        """See `views.Asks.poll_now`."""
        touched = []
        with self._database.write() as connection:
            revision = next_revision(connection)
            for key in keys:
                row = found(connection, key)
                if row is None or row[1] not in LIVE:
                    touched.append(_left_alone(key, row))
                    continue
                connection.execute(_ASK, (now, revision, row[0]))
                connection.execute(ADD_FACT, (row[0], now, "poll asked", BY_PERSON))
                touched.append(Touched(key=key, done=True, phase=Phase(row[1])))
        return touched

    def redeliver(self, *, event_ids: Sequence[str], dead: bool, since: float | None, endpoint: str | None) -> int:
        """See `views.Asks.redeliver`."""
        if not event_ids and not dead and since is None:
            return 0
        states = json.dumps([DeliveryState.DEAD]) if dead else _REDELIVERABLE
        wanted = json.dumps(list(event_ids)) if event_ids else None
        with self._database.write() as connection:
            return connection.execute(_REDELIVER, (states, wanted, since, endpoint)).rowcount

    def enable(self, endpoint: str) -> bool:
        """See `views.Asks.enable`. What waits for it is due at once."""
        with self._database.write() as connection:
            if connection.execute(ENABLE, (endpoint,)).rowcount == 0:
                return False
            connection.execute(_HASTEN, (endpoint,))
            return True


def _left_alone(key: WatchKey, row: tuple[int, str] | None) -> Touched:
    return Touched(key=key, done=False, phase=None if row is None else Phase(row[1]))
