"""Several daemons on one PostgreSQL (the benchmark's own server, `fsync` on): what polls and finished tasks cost the
database, how long a hand-over of work takes, and what grows with the number of daemons. Statements and CPU are the
server's own counts, for all daemons together. Each case has the same watches and the same rate of polls."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.daemon import ACCOUNT, settle, started
from benchmarks.processes import Measured, Server, family, server, until
from benchmarks.provider import ACTION
from benchmarks.tables import Report, Table, number
from bridge.config.postgres_url import PostgresUrl
from bridge.domain.slots import SLOTS, Share
from bridge.domain.watch import Wish
from bridge.store import Store, open_store
from tests.postgres import Server as Database
from tests.postgres import own_server

TAKEOVER_S: Final = 10
DURABLE: Final = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
}
_CALLS: Final = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'"


def run(quick: bool) -> Report:
    watches, seconds, counts = (60, 1.5, (1, 2)) if quick else (4000, 40.0, (1, 2, 4))
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch,
        own_server(settings=DURABLE) as database,
        server("receiver") as receiver,
    ):
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
        claims = _claims(database, 2 if quick else 40)
        setting = _Setting(
            Path(scratch), database, receiver, interval="1s" if quick else "10s", every_s=0.5 if quick else 0.02
        )
        rows = [setting.measured(daemons, watches=watches, seconds=seconds) for daemons in counts]
        changes = setting.changes_of_hands(1 if quick else 5)
    head = (
        "daemons",
        "polls/s",
        "statements per 1,000 polls",
        "server CPU per 1,000 polls",
        "daemons' CPU per 1,000 polls",
        "statements per finish",
        "server CPU per finish",
        "notified/s",
    )
    notes = [
        f"claiming shares, 160 in a call: {number(claims)} a second",
        f"{watches:,} watches; the figures include leases, news and notes, which cost the same for any number of polls",
    ]
    tables = [Table(head=head, rows=rows), Table(head=("from", "to", "median", "most"), rows=changes)]
    return Report(title="Several daemons on PostgreSQL", how=__doc__ or "", tables=tables, notes=notes)


def _claims(database: Database, rounds: int) -> float:
    """How many shares one member claims per second, in transactions of 160 shares."""
    store = open_store(PostgresUrl(database.url), create=True, group_access=False)
    shares = [Share(f"account/{account}", slot) for account in range(10) for slot in range(SLOTS)]
    try:
        store.join(name="claims", scopes={}, lease_s=600)
        taken_s = 0.0
        for _ in range(rounds):
            begun_at = time.monotonic()
            store.claim(shares)
            taken_s += time.monotonic() - begun_at
            store.release(shares)
        store.leave()
    finally:
        store.close()
    return rounds * len(shares) / taken_s


class _Setting:
    """Daemons on one database, with a provider and a receiver."""

    def __init__(self, folder: Path, database: Database, receiver: Server, *, interval: str, every_s: float) -> None:
        self._folder = folder
        self._database = database
        self._receiver = receiver
        self._place = PostgresUrl(database.url)
        self._interval = interval
        self._every_s = every_s  # time between two checks of the shares that each daemon holds
        self._server = Measured(database.process)
        self._round = 0

    def measured(self, daemons: int, *, watches: int, seconds: float) -> Sequence[str]:
        """Measure steady polls for this long, then the end of half of the watches at once."""
        self._round += 1
        ends = self._fill(watches)
        with server("provider") as provider, self._running(daemons, provider) as running:
            until(lambda: _polls(provider) >= 2 * watches, seconds=60)
            before = self._cost(running, provider)
            time.sleep(seconds)
            after = self._cost(running, provider)
            polls, statements, server_s, daemons_s = (b - a for a, b in zip(before, after, strict=True))
            told = self._receiver.ask("count")
            begun_at = time.monotonic()
            provider.ask("open")
            if not until(lambda: self._receiver.ask("count") >= told + ends, seconds=120):
                raise RuntimeError(f"of {ends} ends {self._receiver.ask('count') - told} were told in two minutes")
            took_s = time.monotonic() - begun_at
            over = self._cost(running, provider)
            _, ended, ended_s, _ = (b - a for a, b in zip(after, over, strict=True))
        self._empty()
        return [
            str(daemons),
            number(polls / seconds),
            number(1000 * statements / polls),
            f"{number(1e6 * server_s / polls)} ms",
            f"{number(1e6 * daemons_s / polls)} ms",
            number(ended / ends),
            f"{number(1e3 * ended_s / ends)} ms",
            number(ends / took_s),
        ]

    def changes_of_hands(self, times: int) -> list[Sequence[str]]:
        """Measure how long it takes until the remaining daemon holds everything."""
        rows: list[Sequence[str]] = []
        for what, end in (("stopped (SIGTERM)", Measured.stop), ("killed (kill -9)", Measured.kill)):
            taken = []
            for _ in range(times):
                with server("provider") as provider, self._running(2, provider) as running:
                    begun_at = time.monotonic()
                    end(running[0])
                    until(lambda: self._holders() == 1, seconds=3 * TAKEOVER_S, every_s=self._every_s)
                    taken.append(time.monotonic() - begun_at)
            bound = f"the other holds everything (takeover {TAKEOVER_S} s)"
            rows.append([what, bound, f"{number(statistics.median(taken))} s", f"{number(max(taken))} s"])
        return rows

    @contextmanager
    def _running(self, count: int, provider: Server) -> Iterator[list[Measured]]:
        settings = settle(
            self._folder,
            provider=provider.url,
            receiver=self._receiver.url,
            interval=self._interval,
            rate=1000,
            store=self._database.url,
            sharing={"takeover": f"{TAKEOVER_S}s"},
        )
        with ExitStack() as ending:
            running = []
            for _ in range(count):
                running.append(started(settings))
                ending.callback(_stop, running[-1])
            assert until(lambda: self._holders() == count, seconds=30), "the daemons do not share"
            yield running

    def _fill(self, watches: int) -> int:
        ids = [f"g0-{self._round}-{place}" if place % 2 else f"r{self._round}-{place}" for place in range(watches)]
        with self._store() as store:
            store.add(
                [Wish(account=ACCOUNT, task_id=each, action=ACTION) for each in ids],
                source="benchmark",
                now=time.time(),
            )
        return watches // 2

    def _empty(self) -> None:
        with psycopg.connect(self._database.url, autocommit=True) as connection:
            connection.execute("TRUNCATE watches CASCADE")

    def _holders(self) -> int:
        """How many daemons hold a share, or 0 while a share is free or held by a dead daemon."""
        with self._store() as store:
            members = [view.shares for view in store.members()]
            return sum(map(bool, members)) if sum(members) == 2 * SLOTS else 0

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = open_store(self._place, create=True, group_access=False)
        try:
            yield store
        finally:
            store.close()

    def _cost(self, running: Sequence[Measured], provider: Server) -> tuple[float, float, float, float]:
        with psycopg.connect(self._database.url, autocommit=True) as connection:
            found = connection.execute(_CALLS).fetchone()
        assert found is not None
        return _polls(provider), float(found[0]), self._server.cpu_s(), sum(daemon.cpu_s() for daemon in running)


def _polls(provider: Server) -> int:
    requests: int = provider.ask("counts")["requests"]
    return requests


def _stop(daemon: Measured) -> None:
    if daemon.process.poll() is None and family(daemon.process.pid):
        daemon.stop()
