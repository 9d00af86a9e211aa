"""A store as commands write to it, beside daemons."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bridge.store.callback_store import CallbackStore
from bridge.store.form_store import FormStore
from bridge.store.request_store import RequestStore
from bridge.store.rows import plain
from bridge.store.sql_files import SQL
from bridge.store.sqlite.inspection import OWNER
from bridge.store.watch_store import WatchStore


class CommandStore(WatchStore, RequestStore, CallbackStore, FormStore):
    """Adds tasks and does what a person asked for, without loading what only daemons need."""

    def belong(self, settings: str | None, base_urls: Mapping[str, str]) -> None:
        """Note the settings file (None: keep it) and the base URLs of these accounts. Writes only what has changed. A
        shared store has no owner."""
        if self.is_shared:
            return
        [(before, known)] = self._once.find(OWNER)
        settings = before if settings is None else plain(settings)
        merged = {**json.loads(known), **base_urls}
        if before == settings and merged == json.loads(known):
            return
        with self._database.write() as session:
            session.execute(SQL["commands.own"], settings=settings, base_urls=json.dumps(merged))
