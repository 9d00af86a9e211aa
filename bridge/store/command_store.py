"""The store as commands write to it, also while daemons run."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from bridge.domain.callback import CallbackHeard
from bridge.domain.callback_pace import first_of_each
from bridge.domain.delivery_state import DELIVERY_FOLLOWS, DeliveryState
from bridge.domain.filters import DeliveryFilter
from bridge.domain.ids import WatchKey
from bridge.domain.pause import Pause, PauseOf
from bridge.domain.store_key import KEY_BYTES, KeyPurpose
from bridge.domain.task import LIVE, Phase
from bridge.domain.views import BY_PERSON, RequestResult
from bridge.errors import OutdatedError
from bridge.store.records import PAUSES
from bridge.store.rows import Row, plain, stored_json
from bridge.store.selection import deliveries
from bridge.store.sql_session import WORK, Session
from bridge.store.statements import SQL
from bridge.store.watch_rows import CALLBACK, add_facts, find_watches, withdraw
from bridge.store.watch_store import WatchStore

_REDELIVERABLE: Final = [state for state in DeliveryState if DeliveryState.WAITING in DELIVERY_FOLLOWS[state]]
_THE_PAUSE: Final = " WHERE what = :of AND name = :name {postgres:FOR UPDATE}"


class CommandStore(WatchStore):
    """Carries out commands and callbacks without the code that only daemons need. Daemons react within a second."""

    def belong(self, settings: str | None, base_urls: Mapping[str, str]) -> None:
        """Note the settings file (None: keep it) and the base URLs of these accounts. Writes only what has changed. A
        shared store has no owner."""
        if self.is_shared:
            return
        [(before, text)] = self._database.find(SQL["commands.owner"])
        settings = before if settings is None else plain(settings)
        merged = {**(known := stored_json("base URLs", "store", text, dict) or {}), **base_urls}
        if before == settings and merged == known:
            return
        with self._database.write() as session:
            session.execute(SQL["commands.own"], settings=settings, base_urls=json.dumps(merged))

    def withdraw(self, keys: Sequence[WatchKey], *, now: float) -> list[RequestResult]:
        """Stop watching, without an event."""
        with self._locked() as session:
            phases, live = _live_of(session, keys)
            if live:
                watch_ids = list(live.values())
                withdraw(session, watch_ids, revision=session.next_revision(), by=BY_PERSON, now=now)
                session.execute(SQL["commands.forget_names"], watch_ids=watch_ids)
        phases |= dict.fromkeys(live, Phase.WITHDRAWN)
        # A task that is named twice is withdrawn once.
        return [RequestResult(key=key, done=live.pop(key, None) is not None, phase=phases.get(key)) for key in keys]

    def poll_now(self, keys: Sequence[WatchKey], *, now: float) -> list[RequestResult]:
        """Make daemons poll these tasks at once."""
        with self._locked() as session:
            phases, live = _live_of(session, keys)
            _poll(session, [(watch_id, now, "poll asked", BY_PERSON) for watch_id in live.values()], now=now)
        return [RequestResult(key=key, done=key in live, phase=phases.get(key)) for key in keys]

    def redeliver(self, wanted: DeliveryFilter, *, expect: int | None = None) -> int:
        """Deliver these again: the same id and bytes, a full round of attempts, due at once. Also ends every wait of
        the queues of these endpoints.

        Returns how many there are; 0 if the filter has no conditions. Canceled ones stay canceled.
        If their number is not `expect`, raises OutdatedError and does nothing.
        """
        states = tuple(state for state in _REDELIVERABLE if state in (wanted.states or _REDELIVERABLE))
        search = deliveries(wanted._replace(states=states))
        with self._locked() as session:
            found = search.find(session, "commands.deliveries") if states and wanted.is_narrow else []
            if expect is not None and expect != len(found):
                raise OutdatedError(f"{len(found)} deliveries match, not {expect}: nothing is sent again")
            if found:
                session.execute(SQL["commands.redeliver"], delivery_ids=[delivery_id for delivery_id, _ in found])
                end_queue_waits(session, {name for _, name in found})
                session.wake(WORK)
            return len(found)

    def enable(self, endpoint: str) -> bool:
        """Deliver to this endpoint again, at once, and end the waits of its queues. False if it was not disabled."""
        with self._locked() as session:
            end_queue_waits(session, {endpoint})
            is_changed = enable(session, {endpoint})
            if is_changed:
                session.execute(SQL["commands.hasten"], endpoint=endpoint)
            session.wake(WORK)
            return is_changed

    def pause(self, of: PauseOf, name: str, *, now: float, until_at: float | None) -> None:
        """Pause until then (None: until `resume`). An existing pause gets the new end."""
        with self._locked() as session:
            made = _pause(session, of, name, now).again(now, until_at)
            session.run(SQL["commands.set_pause"], [PAUSES.row(made)])
            session.wake(WORK)

    def resume(self, of: PauseOf, name: str, *, now: float) -> bool:
        """End the pause now; False if nothing is paused."""
        with self._locked() as session:
            pause = _pause(session, of, name, now)
            if not pause.lasts(now):
                return False
            session.run(SQL["commands.set_pause"], [PAUSES.row(pause.again(now, now))])
            session.wake(WORK)
            return True

    def ensure_key(self, purpose: KeyPurpose, *, now: float) -> bytes:
        """The store's key for this purpose, made if there is none. All daemons get the same key, even if several make
        it at the same time."""
        return self.key(purpose) or self._set_key("commands.add_key", purpose, now)

    def renew_key(self, purpose: KeyPurpose, *, now: float) -> bytes:
        """A new key for this purpose in place of the old one."""
        return self._set_key("commands.set_key", purpose, now)

    def _set_key(self, how: str, purpose: KeyPurpose, now: float) -> bytes:
        with self._database.write() as session:
            [(key,)] = session.find(SQL[how], purpose=purpose, key=os.urandom(KEY_BYTES), now=now)
            return bytes(key)

    def poll_called(
        self, heard: Mapping[WatchKey, CallbackHeard], *, most: int, now: float
    ) -> tuple[int, list[WatchKey]]:
        """See `CallbackPolls.poll_called`."""
        known = self.known(heard.keys())
        polled, left = first_of_each([key for key in heard if key in known and known[key][1] in LIVE], most)
        if not polled:
            return 0, []
        with self._locked() as session:
            _, live = _live_of(session, polled)
            facts = [(live[key], heard[key].at, CALLBACK, plain(heard[key].detail)) for key in sorted(live)]
            _poll(session, facts, now=now)
            return len(live), left

    def use_form(self, form: str, *, now: float, kept_s: float) -> bool:
        """Record that this form of the page was submitted. False if it was already in the last `kept_s` seconds."""
        with self._database.write() as session:
            session.execute(SQL["commands.forget_forms"], before=now - kept_s)
            return session.execute(SQL["commands.use_form"], form=form, now=now) == 1

    def free_form(self, form: str) -> None:
        """Allow this form of the page to be submitted again, because it had no effect."""
        with self._database.write() as session:
            session.execute(SQL["commands.free_form"], form=form)


def enable(session: Session, endpoints: Collection[str]) -> bool:
    """Deliver to these endpoints again; returns whether any of them was disabled."""
    return session.execute(SQL["commands.enable"], endpoints=sorted(endpoints)) > 0


def end_queue_waits(session: Session, endpoints: Iterable[str]) -> None:
    """End all waits of queues of these endpoints. Deliveries that waited for that are due at once."""
    named = sorted(endpoints)
    session.execute(SQL["commands.hasten_waiting"], endpoints=named)
    session.execute(SQL["commands.end_queue_waits"], endpoints=named)


def _pause(session: Session, of: PauseOf, name: str, now: float) -> Pause:
    """The last pause; if there was none, one that ends as it begins."""
    found = PAUSES.find(session, _THE_PAUSE, of=of, name=name)
    return found[0] if found else Pause(of=of, name=name, since_at=now, until_at=now)


def _live_of(session: Session, keys: Collection[WatchKey]) -> tuple[dict[WatchKey, Phase], dict[WatchKey, int]]:
    """The phases of the watches that exist, and the ids of the live ones. They are locked until the transaction
    ends."""
    found = find_watches(session, set(keys), lock=True)
    live = {key: watch_id for key, (watch_id, phase) in found.items() if phase in LIVE}
    return {key: phase for key, (_, phase) in found.items()}, live


def _poll(session: Session, facts: Sequence[Row], *, now: float) -> None:
    if facts:
        watch_ids = [watch_id for watch_id, *_ in facts]
        session.execute(SQL["watches.poll_now"], now=now, revision=session.next_revision(), watch_ids=watch_ids)
        add_facts(session, facts)
