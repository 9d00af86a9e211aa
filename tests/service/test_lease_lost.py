"""A daemon that loses its lease on a shared store during a reload, and begins again."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from bridge.cli.session import CommandSession
from bridge.clock import SystemClock
from bridge.config.load import Loaded
from bridge.config.postgres_url import PostgresUrl
from bridge.daemon import Daemon, stamp
from bridge.domain.account_state import AccountState
from bridge.domain.ids import WatchKey
from bridge.domain.slots import Roster
from bridge.domain.watch import Wish
from bridge.errors import LeaseLost
from bridge.ports import Added
from bridge.store.postgres import PostgresStore
from bridge.store.postgres.database import Database

pytestmark = pytest.mark.usefixtures("unmeasured")


class Held(PostgresStore):
    """A store in which one call waits once, for as long as the test wants."""

    holds = ""  # name of that call

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.is_held, self.go_on, self.has_lost = threading.Event(), threading.Event(), threading.Event()

    def accounts(self) -> Mapping[str, AccountState]:
        self._hold("accounts")
        return super().accounts()

    def sync(
        self, wishes: Sequence[Wish], *, source: str, now: float, kept: Collection[WatchKey] | None = ()
    ) -> tuple[list[Added], list[WatchKey]]:
        self._hold("sync")
        return super().sync(wishes, source=source, now=now, kept=kept)

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roster:
        try:
            return super().renew(scopes=scopes, lease_s=lease_s)
        except LeaseLost:
            self.has_lost.set()
            raise

    def _hold(self, what: str) -> None:
        if what == self.holds:
            self.holds = ""
            self.is_held.set()
            assert self.go_on.wait(20)


def settings(folder: Path, store: str, *accounts: str, watchlist: str) -> Path:
    known = {"provider": "kling", "base_url": "http://127.0.0.1:9", "api_key": "sk-1234"}
    path = folder / "genbridge.yaml"
    written: dict[str, Any] = {
        "store": store,
        "accounts": dict.fromkeys(accounts, known),
        "sources": {"watchlist": watchlist},
        "endpoints": {"hook": {"type": "webhook", "url": "http://127.0.0.1:9/hook"}},
        "sharing": {"takeover": "5s"},
    }
    path.write_text(json.dumps(written))
    (folder / watchlist).write_text("[]")
    return path


@asynccontextmanager
async def running(path: Path, store: PostgresStore, place: PostgresUrl) -> AsyncIterator[Daemon]:
    def reread() -> Loaded:
        return CommandSession(config=str(path)).resolved()

    daemon = Daemon(
        reread(),
        store=store,
        clock=SystemClock(),
        place=place,
        reread=reread,
        seen=stamp(path),
    )
    async with anyio.create_task_group() as group:
        group.start_soon(daemon.run)
        yield daemon
        os.kill(os.getpid(), signal.SIGTERM)


async def until(event: threading.Event) -> None:
    assert await anyio.to_thread.run_sync(event.wait, 20)


async def served(place: PostgresUrl) -> list[str]:
    """The accounts that the members serve now."""
    async with await psycopg.AsyncConnection.connect(place.reveal()) as link:
        rows = await (await link.execute("SELECT scopes FROM members")).fetchall()
    scopes = [scope for [text] in rows for scope in json.loads(text)]
    return sorted(scope.removeprefix("account/") for scope in scopes if scope.startswith("account/"))


@pytest.mark.long
@pytest.mark.parametrize("held_up", ["accounts", "sync"])
async def test_settings_that_are_read_while_a_lease_is_lost_hold_afterwards(
    tmp_path: Path, postgres: PostgresUrl, held_up: str
) -> None:
    store = Held(Database(postgres, clock=SystemClock()))
    store._database.migrate()
    path = settings(tmp_path, postgres.reveal(), "one", watchlist="first.yaml")
    with anyio.fail_after(40):
        async with running(path, store, postgres) as daemon:
            await daemon._app._started.wait()
            assert await served(postgres) == ["one"]
            store.holds = held_up
            settings(tmp_path, postgres.reveal(), "one", "two", watchlist="second.yaml")
            os.kill(os.getpid(), signal.SIGHUP)
            await until(store.is_held)
            async with await psycopg.AsyncConnection.connect(postgres.reveal(), autocommit=True) as link:
                await link.execute("DELETE FROM members")
            # On a busy machine, the membership may wait for the held call. Then it notices the loss later.
            await anyio.to_thread.run_sync(store.has_lost.wait, 6)
            await anyio.sleep(0.3)  # everything that can end has ended
            store.go_on.set()
            while await served(postgres) != ["one", "two"]:
                await anyio.sleep(0.05)
    store.close()
