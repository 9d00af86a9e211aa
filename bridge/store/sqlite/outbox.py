"""Outbox: what is still to be delivered, lane by lane."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import orjson

from bridge.domain.delivery import Delivery
from bridge.ports import MOST_BYTES
from bridge.store.rows import DELIVERY_COLUMNS, delivery, json_text, within
from bridge.store.sqlite.many import json_rows
from bridge.store.sqlite.part import ENABLE, Part

# One look-up for each lane, where DISTINCT would read every waiting delivery.
NEXT_LANE: Final = """
    SELECT endpoint, target FROM deliveries
    WHERE state = 'waiting' AND (endpoint, target) > (?, ?) ORDER BY endpoint, target LIMIT 1
"""

# Of a task only the oldest waiting delivery of the lane is up; the others wait for it, whatever their own instant.
# (A LEFT JOIN, since SQLite leaves out one whose columns nobody reads.)
_UP: Final = """
    FROM deliveries LEFT JOIN events USING (event_id)
    WHERE endpoint = ?1 AND target = ?2 AND state = 'waiting'
        AND delivery_id NOT IN (SELECT value FROM json_each(?3)) AND NOT EXISTS (
        SELECT 1 FROM deliveries AS older
        WHERE older.watch_id = deliveries.watch_id AND older.state = 'waiting'
            AND older.endpoint = ?1 AND older.target = ?2 AND older.delivery_id < deliveries.delivery_id)
"""
HASTEN: Final = "UPDATE deliveries SET next_attempt_at = 0 WHERE state = 'waiting' AND next_attempt_at > ?"
# First how long they are, so that few long ones are read at a time: SQLite makes no text beyond a billion bytes.
DUE: Final = (
    json_rows(("delivery_id", "bytes"))
    + f" FROM (SELECT delivery_id, length(body) AS bytes{_UP}AND next_attempt_at <= ?4"
    + " ORDER BY next_attempt_at, delivery_id LIMIT ?5)"
)
# JSON holds no bytes.
HANDED_OUT: Final = (
    json_rows((*DELIVERY_COLUMNS[:-1], "hex(body)"))
    + " FROM json_each(?1) CROSS JOIN deliveries ON delivery_id = value LEFT JOIN events USING (event_id)"
)
NEXT_DUE: Final = "SELECT next_attempt_at" + _UP + "ORDER BY next_attempt_at, delivery_id LIMIT 1 OFFSET ?4"


class OutboxPart(Part):
    """`ports.Outbox` on SQLite."""

    def lanes(self) -> list[tuple[str, str]]:
        """See `ports.Outbox.lanes`."""
        lanes = []
        with self._database.read() as connection:
            lane = ("", "")  # before every other: endpoints have names
            while row := connection.execute(NEXT_LANE, lane).fetchone():
                lane = (row[0], row[1])
                lanes.append(lane)
        return lanes

    def hasten(self, *, latest_at: float) -> int:
        """See `ports.Outbox.hasten`."""
        with self._database.write() as connection:
            return connection.execute(HASTEN, (latest_at,)).rowcount

    def due(
        self,
        endpoint: str,
        target: str,
        *,
        now: float,
        limit: int,
        most_bytes: int = MOST_BYTES,
        apart_from: Collection[int] = (),
    ) -> tuple[list[Delivery], float | None]:
        """See `ports.Outbox.due`. The instant is that of the next delivery that is up; what waits behind another one
        of its task has none until that one is settled."""
        lane = endpoint, target, json_text(list(apart_from))
        with self._database.read() as connection:
            sizes = orjson.loads(connection.execute(DUE, (*lane, now, limit)).fetchone()[0])
            wanted = json_text(within(sizes, most_bytes))
            rows = orjson.loads(connection.execute(HANDED_OUT, (wanted,)).fetchone()[0])
            found = [delivery((*row, bytes.fromhex(body))) for *row, body in rows]
            next_up = connection.execute(NEXT_DUE, (*lane, len(found))).fetchone()
            return found, None if next_up is None else next_up[0]

    def disabled(self, fingerprints: Mapping[str, str]) -> Mapping[str, str]:
        """See `ports.Outbox.disabled`. `commit` notes these fingerprints with what it disables."""
        self._fingerprints = dict(fingerprints)
        reasons: dict[str, str] = {}
        renewed: list[str] = []
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT endpoint, reason, fingerprint FROM endpoints WHERE disabled_at IS NOT NULL ORDER BY endpoint"
            )
            for endpoint, reason, fingerprint in rows:
                is_changed = fingerprint is not None and fingerprints.get(endpoint, fingerprint) != fingerprint
                if is_changed:
                    renewed.append(endpoint)
                else:
                    reasons[endpoint] = reason
        if renewed:
            with self._database.write() as connection:
                connection.executemany(ENABLE, [(endpoint,) for endpoint in renewed])
        return reasons
