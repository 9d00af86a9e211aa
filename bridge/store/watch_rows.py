"""Rows to watches and back, and the statements about watches that more than one file needs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from sys import intern
from typing import TYPE_CHECKING, Final

from bridge import garbage_collector
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase, ReadingKind, Snapshot
from bridge.domain.watch import Doubt, Memory, Watch, WatchState
from bridge.store.rows import Row, json_text, plain, readable, report, stored_json
from bridge.store.sql_session import Session
from bridge.store.statements import SQL

if TYPE_CHECKING:
    from bridge.domain.change import Note

CALLBACK: Final = "callback"  # in the history: a callback came, and the task was polled because of it
MOST_CALLBACKS: Final = 20  # number of callbacks in a watch's history, the latest
_PHASES: Final = {str(phase): phase for phase in Phase}
_FRESH: Final = Memory()  # the memory of a watch that was never polled
_KINDS: Final = {str(kind): kind for kind in ReadingKind}


def watch_state(row: Row) -> WatchState:
    """From the columns `watches.state`."""
    account, task_id, generation, action, give_up_s, added_at, blocked_s, next_poll_at, asked_at, revision = row[:10]
    phase, polls, failures, doubt_kind, doubt_answers, doubt_since_at, progress, told, told_at, input_told = row[10:]
    # SQLite keeps text and bytes in any column: another type must fail here, not in the middle of the work.
    _ = 0.0 + added_at + (next_poll_at or 0.0) + (asked_at or 0.0) + (give_up_s or 0.0)
    _ = 0.0 + (blocked_s or 0.0) + generation + revision + polls + failures + (doubt_answers or 0)
    _ = 0.0 + (doubt_since_at or 0.0) + (progress or 0.0) + (told or 0.0) + (told_at or 0.0)
    _ = task_id + ""
    memory = _FRESH
    if polls or phase != _FRESH.phase:
        doubt = None
        if doubt_kind is not None:
            doubt = Doubt(kind=_KINDS[doubt_kind], answers=doubt_answers, since_at=doubt_since_at)
        memory = Memory(_PHASES[phase], polls, failures, doubt, progress, told, told_at, bool(input_told))
    # There are few different names and actions, so each is kept once.
    account, action = intern(account), None if action is None else intern(action)
    schedule = give_up_s, added_at, blocked_s or 0.0, next_poll_at, asked_at, revision
    return WatchState(account, task_id, generation, action, *schedule, memory)


def watch_states(rows: Iterable[Row]) -> list[WatchState]:
    """The same for many rows; see `readable`."""
    with garbage_collector.resting():
        return readable("watch", watch_state, rows)


def polled_row(watch_id: int, note: Note) -> Row:
    """A row of `watches.note` and `watches.note_phase`: the watch's memory and its schedule."""
    phase, polls, failures, doubt, *told = note.memory
    doubted = (doubt.kind, doubt.answers, doubt.since_at) if doubt else (None, None, None)
    memory = phase, polls, failures, *doubted, *told
    return (watch_id, *memory, note.next_poll_at, plain(note.next_poll_why), note.at, note.revision)


def watch(row: Row) -> Watch:
    """From the columns `watches.watch`."""
    label, meta, endpoints, source, ended_at, reason, snapshot = row[-7:]
    state = watch_state(row[:-7])
    key = f"{state.account}/{state.task_id}"
    return Watch(
        state=state,
        label=label,
        meta=stored_json("meta", key, meta, dict) or {},
        endpoints=None if endpoints is None else named_endpoints(key, endpoints),
        source=source,
        ended_at=ended_at,
        reason=reason,
        snapshot=None if snapshot is None else snapshot_of(key, snapshot),
    )


def named_endpoints(key: str, text: str) -> tuple[str, ...] | None:
    """None when they cannot be read: then the routes decide."""
    names = stored_json("endpoints", key, text, list)
    return None if names is None else tuple(map(str, names))


def snapshot_text(snapshot: Snapshot | None) -> str | None:
    """A snapshot as the store keeps it: without the files."""
    if snapshot is None:
        return None
    fields = snapshot._asdict()
    del fields["files"]
    for name in ("kept", "error_code", "result_missing"):
        if not fields[name]:
            del fields[name]
    return json_text(fields)


def snapshot_of(key: str, text: str) -> Snapshot | None:
    """From the store's text. None when it cannot be read."""
    try:
        stored = json.loads(text)
        return Snapshot(**{**stored, "urls": tuple(stored["urls"]), "refused": tuple(stored["refused"])})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        report("snapshot", key, error)
        return None


def find_watches(session: Session, keys: Collection[WatchKey], *, lock: bool) -> dict[WatchKey, tuple[int, Phase]]:
    """watch_id and phase (withdrawn if unreadable) of the watches that exist. With `lock`, nobody else changes them."""
    found = session.run(SQL["watches.find_locked" if lock else "watches.find"], keys)
    return {WatchKey(*key): (watch_id, _PHASES.get(phase, Phase.WITHDRAWN)) for *key, watch_id, phase in found}


def add_facts(session: Session, facts: Sequence[Row]) -> None:
    """Add facts to the histories of watches: watch_id, at, what, detail. Only the latest callbacks stay."""
    session.run(SQL["watches.add_facts"], facts)
    called = sorted({watch_id for watch_id, _, what, _ in facts if what == CALLBACK})
    if called:
        session.execute(SQL["watches.trim_callbacks"], watch_ids=called, what=CALLBACK, most=MOST_CALLBACKS)


def withdraw(session: Session, watch_ids: Sequence[int], *, revision: int, by: str, now: float) -> None:
    """Stop watching. `by`: the source that no longer names them, or a person's command."""
    session.execute(SQL["watches.withdraw"], revision=revision, now=now, watch_ids=list(watch_ids))
    add_facts(session, [(watch_id, now, Phase.WITHDRAWN, by) for watch_id in watch_ids])
