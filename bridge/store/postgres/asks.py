"""Asks: what people want done to a store by commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.domain.delivery import DELIVERY_FOLLOWS, DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE, Phase
from bridge.store.postgres.part import ENABLE, Part, add_facts, found, lock_store, withdraw
from bridge.store.views import BY_PERSON, Touched

_REDELIVERABLE: Final = [str(state) for state in DeliveryState if DeliveryState.WAITING in DELIVERY_FOLLOWS[state]]
_REDELIVER: Final = """
    UPDATE deliveries SET state = 'waiting', attempts = 0, next_attempt_at = 0, settled_at = NULL
    WHERE delivery_id IN (
        SELECT delivery_id FROM deliveries
        WHERE state = ANY(%(states)s)
            AND (%(event_ids)s::text[] IS NULL OR event_id = ANY(%(event_ids)s))
            AND (%(since)s::float8 IS NULL OR created_at >= %(since)s)
            AND (%(endpoint)s::text IS NULL OR endpoint = %(endpoint)s)
        ORDER BY delivery_id FOR NO KEY UPDATE)
"""
_HASTEN: Final = "UPDATE deliveries SET next_attempt_at = 0 WHERE state = 'waiting' AND endpoint = %s"
_ASK: Final = "UPDATE watches SET poll_asked_at = %s, revision = %s WHERE watch_id = ANY(%s)"
# Whoever added it once wants it no longer; a list that holds it still does, and is left its say.
_UNNAME: Final = "DELETE FROM naming WHERE watch_id = ANY(%s) AND NOT is_listed"


class AsksPart(Part):
    """`views.Asks` on PostgreSQL."""

    def withdraw(self, keys: Sequence[WatchKey], *, now: float) -> list[Touched]:
        """See `views.Asks.withdraw`."""
        with self._database.write() as link:
            lock_store(link)
            known = found(link, set(keys), lock=True)
            watch_ids = []
            touched = []
            for key in keys:
                watch_id, phase = known.get(key, (0, None))
                if phase not in LIVE:
                    touched.append(Touched(key=key, done=False, phase=phase))
                    continue
                watch_ids.append(watch_id)
                known[key] = (watch_id, Phase.WITHDRAWN)
                touched.append(Touched(key=key, done=True, phase=Phase.WITHDRAWN))
            if watch_ids:
                withdraw(link, watch_ids, revision=self._next_revision(link), by=BY_PERSON, now=now)
                link.execute(_UNNAME, (watch_ids,))
            return touched

    def poll_now(self, keys: Sequence[WatchKey], *, now: float) -> list[Touched]:
        """See `views.Asks.poll_now`."""
        with self._database.write() as link:
            lock_store(link)
            known = found(link, set(keys), lock=True)
            asked = [known[key][0] for key in keys if key in known and known[key][1] in LIVE]
            if asked:
                link.execute(_ASK, (now, self._next_revision(link), asked))
                add_facts(link, [(watch_id, now, "poll asked", BY_PERSON) for watch_id in asked])
            phases = [known[key][1] if key in known else None for key in keys]
            return [Touched(key=key, done=phase in LIVE, phase=phase) for key, phase in zip(keys, phases, strict=True)]

    def redeliver(self, *, event_ids: Sequence[str], dead: bool, since: float | None, endpoint: str | None) -> int:
        """See `views.Asks.redeliver`."""
        if not event_ids and not dead and since is None:
            return 0
        wanted = {
            "states": [str(DeliveryState.DEAD)] if dead else _REDELIVERABLE,
            "event_ids": list(event_ids) or None,
            "since": since,
            "endpoint": endpoint,
        }
        with self._database.write() as link:
            number = link.execute(_REDELIVER, wanted).rowcount
            if number:
                self._touch(link)
            return number

    def enable(self, endpoint: str) -> bool:
        """See `views.Asks.enable`. What waits for it is due at once."""
        with self._database.write() as link:
            if link.execute(ENABLE, ([endpoint],)).rowcount == 0:
                return False
            link.execute(_HASTEN, (endpoint,))
            self._touch(link)
            return True
