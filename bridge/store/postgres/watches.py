"""Watches: intake from the sources, and the poller's notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bridge.domain.change import Note
from bridge.domain.ids import WatchKey
from bridge.domain.shares import accounts_and_slots
from bridge.domain.task import LIVE, Phase
from bridge.domain.watch import WatchState, Wish
from bridge.ports import Added, Cursor
from bridge.store.notes import SET_MEMORY, Noted, by_watch
from bridge.store.postgres.intake import Intake
from bridge.store.postgres.link import Link
from bridge.store.postgres.part import Part, add_facts, columns, count_readings, lock_store, revision
from bridge.store.rows import SELECT_STATE, watch_states

_STATES: Final = SELECT_STATE + " FROM watches "
LIVE_STATES: Final = _STATES + "WHERE phase IN ('submitted', 'running')"
LIVE_AFTER: Final = SELECT_STATE + ", watch_id FROM watches WHERE phase = %s AND watch_id > %s"
SLICED: Final = " ORDER BY watch_id LIMIT %s"
CHANGED_STATES: Final = _STATES + "WHERE revision > %s"
_OF_SHARES: Final = " AND (account, slot) IN (SELECT * FROM unnest(%s::text[], %s::int[]))"

_FETCHED: Final = 10_000

# Sources are called by daemon and file here. Those of a store that came from SQLite are not: the first takes them on.
_ADOPT: Final = "UPDATE naming SET source = %s WHERE source = %s AND source <> %s"
_CURSOR: Final = "SELECT value FROM cursors WHERE source = ANY(%s) ORDER BY length(source) DESC LIMIT 1"
_MOVE_CURSOR: Final = """
    INSERT INTO cursors (source, value) VALUES (%s, %s) ON CONFLICT (source) DO UPDATE SET value = excluded.value
"""
_NAMED: Final = """
    SELECT account, task_id, watch_id FROM naming JOIN watches USING (watch_id) WHERE naming.source = %s
"""
# Somebody who changes a watch just now, a person who withdraws it, makes the note of a poll void anyway.
_NOTED: Final = """
    SELECT watches.account, watches.task_id, watches.generation, watch_id, phase, polls
    FROM watches JOIN unnest(%s::text[], %s::text[], %s::int[]) AS wanted (account, task_id, generation)
        ON watches.task_id = wanted.task_id AND watches.account = wanted.account
            AND watches.generation = wanted.generation
    ORDER BY watch_id FOR NO KEY UPDATE OF watches SKIP LOCKED
"""
_NOTE: Final = (
    SET_MEMORY
    + """
    FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::int[], %s::text[], %s::int[], %s::float8[], %s::float8[],
        %s::float8[], %s::float8[], %s::bool[], %s::float8[], %s::text[], %s::float8[]) AS new (watch_id, phase, polls,
        failures, doubt_kind, doubt_answers, doubt_since_at, progress, progress_told, progress_told_at, input_told,
        next_poll_at, next_poll_why, at)
    WHERE watches.watch_id = new.watch_id
"""
)
MEMORY_TYPES: Final = "itiitiffffbftf"  # of `notes.memory_and_schedule`


def _kind(source: str) -> str:
    """The kind of a source that is called by its daemon as well."""
    return source.partition("@")[0]


class WatchesPart(Part):
    """`ports.Watches` on PostgreSQL."""

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
        with self._database.write() as link:
            lock_store(link)
            intake = Intake(link, source=source, now=now, is_listing=False)
            added = intake.take(wishes, again=again)
            self._write_intake(link, intake)
            if cursor is not None:
                link.execute(_MOVE_CURSOR, (cursor.source, cursor.value))
            return added

    def sync(self, wishes: Sequence[Wish], *, source: str, now: float) -> tuple[list[Added], list[WatchKey]]:
        """See `ports.Watches.sync`. What the source has named before is not told again; so a person's `withdraw` of
        a task that stays on the list holds until it is taken off and put back."""
        with self._database.write() as link:
            lock_store(link)
            link.execute(_ADOPT, (source, _kind(source), source))
            named = {
                WatchKey(account, task_id): watch_id for account, task_id, watch_id in link.execute(_NAMED, (source,))
            }
            intake = Intake(link, source=source, now=now, is_listing=True)
            wanted = {wish.key: wish for wish in reversed(wishes)}  # of an id named twice the first counts
            added = intake.take(
                [wish for wish in wishes if wish.key not in named and wanted[wish.key] is wish], again=False
            )
            gone = intake.drop({watch_id: key for key, watch_id in named.items() if key not in wanted})
            self._write_intake(link, intake)
            return added, gone

    def cursor(self, source: str) -> str | None:
        """See `ports.Watches.cursor`."""
        with self._database.read() as link:
            row = link.execute(_CURSOR, ([source, _kind(source)],)).fetchone()
            return None if row is None else str(row[0])

    def changed(self, since: int) -> tuple[int, list[WatchState]]:
        """See `ports.Watches.changed`."""
        with self._database.read() as link:
            now = revision(link)
            where, values = self._of_shares()
            if since:
                return now, watch_states(link.execute(CHANGED_STATES + where, [since, *values]))
            with link.cursor(name="live") as rows:  # in portions, for they may be a million
                rows.itersize = _FETCHED
                rows.execute(LIVE_STATES + where, values)
                return now, watch_states(rows)

    def live(self, *, most: int) -> Iterator[list[WatchState]]:
        """See `ports.Watches.live`. First those that will move on to the other phase, so that none is missed."""
        for phase in (Phase.SUBMITTED, Phase.RUNNING):
            after = 0
            while True:
                with self._database.read() as link:
                    where, values = self._of_shares()
                    rows = link.execute(LIVE_AFTER + where + SLICED, [phase, after, *values, most]).fetchall()
                if not rows:
                    break
                after = rows[-1][-1]
                yield watch_states(row[:-1] for row in rows)

    def note(self, notes: Sequence[Note]) -> None:
        """See `ports.Watches.note`. Of a watch's notes the last is written, with the answers of all counted; a crash
        of the server may lose the last second of them."""
        if not notes:
            return
        of = by_watch(notes)
        with self._database.jot() as link:
            self._guard(link)
            noted = Noted()
            noted.take(of, [row for row in link.execute(_NOTED, columns("tti", of)) if row[4] in LIVE])
            if noted.memories:
                link.execute(_NOTE, columns(MEMORY_TYPES, noted.memories))
            count_readings(link, noted.counts.rows())
            add_facts(link, noted.facts)

    def _of_shares(self) -> tuple[str, list[object]]:
        """The condition that keeps to what this daemon holds, and its values."""
        if self._held is None:
            return "", []
        return _OF_SHARES, [*columns("ti", accounts_and_slots(self._held))]

    def _write_intake(self, link: Link, intake: Intake) -> None:
        if intake.touches:
            intake.write(self._next_revision(link))
        else:
            intake.write(0)
