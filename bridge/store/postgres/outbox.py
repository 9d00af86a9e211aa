"""Outbox: what is still to be delivered, lane by lane."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from bridge.domain.delivery import Delivery
from bridge.domain.shares import SLOTS, endpoint_scope, slots_held
from bridge.ports import MOST_BYTES
from bridge.store.postgres.part import ENABLE, Part
from bridge.store.rows import SELECT_DELIVERY, delivery, within

# One look-up for each lane, where DISTINCT would read every waiting delivery.
LANES: Final = """
    WITH RECURSIVE lanes AS (
        (SELECT endpoint, target FROM deliveries WHERE state = 'waiting' ORDER BY endpoint, target LIMIT 1)
        UNION ALL
        SELECT following.* FROM lanes CROSS JOIN LATERAL (
            SELECT endpoint, target FROM deliveries
            WHERE state = 'waiting' AND (endpoint, target) > (lanes.endpoint, lanes.target)
            ORDER BY endpoint, target LIMIT 1) AS following
    )
    SELECT endpoint, target FROM lanes
"""
# Of a task only the oldest waiting delivery of the lane is up; the others wait for it, whatever their own instant.
# (Asked of each in turn until there are enough: a NOT EXISTS might be made a join with the whole lane.)
_UP: Final = """
    FROM deliveries LEFT JOIN events USING (event_id)
    WHERE endpoint = %(endpoint)s AND target = %(target)s AND state = 'waiting' AND slot = ANY(%(slots)s)
        AND delivery_id <> ALL(%(apart_from)s::bigint[])
        AND (watch_id IS NULL OR delivery_id = (
        SELECT min(older.delivery_id) FROM deliveries AS older
        WHERE older.watch_id = deliveries.watch_id AND older.state = 'waiting'
            AND older.endpoint = %(endpoint)s AND older.target = %(target)s))
"""
HASTEN: Final = "UPDATE deliveries SET next_attempt_at = 0 WHERE state = 'waiting' AND next_attempt_at > %s"
# First how long they are, so that few long ones are read at a time.
DUE: Final = (
    "SELECT delivery_id, octet_length(body)"
    + _UP
    + "AND next_attempt_at <= %(now)s ORDER BY next_attempt_at, delivery_id LIMIT %(limit)s"
)
HANDED_OUT: Final = (
    SELECT_DELIVERY
    + " FROM deliveries LEFT JOIN events USING (event_id) WHERE delivery_id = ANY(%s)"
    + " ORDER BY next_attempt_at, delivery_id"
)
NEXT_DUE: Final = "SELECT next_attempt_at" + _UP + "ORDER BY next_attempt_at, delivery_id LIMIT 1 OFFSET %(found)s"


class OutboxPart(Part):
    """`ports.Outbox` on PostgreSQL."""

    def lanes(self) -> list[tuple[str, str]]:
        """See `ports.Outbox.lanes`."""
        with self._database.read() as link:
            return [(endpoint, target) for endpoint, target in link.execute(LANES)]

    def hasten(self, *, latest_at: float) -> int:
        """See `ports.Outbox.hasten`."""
        with self._database.write() as link:
            return link.execute(HASTEN, (latest_at,)).rowcount

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
        slots = range(SLOTS) if self._held is None else slots_held(endpoint_scope(endpoint), self._held)
        lane = {"endpoint": endpoint, "target": target, "slots": list(slots), "apart_from": list(apart_from)}
        with self._database.read() as link:
            sizes = link.execute(DUE, {**lane, "now": now, "limit": limit})
            wanted = within(sizes, most_bytes)
            found = [delivery(row) for row in link.execute(HANDED_OUT, (wanted,))] if wanted else []
            next_up = link.execute(NEXT_DUE, {**lane, "found": len(found)}).fetchone()
            return found, None if next_up is None else next_up[0]

    def disabled(self, fingerprints: Mapping[str, str]) -> Mapping[str, str]:
        """See `ports.Outbox.disabled`. `commit` notes these fingerprints with what it disables."""
        self._fingerprints = dict(fingerprints)
        reasons: dict[str, str] = {}
        renewed: list[str] = []
        with self._database.read() as link:
            rows = link.execute(
                "SELECT endpoint, reason, fingerprint FROM endpoints WHERE disabled_at IS NOT NULL ORDER BY endpoint"
            )
            for endpoint, reason, fingerprint in rows:
                is_changed = fingerprint is not None and fingerprints.get(endpoint, fingerprint) != fingerprint
                if is_changed:
                    renewed.append(endpoint)
                else:
                    reasons[endpoint] = reason
        if renewed:
            with self._database.write() as link:
                link.execute(ENABLE, (renewed,))
        return reasons
