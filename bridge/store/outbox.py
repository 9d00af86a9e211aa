"""The outbox: the waiting deliveries, queue by queue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from bridge.domain.delivery import Delivery, within
from bridge.domain.slots import SLOTS, endpoint_scope, slots_held
from bridge.ports import MOST_BYTES
from bridge.store.command_store import enable, end_queue_waits
from bridge.store.read_store import ReadStore
from bridge.store.records import QUEUE_WAITS, Record
from bridge.store.sql_session import Session
from bridge.store.statements import SQL, Statement

DELIVERIES: Final = Record("delivery", Delivery, "deliveries LEFT JOIN events USING (event_id)", is_checked=False)
HANDED_OUT: Final = Statement(f"FROM {DELIVERIES.table} WHERE delivery_id IN (:wanted[])", answer=DELIVERIES.columns)


class OutboxStore(ReadStore):
    """`ports.Outbox`."""

    def queues(self) -> list[tuple[str, str]]:
        return [(endpoint, target) for endpoint, target in self._database.find(SQL["outbox.queues"])]

    def queue_wait_ends(self, fingerprints: Mapping[str, str]) -> Mapping[tuple[str, str], float]:
        """See `ports.Outbox.queue_wait_ends`. `commit` notes the fingerprints that `disabled` was given."""
        by_mark = QUEUE_WAITS.by("fingerprint", self._database, "")
        held = [(one, mark) for mark, waits in by_mark.items() for one in waits]
        changed = self._renewed([(one.endpoint, mark) for one, mark in held], fingerprints, end_queue_waits)
        return {(one.endpoint, one.target): one.until_at for one, _ in held if one.endpoint not in changed}

    def failing(self) -> frozenset[str]:
        return frozenset(one.endpoint for one in self.failing_endpoints())

    def make_due(self, *, latest_at: float, first_at: float) -> int:
        with self._database.write() as session:
            return session.execute(SQL["outbox.make_due"], latest_at=latest_at, first_at=first_at)

    def due(
        self,
        endpoint: str,
        target: str,
        *,
        now: float,
        limit: int,
        most_bytes: int = MOST_BYTES,
        apart_from: Collection[int] = (),
        in_order: bool = False,
    ) -> tuple[list[Delivery], float | None]:
        """See `ports.Outbox.due`. A delivery waits until all earlier deliveries of its task are settled; the instant
        is when the next one that does not wait in this way is due."""
        slots = range(SLOTS) if self._held is None else slots_held(endpoint_scope(endpoint), self._held)
        queue = {"endpoint": endpoint, "target": target, "slots": list(slots), "apart_from": list(apart_from)}
        asked = SQL["outbox.due_in_order" if in_order else "outbox.due"]
        with self._database.read() as session:
            sizes = session.find(asked, **queue, now=now, limit=limit)
            wanted = within(sizes, most_bytes)
            found = {row[0]: DELIVERIES.read(row) for row in session.find(HANDED_OUT, wanted=wanted)} if wanted else {}
            next_up = session.find(SQL["outbox.next_due"], **queue, found=len(wanted))
        return [found[delivery_id] for delivery_id in wanted], next_up[0][0] if next_up else None

    def disabled(self, fingerprints: Mapping[str, str]) -> Mapping[str, str]:
        """See `ports.Outbox.disabled`. `commit` notes these fingerprints with what it disables."""
        found = self._database.find(SQL["outbox.disabled"])
        changed = self._renewed([(one, mark) for one, _, mark in found], fingerprints, enable)
        self._fingerprints = dict(fingerprints)
        return {one: reason for one, reason, _ in found if one not in changed}

    def _renewed(
        self,
        found: Iterable[tuple[str, str | None]],
        fingerprints: Mapping[str, str],
        renew: Callable[[Session, Collection[str]], object],
    ) -> set[str]:
        """The endpoints whose settings have changed since these fingerprints. `renew` is called with them. An endpoint
        that is not in the settings counts as unchanged. So does one whose settings are those of the last call: another
        daemon has others."""
        changed = {
            one
            for one, mark in found
            if mark is not None and fingerprints.get(one, mark) not in (mark, self._fingerprints.get(one))
        }
        if changed:
            with self._database.write() as session:
                renew(session, changed)
        return changed
