"""What callbacks need from the store: the key of their addresses, and polls by the daemon that holds the watch."""

from __future__ import annotations

import os
from collections.abc import Mapping

from bridge.domain.callback import CallbackHeard
from bridge.domain.ids import WatchKey
from bridge.domain.store_key import KEY_BYTES, KeyPurpose
from bridge.domain.task import LIVE
from bridge.store.read_store import ReadStore
from bridge.store.rows import plain
from bridge.store.sql_files import SQL
from bridge.store.watch_statements import CALLBACK, POLL_NOW, add_facts, find_watches


class CallbackStore(ReadStore):
    """`callback_ports.CallbackPolls`, and the keys that `ReadStore.key` reads."""

    def ensure_key(self, purpose: KeyPurpose, *, now: float) -> bytes:
        """The store's key for this purpose, made if there is none. Daemons that make it at the same time get the same
        one."""
        found = self.key(purpose)
        if found is not None:
            return found
        with self._database.write() as session:
            session.execute(SQL["commands.add_key"], purpose=purpose, key=os.urandom(KEY_BYTES), now=now)
        made = self.key(purpose)
        assert made is not None
        return made

    def renew_key(self, purpose: KeyPurpose, *, now: float) -> bytes:
        """A new key for this purpose in place of the old one."""
        made = os.urandom(KEY_BYTES)
        with self._database.write() as session:
            session.execute(SQL["commands.set_key"], purpose=purpose, key=made, now=now)
        return made

    def poll_called(
        self, heard: Mapping[WatchKey, CallbackHeard], *, most: int, now: float
    ) -> tuple[int, list[WatchKey]]:
        """See `CallbackPolls.poll_called`."""
        with self._database.read() as session:
            known = find_watches(session, heard.keys(), lock=False)
        polled: dict[str, list[WatchKey]] = {}
        left: list[WatchKey] = []
        for key in heard:
            if key not in known or known[key][1] not in LIVE:
                continue
            of_account = polled.setdefault(key.account, [])
            (of_account if len(of_account) < most else left).append(key)
        if not polled:
            return 0, []
        with self._database.write() as session:
            session.lock_store()
            found = find_watches(session, [key for keys in polled.values() for key in keys], lock=True)
            live = {key: watch_id for key, (watch_id, phase) in sorted(found.items()) if phase in LIVE}
            if live:
                session.execute(POLL_NOW, now=now, revision=session.next_revision(), watch_ids=list(live.values()))
                facts = [(live[key], heard[key].at, CALLBACK, plain(heard[key].detail)) for key in live]
                add_facts(session, facts)
            return len(live), left
