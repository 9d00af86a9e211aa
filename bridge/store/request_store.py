"""What people request by commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.domain.delivery_state import DELIVERY_FOLLOWS, DeliveryState
from bridge.domain.filters import DeliveryFilter
from bridge.domain.ids import WatchKey
from bridge.domain.pause import Pause, PauseOf
from bridge.domain.task import LIVE, Phase
from bridge.domain.views import BY_PERSON, Touched
from bridge.errors import OutdatedError
from bridge.store.queue_statements import enable, lift_holds
from bridge.store.read_store import ReadStore
from bridge.store.records import PAUSES
from bridge.store.selection import deliveries_where
from bridge.store.sql_files import SQL
from bridge.store.statements import Session, put
from bridge.store.watch_statements import ADD_FACTS, POLL_NOW, find_watches, withdraw

_REDELIVERABLE: Final = [state for state in DeliveryState if DeliveryState.WAITING in DELIVERY_FOLLOWS[state]]
_IN_ORDER: Final = " ORDER BY delivery_id {postgres:FOR NO KEY UPDATE OF deliveries}"

_THE_PAUSE: Final = " WHERE what = :of AND name = :name {postgres:FOR UPDATE}"
_SET_PAUSE: Final = put("pauses", "what, name")


class RequestStore(ReadStore):
    """Does what a person requests. Daemons follow within a second."""

    def withdraw(self, keys: Sequence[WatchKey], *, now: float) -> list[Touched]:
        """Stop watching, without an event."""
        with self._database.write() as session:
            session.lock_store()
            known = find_watches(session, set(keys), lock=True)
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
                withdraw(session, watch_ids, revision=session.next_revision(), by=BY_PERSON, now=now)
                session.execute(SQL["commands.forget_names"], watch_ids=watch_ids)
            return touched

    def poll_now(self, keys: Sequence[WatchKey], *, now: float) -> list[Touched]:
        """Have these tasks polled at once."""
        with self._database.write() as session:
            session.lock_store()
            known = find_watches(session, set(keys), lock=True)
            asked = [known[key][0] for key in keys if key in known and known[key][1] in LIVE]
            if asked:
                session.execute(POLL_NOW, now=now, revision=session.next_revision(), watch_ids=asked)
                session.run(ADD_FACTS, [(watch_id, now, "poll asked", BY_PERSON) for watch_id in asked])
            phases = [known[key][1] if key in known else None for key in keys]
            return [Touched(key=key, done=phase in LIVE, phase=phase) for key, phase in zip(keys, phases, strict=True)]

    def redeliver(self, wanted: DeliveryFilter, *, expect: int | None = None) -> int:
        """Deliver these again: the same id and bytes, a full round of attempts, due at once. Also lifts every hold on
        the queues of these endpoints.

        Returns how many deliveries that are: none when they are not narrowed down. Canceled ones stay canceled.
        OutdatedError, and nothing is done, when they are not as many as `expect` says.
        """
        states = tuple(state for state in _REDELIVERABLE if state in (wanted.states or _REDELIVERABLE))
        where, values = deliveries_where(wanted._replace(states=states), None)
        with self._database.write() as session:
            session.lock_store()
            found = (
                session.find(SQL["commands.deliveries"] + where + _IN_ORDER, **values)
                if states and wanted.is_narrow
                else []
            )
            if expect is not None and expect != len(found):
                raise OutdatedError(f"{len(found)} deliveries match, not {expect}: nothing is sent again")
            if found:
                session.execute(SQL["commands.redeliver"], delivery_ids=[delivery_id for delivery_id, _ in found])
                lift_holds(session, {name for _, name in found})
                session.touch()
            return len(found)

    def enable(self, endpoint: str) -> bool:
        """Deliver to this endpoint again. Its waiting deliveries are due at once, and no queue is held. False when it
        was not disabled."""
        with self._database.write() as session:
            session.lock_store()
            lift_holds(session, {endpoint})
            is_changed = enable(session, {endpoint})
            if is_changed:
                session.execute(SQL["commands.hasten"], endpoint=endpoint)
            session.touch()
            return is_changed

    def pause(self, of: PauseOf, name: str, *, now: float, until_at: float | None) -> None:
        """Pause until then (None: until `resume`). An existing pause gets the new end."""
        with self._database.write() as session:
            session.lock_store()
            earlier = _pause(session, of, name)
            made = earlier.again(now, until_at) if earlier else Pause(of=of, name=name, since_at=now, until_at=until_at)
            session.run(_SET_PAUSE, [PAUSES.row(made)])
            session.touch()

    def resume(self, of: PauseOf, name: str, *, now: float) -> bool:
        """End the pause now; False when there is none."""
        with self._database.write() as session:
            session.lock_store()
            pause = _pause(session, of, name)
            if pause is None or not pause.lasts(now):
                return False
            session.run(_SET_PAUSE, [PAUSES.row(pause.again(now, now))])
            session.touch()
            return True


def _pause(session: Session, of: PauseOf, name: str) -> Pause | None:
    found = PAUSES.find(session, _THE_PAUSE, of=of, name=name)
    return found[0] if found else None
