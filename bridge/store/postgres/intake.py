"""One source's wishes within one transaction: looked up together, decided one by one, written together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bridge.domain.ids import WatchKey
from bridge.domain.shares import slot_of
from bridge.domain.task import LIVE, Phase
from bridge.domain.watch import Wish
from bridge.ports import Added
from bridge.store.postgres.link import Link
from bridge.store.postgres.part import add_facts, columns, found, withdraw
from bridge.store.rows import Row, json_text, plain

_ADD: Final = """
    INSERT INTO watches (account, task_id, slot, generation, revision, phase, action, give_up_after_s, added_at,
        blocked_before_s, source, label, endpoints, meta)
    SELECT account, task_id, slot, 1, %s, 'submitted', action, give_up_after_s, added_at, blocked_before_s, source,
        label, endpoints, meta
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[], %s::float8[], %s::float8[], %s::float8[], %s::text[],
        %s::text[], %s::text[], %s::text[])
        WITH ORDINALITY AS new (account, task_id, slot, action, give_up_after_s, added_at, blocked_before_s, source,
        label, endpoints, meta, place)
    ORDER BY place
    RETURNING account, task_id, watch_id
"""
# What the new wish leaves out stays as the earlier one had it.
_START_OVER: Final = """
    UPDATE watches SET generation = generation + CASE WHEN new.is_again THEN 1 ELSE 0 END, revision = %s,
        phase = 'submitted', is_tombstone = false,
        action = coalesce(new.action, watches.action),
        give_up_after_s = coalesce(new.give_up_after_s, watches.give_up_after_s), added_at = new.added_at,
        blocked_before_s = new.blocked_before_s, label = coalesce(new.label, watches.label),
        endpoints = coalesce(new.endpoints, watches.endpoints), meta = coalesce(new.meta, watches.meta),
        next_poll_at = NULL, poll_asked_at = NULL, next_poll_why = '', ended_at = NULL, reason = NULL,
        failures = 0, doubt_kind = NULL, doubt_answers = NULL, doubt_since_at = NULL
    FROM unnest(%s::bigint[], %s::bool[], %s::text[], %s::float8[], %s::float8[], %s::float8[], %s::text[],
        %s::text[], %s::text[])
        AS new (watch_id, is_again, action, give_up_after_s, added_at, blocked_before_s, label, endpoints, meta)
    WHERE watches.watch_id = new.watch_id
"""
_FORGET_POLLS: Final = """
    UPDATE watches SET polls = 0, progress = NULL, progress_told = NULL, progress_told_at = NULL, input_told = false,
        snapshot = NULL, urls = NULL
    WHERE watch_id = ANY(%s)
"""
_ALREADY_NAMED: Final = "SELECT watch_id FROM naming WHERE source = %s AND watch_id = ANY(%s)"
_NAME: Final = """
    INSERT INTO naming (source, watch_id, is_listed) SELECT %s, unnest(%s::bigint[]), %s ON CONFLICT DO NOTHING
"""
_UNNAME: Final = "DELETE FROM naming WHERE source = %s AND watch_id = ANY(%s)"
_UNNAMED: Final = """
    SELECT watch_id, phase, is_tombstone,
        EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id),
        EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id AND is_listed)
    FROM watches WHERE watch_id = ANY(%s) ORDER BY watch_id FOR NO KEY UPDATE
"""
_BLOCKED_BEFORE: Final = """
    SELECT account, blocked_s + greatest(0, %s - coalesce(blocked_at, %s)) FROM accounts WHERE account = ANY(%s)
"""


class Intake:
    """`take` and `drop` decide; `write` puts it all down, with the store's next revision if it `touches` a watch."""

    def __init__(self, link: Link, *, source: str, now: float, is_listing: bool) -> None:
        self._link = link
        self._source = source
        self._now = now
        self._is_listing = is_listing
        self._new: dict[WatchKey, Row] = {}
        self._over: dict[int, Row] = {}  # watches that start over
        self._again: list[int] = []  # those of them that start a new generation
        self._withdrawn: list[int] = []
        self._named: list[int] = []
        self._facts: list[tuple[int | WatchKey, str]] = []  # of a new watch its key, until it has an id

    @property
    def touches(self) -> bool:
        """Whether any watch is touched."""
        return bool(self._new or self._over or self._withdrawn)

    def take(self, wishes: Sequence[Wish], *, again: bool) -> list[Added]:
        """What becomes of each wish."""
        known = found(self._link, {wish.key for wish in wishes}, lock=False)
        watch_ids = [watch_id for watch_id, _ in known.values()]
        named = {row[0] for row in self._link.execute(_ALREADY_NAMED, (self._source, watch_ids))} if known else set()
        blocked_s = self._blocked_before_s({wish.account for wish in wishes})
        added = []
        for wish in wishes:
            if wish.key in self._new:
                added.append(Added(key=wish.key, what="known", phase=Phase.SUBMITTED))
                continue
            if wish.key not in known:
                self._new[wish.key] = self._row(wish, blocked_s)
                self._facts.append((wish.key, "added"))
                added.append(Added(key=wish.key, what="added", phase=Phase.SUBMITTED))
                continue
            watch_id, phase = known[wish.key]
            what = _what(phase, again=again)
            if what in {"revived", "again"}:
                phase = Phase.SUBMITTED
                known[wish.key] = (watch_id, phase)
                self._start_over(watch_id, wish, what, blocked_s)
                self._facts.append((watch_id, what))
            elif watch_id not in named:
                self._facts.append((watch_id, "named"))
            if watch_id not in named:
                named.add(watch_id)
                self._named.append(watch_id)
            added.append(Added(key=wish.key, what=what, phase=phase))
        return added

    def drop(self, gone: Mapping[int, WatchKey]) -> list[WatchKey]:
        """The source names these no longer. Returns those that are watched no longer because of it."""
        if not gone:
            return []
        self._link.execute(_UNNAME, (self._source, list(gone)))
        deleted = []
        for watch_id, phase, is_tombstone, is_named, is_listed in self._link.execute(_UNNAMED, (list(gone),)):
            if is_tombstone and not is_listed:
                deleted.append(watch_id)
            elif phase in LIVE and not is_named:
                self._withdrawn.append(watch_id)
        if deleted:
            self._link.execute("DELETE FROM watches WHERE watch_id = ANY(%s)", (deleted,))
        return [gone[watch_id] for watch_id in self._withdrawn]

    def write(self, revision: int) -> None:
        """Put everything down."""
        ids: dict[WatchKey, int] = {}
        if self._new:
            rows = self._link.execute(_ADD, (revision, *columns("ttitffftttt", self._new.values())))
            ids = {WatchKey(account, task_id): watch_id for account, task_id, watch_id in rows}
        if self._over:
            self._link.execute(_START_OVER, (revision, *columns("ibtfffttt", self._over.values())))
        if self._again:
            self._link.execute(_FORGET_POLLS, (self._again,))
            self._link.execute("DELETE FROM readings WHERE watch_id = ANY(%s)", (self._again,))
        if ids or self._named:
            self._link.execute(_NAME, (self._source, [*ids.values(), *self._named], self._is_listing))
        told = [(ids[whose] if isinstance(whose, WatchKey) else whose, what) for whose, what in self._facts]
        add_facts(self._link, [(watch_id, self._now, what, self._source) for watch_id, what in told])
        if self._withdrawn:
            withdraw(self._link, self._withdrawn, revision=revision, by=self._source, now=self._now)

    def _row(self, wish: Wish, blocked_s: Mapping[str, float]) -> Row:
        return (
            wish.account,
            wish.task_id,
            slot_of(wish.task_id),
            _text(wish.action),
            wish.give_up_after_s,
            self._now,
            blocked_s.get(wish.account, 0.0),
            self._source,
            _text(wish.label),
            _json(wish.endpoints),
            json_text(dict(wish.meta or {})),
        )

    def _start_over(self, watch_id: int, wish: Wish, what: str, blocked_s: Mapping[str, float]) -> None:
        """Watch anew what had been withdrawn (the same generation: what was told is not told again) or had ended."""
        is_again = what == "again"
        if is_again:
            self._again.append(watch_id)
        self._over[watch_id] = (
            watch_id,
            is_again,
            _text(wish.action),
            wish.give_up_after_s,
            self._now,
            blocked_s.get(wish.account, 0.0),
            _text(wish.label),
            _json(wish.endpoints),
            None if wish.meta is None else json_text(dict(wish.meta)),
        )

    def _blocked_before_s(self, accounts: set[str]) -> dict[str, float]:
        """How long each account has been blocked in all, up to now."""
        return dict(self._link.execute(_BLOCKED_BEFORE, (self._now, self._now, list(accounts))).fetchall())


def _what(phase: Phase, *, again: bool) -> str:
    if phase in LIVE:
        return "known"
    if phase is Phase.WITHDRAWN:
        return "revived"
    return "again" if again else "ended"


def _text(text: str | None) -> str | None:
    return None if text is None else plain(text)


def _json(value: object) -> str | None:
    return None if value is None else json_text(value)
