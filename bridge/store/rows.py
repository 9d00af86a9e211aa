"""Rows to domain values and back: the part of the store that every database engine shares.

Each `SELECT_...` names, in order, what the function for its rows takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import Any, Final

import orjson

from bridge import collector
from bridge.domain.change import AccountState
from bridge.domain.delivery import Delivery, DeliveryState
from bridge.domain.durations import table as durations_table
from bridge.domain.durations.knowledge import Key
from bridge.domain.durations.table import Table
from bridge.domain.task import Json, Kind, Phase, Snapshot
from bridge.domain.watch import Doubt, Memory, Watch, WatchState
from bridge.store.views import AttemptView, DeliveryView, Fact, ReadingCount, WatchView

Row = tuple[Any, ...]

STATE_COLUMNS: Final = (
    *("account", "task_id", "generation", "action", "give_up_after_s", "added_at", "blocked_before_s"),
    *("coalesce(poll_asked_at, next_poll_at)", "revision", "phase", "polls", "failures"),
    *("doubt_kind", "doubt_answers", "doubt_since_at", "progress", "progress_told", "progress_told_at", "input_told"),
)
WATCH_COLUMNS: Final = (*STATE_COLUMNS, "label", "meta", "endpoints", "source", "ended_at", "reason", "snapshot")
SELECT_STATE: Final = f"SELECT {', '.join(STATE_COLUMNS)}"
SELECT_WATCH: Final = f"SELECT {', '.join(WATCH_COLUMNS)}"
DELIVERY_COLUMNS: Final = (
    *("delivery_id", "event_id", "endpoint", "target", "topic", "account", "subject", "attempts", "body"),
)
SELECT_DELIVERY: Final = f"SELECT {', '.join(DELIVERY_COLUMNS)}"
_IS_DISABLED: Final = (
    "EXISTS (SELECT 1 FROM endpoints AS e WHERE e.endpoint = deliveries.endpoint AND e.disabled_at > 0)"
)
SELECT_DELIVERY_VIEW: Final = (
    "SELECT delivery_id, event_id, endpoint, target, topic, account, subject, state, attempts, "
    f"CASE WHEN {_IS_DISABLED} THEN NULL ELSE next_attempt_at END, created_at, last_outcome, last_detail"
)
SELECT_ACCOUNT: Final = "SELECT account, blocked_at, reason, count, blocked_s, paused_until"

SELECT_DURATIONS: Final = "SELECT account, action, variant, sums"

_PHASES: Final = {str(phase): phase for phase in Phase}  # a look-up is several times faster than Phase(text)
_FRESH: Final = Memory()  # of every watch that was never polled
_KINDS: Final = {str(kind): kind for kind in Kind}


def watch_state(row: Row) -> WatchState:
    """From `SELECT_STATE`."""
    (
        account,
        task_id,
        generation,
        action,
        give_up_after_s,
        added_at,
        blocked_before_s,
        next_poll_at,
        revision,
        phase,
        polls,
        failures,
        doubt_kind,
        doubt_answers,
        doubt_since_at,
        progress,
        progress_told,
        progress_told_at,
        input_told,
    ) = row
    memory = _FRESH
    if polls or phase != _FRESH.phase:
        doubt = None
        if doubt_kind is not None:
            doubt = Doubt(kind=_KINDS[doubt_kind], answers=doubt_answers, since_at=doubt_since_at)
        memory = Memory(
            phase=_PHASES[phase],
            polls=polls,
            failures=failures,
            doubt=doubt,
            progress=progress,
            progress_told=progress_told,
            progress_told_at=progress_told_at,
            input_told=bool(input_told),
        )
    return WatchState(
        intern(account),  # few different ones: each is kept once
        task_id,
        generation,
        None if action is None else intern(action),
        give_up_after_s,
        added_at,
        blocked_before_s or 0.0,
        next_poll_at,
        memory,
        revision,
    )


def watch_states(rows: Iterable[Row]) -> list[WatchState]:
    """From rows of `SELECT_STATE`, however many."""
    with collector.resting():
        return [watch_state(row) for row in rows]


def memory_row(memory: Memory) -> Row:
    """The last ten of `SELECT_STATE`."""
    doubt = memory.doubt
    return (
        memory.phase,
        memory.polls,
        memory.failures,
        doubt.kind if doubt else None,
        doubt.answers if doubt else None,
        doubt.since_at if doubt else None,
        memory.progress,
        memory.progress_told,
        memory.progress_told_at,
        memory.input_told,
    )


def watch(row: Row) -> Watch:
    """From `SELECT_WATCH`."""
    label, meta, endpoints, source, ended_at, reason, snapshot = row[len(STATE_COLUMNS) :]
    return Watch(
        state=watch_state(row[: len(STATE_COLUMNS)]),
        label=label,
        meta=json.loads(meta),
        endpoints=None if endpoints is None else tuple(json.loads(endpoints)),
        source=source,
        ended_at=ended_at,
        reason=reason,
        snapshot=None if snapshot is None else _snapshot(json.loads(snapshot)),
    )


def snapshot_text(snapshot: Snapshot | None) -> str | None:
    """A snapshot as the store keeps it."""
    if snapshot is None:
        return None
    return json_text(
        {
            "status": snapshot.status,
            "message": snapshot.message,
            "progress": snapshot.progress,
            "created_ms": snapshot.created_ms,
            "updated_ms": snapshot.updated_ms,
            "result": {kind: [dict(item) for item in items] for kind, items in snapshot.result.items()},
            "urls": snapshot.urls,
            "refused": snapshot.refused,
            "expires_ms": snapshot.expires_ms,
            **({"kept": dict(snapshot.kept)} if snapshot.kept else {}),
        }
    )


def _snapshot(stored: Mapping[str, Json]) -> Snapshot:
    return Snapshot(**{**stored, "urls": tuple(stored["urls"]), "refused": tuple(stored["refused"])})


def json_text(value: Json) -> str:
    """JSON text of any value. Read it with `json.loads`: it may hold integers and strings that orjson refuses."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value)


def plain(text: str) -> str:
    """Text that every database takes: lone surrogates, which no encoding has, and NUL become question marks."""
    if "\0" in text:
        text = text.replace("\0", "?")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def delivery(row: Row) -> Delivery:
    """From `SELECT_DELIVERY`."""
    delivery_id, event_id, endpoint, target, topic, account, subject, attempts, body = row
    return Delivery(
        delivery_id=delivery_id,
        event_id=event_id,
        endpoint=endpoint,
        target=target,
        topic=topic,
        account=account,
        subject=subject,
        attempts=attempts,
        body=body,
    )


def within(sizes: Iterable[tuple[int, int]], most_bytes: int) -> list[int]:
    """Of deliveries with the lengths of their bodies, the first that are together no longer than that; one at least."""
    ids: list[int] = []
    for delivery_id, length in sizes:
        most_bytes -= length
        if ids and most_bytes < 0:
            break
        ids.append(delivery_id)
    return ids


def delivery_view(row: Row, attempts: Sequence[Row] = ()) -> DeliveryView:
    """From `SELECT_DELIVERY_VIEW` and, for each attempt, its at, outcome, detail, duration_s."""
    delivery_id, event_id, endpoint, target, topic, account, subject, state, tries, next_at, created_at, *last = row
    return DeliveryView(
        delivery_id=delivery_id,
        event_id=event_id,
        endpoint=endpoint,
        target=target,
        topic=topic,
        account=account,
        task_id=subject,
        state=DeliveryState(state),
        attempts=tries,
        next_attempt_at=None if next_at is None else max(next_at, created_at),  # 0 is at once
        created_at=created_at,
        last_outcome=last[0],
        last_detail=last[1],
        made=tuple(
            AttemptView(at=at, outcome=outcome, detail=detail, duration_s=s) for at, outcome, detail, s in attempts
        ),
    )


def watch_view(row: Row) -> WatchView:
    """From account, task_id, action, label, meta, phase, added_at, ended_at, next_poll_at, polls, progress, urls,
    reason."""
    account, task_id, action, label, meta, phase, added_at, ended_at, next_poll_at, polls, progress, urls, reason = row
    return WatchView(
        account=account,
        task_id=task_id,
        action=action,
        label=label,
        meta=json.loads(meta),
        phase=_PHASES[phase],
        added_at=added_at,
        ended_at=ended_at,
        next_poll_at=next_poll_at,
        polls=polls,
        progress=progress,
        urls=() if urls is None else tuple(json.loads(urls)),
        reason=reason,
    )


def account_state(row: Row) -> AccountState:
    """From `SELECT_ACCOUNT`."""
    account, blocked_at, reason, count, blocked_s, paused_until = row
    return AccountState(
        account=account,
        blocked_at=blocked_at,
        reason=reason,
        count=count,
        blocked_s=blocked_s,
        paused_until=paused_until,
    )


def fact(row: Row) -> Fact:
    """From at, what, detail."""
    at, what, detail = row
    return Fact(at=at, what=what, detail=detail)


def reading_count(row: Row) -> ReadingCount:
    """From kind, count, first_at, last_at, last_detail."""
    kind, count, first_at, last_at, last_detail = row
    return ReadingCount(kind=_KINDS[kind], count=count, first_at=first_at, last_at=last_at, last_detail=last_detail)


def durations(found: Iterable[Row]) -> dict[Key, Table | None]:
    """From rows of `SELECT_DURATIONS`; None for what no table looks like: it is learned anew."""
    tables: dict[Key, Table | None] = {}
    for account, action, variant, sums in found:
        try:
            tables[Key(account, action, variant)] = durations_table.table(sums)
        except (ValueError, TypeError):
            tables[Key(account, action, variant)] = None
    return tables


def durations_row(key: Key, seen: Table) -> Row:
    """The columns of `SELECT_DURATIONS`."""
    return *map(plain, key), durations_table.text(seen)
