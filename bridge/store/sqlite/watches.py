"""Watches: intake from the sources, and the poller's notes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bridge.domain.change import Note
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE, Phase
from bridge.domain.watch import WatchState, Wish
from bridge.ports import Added, Cursor
from bridge.store.notes import Noted, by_watch
from bridge.store.rows import SELECT_STATE, json_text, plain, watch_states
from bridge.store.sqlite.part import ADD_FACT, Part, found, next_revision, revision
from bridge.store.sqlite.statements import ADD_FACTS, COUNT_READINGS, NOTE, NOTED

_STATES: Final = SELECT_STATE + " FROM watches "
LIVE_STATES: Final = _STATES + "WHERE phase IN ('submitted', 'running')"
LIVE_SLICE: Final = SELECT_STATE + ", watch_id FROM watches WHERE phase = ? AND watch_id > ? ORDER BY watch_id LIMIT ?"
CHANGED_STATES: Final = _STATES + "WHERE revision > ?"

_ADD: Final = """
    INSERT INTO watches (account, task_id, generation, revision, phase, action, give_up_after_s, added_at,
        blocked_before_s, source, label, endpoints, meta)
    VALUES (?, ?, 1, ?, 'submitted', ?, ?, ?, ?, ?, ?, ?, ?)
"""
# What the new wish leaves out stays as the earlier one had it.
_START_OVER: Final = """
    UPDATE watches SET generation = generation + ?, revision = ?, phase = 'submitted', is_tombstone = 0,
        action = coalesce(?, action), give_up_after_s = coalesce(?, give_up_after_s), added_at = ?,
        blocked_before_s = ?, label = coalesce(?, label), endpoints = coalesce(?, endpoints), meta = coalesce(?, meta),
        next_poll_at = NULL, poll_asked_at = NULL, next_poll_why = '', ended_at = NULL, reason = NULL,
        failures = 0, doubt_kind = NULL, doubt_answers = NULL, doubt_since_at = NULL
    WHERE watch_id = ?
"""
_FORGET_POLLS: Final = """
    UPDATE watches SET polls = 0, progress = NULL, progress_told = NULL, progress_told_at = NULL, input_told = 0,
        snapshot = NULL
    WHERE watch_id = ?
"""
_WITHDRAW: Final = """
    UPDATE watches SET phase = 'withdrawn', revision = ?, ended_at = ?, next_poll_at = NULL, poll_asked_at = NULL
    WHERE watch_id = ?
"""
_NAMED: Final = """
    SELECT account, task_id, watch_id FROM naming JOIN watches USING (watch_id) WHERE naming.source = ?
"""
_UNNAMED: Final = """
    SELECT phase, is_tombstone,
        EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id),
        EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id AND is_listed)
    FROM watches WHERE watch_id = ?
"""


class WatchesPart(Part):
    """`ports.Watches` on SQLite."""

    def add(
        self,
        wishes: Sequence[Wish],
        *,
        source: str,
        now: float,
        again: bool = False,
        cursor: Cursor | None = None,
    ) -> list[Added]:
        """See `ports.Watches.add`."""
        with self._database.write() as connection:
            intake = _Intake(connection, source=source, now=now, is_listing=False)
            added = [intake.take(wish, again=again) for wish in wishes]
            if cursor is not None:
                connection.execute(
                    "INSERT INTO cursors (source, value) VALUES (?1, ?2) ON CONFLICT (source) DO UPDATE SET value = ?2",
                    (cursor.source, cursor.value),
                )
            return added

    def sync(self, wishes: Sequence[Wish], *, source: str, now: float) -> tuple[list[Added], list[WatchKey]]:
        """See `ports.Watches.sync`. What the source has named before is not told again; so a person's `withdraw` of
        a task that stays on the list holds until it is taken off and put back."""
        with self._database.write() as connection:
            rows = connection.execute(_NAMED, (source,))
            named = {WatchKey(account, task_id): watch_id for account, task_id, watch_id in rows}
            intake = _Intake(connection, source=source, now=now, is_listing=True)
            wanted = {wish.key: wish for wish in reversed(wishes)}  # of an id named twice the first counts
            fresh = [wish for wish in wishes if wish.key not in named and wanted[wish.key] is wish]
            added = [intake.take(wish, again=False) for wish in fresh]
            gone = [(key, watch_id) for key, watch_id in named.items() if key not in wanted]
            return added, intake.drop(gone)

    def cursor(self, source: str) -> str | None:
        """See `ports.Watches.cursor`."""
        with self._database.read() as connection:
            row = connection.execute("SELECT value FROM cursors WHERE source = ?", (source,)).fetchone()
            return None if row is None else str(row[0])

    def changed(self, since: int) -> tuple[int, list[WatchState]]:
        """See `ports.Watches.changed`."""
        with self._database.read() as connection:
            now = revision(connection)
            rows = connection.execute(CHANGED_STATES, (since,)) if since else connection.execute(LIVE_STATES)
            return now, watch_states(rows)

    def live(self, *, most: int) -> Iterator[list[WatchState]]:
        """See `ports.Watches.live`. First those that will move on to the other phase, so that none is missed."""
        for phase in (Phase.SUBMITTED, Phase.RUNNING):
            after = 0
            while True:
                with self._database.read() as connection:
                    rows = connection.execute(LIVE_SLICE, (phase, after, most)).fetchall()
                if not rows:
                    break
                after = rows[-1][-1]
                yield watch_states(row[:-1] for row in rows)

    def note(self, notes: Sequence[Note]) -> None:
        """See `ports.Watches.note`. Of a watch's notes the last is written, with the answers of all counted."""
        if not notes:
            return
        of = by_watch(notes)
        with self._database.write() as connection:
            noted = Noted()
            noted.take(of, NOTED.ask(connection, of))
            NOTE.run(connection, noted.memories)
            COUNT_READINGS.run(connection, noted.counts.rows())
            ADD_FACTS.run(connection, noted.facts)


def withdraw(connection: sqlite3.Connection, watch_id: int, *, revision: int, by: str, now: float) -> None:
    """Stop watching. `by`: the source that names it no longer, or a person's command."""
    connection.execute(_WITHDRAW, (revision, now, watch_id))
    connection.execute(ADD_FACT, (watch_id, now, Phase.WITHDRAWN, by))


class _Intake:
    """One source's wishes within one transaction."""

    def __init__(self, connection: sqlite3.Connection, *, source: str, now: float, is_listing: bool) -> None:
        self._connection = connection
        self._source = source
        self._now = now
        self._is_listing = is_listing
        self._revision: int | None = None
        self._blocked_s: dict[str, float] = {}

    def take(self, wish: Wish, *, again: bool) -> Added:
        row = found(self._connection, wish.key)
        if row is None:
            watch_id, what, phase = self._add(wish), "added", Phase.SUBMITTED
        else:
            watch_id, phase = row[0], Phase(row[1])
            what = self._what(phase, again=again)
            if what in {"revived", "again"}:
                phase = Phase.SUBMITTED
                self._start_over(watch_id, wish, what)
        is_new = self._name(watch_id)
        if what not in {"known", "ended"}:
            self._tell(watch_id, what)
        elif is_new:
            self._tell(watch_id, "named")
        return Added(key=wish.key, what=what, phase=phase)

    def drop(self, gone: Iterable[tuple[WatchKey, int]]) -> list[WatchKey]:
        """The source names these no longer. Returns those that are watched no longer because of it."""
        withdrawn = []
        for key, watch_id in gone:
            self._connection.execute("DELETE FROM naming WHERE source = ? AND watch_id = ?", (self._source, watch_id))
            phase, is_tombstone, is_named, is_listed = self._connection.execute(_UNNAMED, (watch_id,)).fetchone()
            if is_tombstone and not is_listed:
                self._connection.execute("DELETE FROM watches WHERE watch_id = ?", (watch_id,))
            elif phase in LIVE and not is_named:
                withdraw(self._connection, watch_id, revision=self._next_revision(), by=self._source, now=self._now)
                withdrawn.append(key)
        return withdrawn

    @staticmethod
    def _what(phase: Phase, *, again: bool) -> str:
        if phase in LIVE:
            return "known"
        if phase is Phase.WITHDRAWN:
            return "revived"
        return "again" if again else "ended"

    def _add(self, wish: Wish) -> int:
        wanted = (
            _text(wish.action),
            wish.give_up_after_s,
            self._now,
            self._blocked_before_s(wish.account),
            self._source,
        )
        cold = (_text(wish.label), _json(wish.endpoints), json_text(dict(wish.meta or {})))
        row = (wish.account, wish.task_id, self._next_revision(), *wanted, *cold)
        watch_id = self._connection.execute(_ADD, row).lastrowid
        assert watch_id is not None
        return watch_id

    def _start_over(self, watch_id: int, wish: Wish, what: str) -> None:
        """Watch anew what had been withdrawn (the same generation: what was told is not told again) or had ended."""
        is_again = what == "again"
        wanted = (_text(wish.action), wish.give_up_after_s, self._now, self._blocked_before_s(wish.account))
        cold = (_text(wish.label), _json(wish.endpoints), None if wish.meta is None else json_text(dict(wish.meta)))
        self._connection.execute(_START_OVER, (is_again, self._next_revision(), *wanted, *cold, watch_id))
        if is_again:
            self._connection.execute(_FORGET_POLLS, (watch_id,))
            self._connection.execute("DELETE FROM readings WHERE watch_id = ?", (watch_id,))

    def _name(self, watch_id: int) -> bool:
        """Note that the source names it; whether it did not before."""
        naming = (self._source, watch_id, self._is_listing)
        done = self._connection.execute(
            "INSERT OR IGNORE INTO naming (source, watch_id, is_listed) VALUES (?, ?, ?)", naming
        )
        return done.rowcount == 1

    def _tell(self, watch_id: int, what: str) -> None:
        self._connection.execute(ADD_FACT, (watch_id, self._now, what, self._source))

    def _next_revision(self) -> int:
        if self._revision is None:
            self._revision = next_revision(self._connection)
        return self._revision

    def _blocked_before_s(self, account: str) -> float:
        """How long the account has been blocked in all, up to now."""
        known_s = self._blocked_s.get(account)
        if known_s is None:
            row = self._connection.execute(
                "SELECT blocked_s + max(0, ?2 - coalesce(blocked_at, ?2)) FROM accounts WHERE account = ?1",
                (account, self._now),
            ).fetchone()
            known_s = self._blocked_s[account] = 0.0 if row is None else float(row[0])
        return known_s


def _text(text: str | None) -> str | None:
    return None if text is None else plain(text)


def _json(value: object) -> str | None:
    return None if value is None else json_text(value)
