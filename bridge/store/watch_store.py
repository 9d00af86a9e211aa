"""Watches: what sources name, and what the poller reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from bridge.domain.account_state import AccountState
from bridge.domain.ids import WatchKey
from bridge.domain.slots import accounts_and_slots, slot_of
from bridge.domain.source import kind_of
from bridge.domain.task import Phase
from bridge.domain.watch import WatchState, Wish
from bridge.domain.wish_intake import WishIntake
from bridge.ports import Added
from bridge.store.read_store import ReadStore, revision
from bridge.store.records import account_states
from bridge.store.rows import Row, json_text, plain
from bridge.store.sql_session import Session
from bridge.store.statements import SQL
from bridge.store.watch_rows import add_facts, find_watches, watch_states, withdraw

_OF_SHARES: Final = " AND (account, slot) IN (SELECT * FROM unnest(:accounts::text[], :slots::int[]))"
_SLICED: Final = " ORDER BY watch_id LIMIT :most"


class WatchStore(ReadStore):
    """`ports.Watches`."""

    def add(
        self,
        wishes: Sequence[Wish],
        *,
        source: str,
        now: float,
        again: bool = False,
        revive: bool = True,
        cursor: str | None = None,
    ) -> list[Added]:
        with self._locked() as session:
            intake = _WatchIntake(session, wishes, source=source, now=now, again=again, revive=revive)
            intake.write()
            if cursor is not None:
                session.execute(SQL["watches.move_cursor"], source=source, value=cursor)
            return intake.added

    def sync(
        self, wishes: Sequence[Wish], *, source: str, now: float, kept: Collection[WatchKey] | None = ()
    ) -> tuple[list[Added], list[WatchKey]]:
        """See `ports.Watches.sync`. A task that the source named before is not changed. So if a person withdraws a task
        that stays on the list, it stays withdrawn until it is removed from the list and added again."""
        with self._locked() as session:
            session.execute(SQL["watches.adopt_names"], source=source, kind=kind_of(source))
            found = session.find(SQL["watches.named"], source=source)
            named = {WatchKey(account, task_id): watch_id for account, task_id, watch_id in found}
            wanted = {wish.key: wish for wish in reversed(wishes)}  # if an id is named twice, the first entry counts
            fresh = [wish for wish in wishes if wish.key not in named and wanted[wish.key] is wish]
            stay = {*wanted, *(named if kept is None else kept)}
            intake = _WatchIntake(session, fresh, source=source, now=now, is_listing=True)
            gone = intake.drop({watch_id: key for key, watch_id in named.items() if key not in stay})
            intake.write()
            return intake.added, gone

    def cursor(self, source: str) -> str | None:
        found = self._database.find(SQL["watches.cursor"], sources=[source, kind_of(source)])
        return str(found[0][0]) if found else None

    def changed(self, since: int) -> tuple[int, list[WatchState]]:
        where, shares = self._of_shares()
        with self._database.read() as session:
            statement = SQL["watches.changed_states" if since else "watches.live_states"]
            return revision(session), watch_states(session.find(statement + where, **shares, since=since))

    def live(self, *, most: int) -> Iterator[list[WatchState]]:
        """See `ports.Watches.live`. Submitted ones come first, because they may change to running in the meantime."""
        for phase in (Phase.SUBMITTED, Phase.RUNNING):
            after = 0
            while True:
                where, shares = self._of_shares()
                asked = {"phase": phase, "after": after, "most": most, **shares}
                found = self._database.find(SQL["watches.live_slice"] + where + _SLICED, **asked)
                if not found:
                    break
                after = found[-1][-1]
                yield watch_states(row[:-1] for row in found)

    def answered_actions(self, account: str) -> frozenset[str | None]:
        found = self._database.find(SQL["watches.answered_actions"], account=account)
        return frozenset(action for (action,) in found)

    def _of_shares(self) -> tuple[str, dict[str, object]]:
        """The condition that selects the shares which this daemon holds of a shared store, and its values."""
        if self._held is None:
            return "", {}
        held = accounts_and_slots(self._held)
        return _OF_SHARES, {"accounts": [account for account, _ in held], "slots": [slot for _, slot in held]}


class _WatchIntake:
    """What a source names, in one transaction: `added` says what happens to each wish, `drop` decides about the others,
    `write` writes everything, with the store's next revision if a watch is touched. Call `Session.lock_store` first."""

    def __init__(
        self,
        session: Session,
        wishes: Sequence[Wish],
        *,
        source: str,
        now: float,
        is_listing: bool = False,
        again: bool = False,
        revive: bool = True,
    ) -> None:
        self._session, self._source, self._now, self._is_listing = session, source, now, is_listing
        known = find_watches(session, {wish.key for wish in wishes}, lock=False)
        asked = {"source": source, "watch_ids": [watch_id for watch_id, _ in known.values()]}
        named = session.find(SQL["watches.already_named"], **asked) if known else []
        self._intake = WishIntake(known, {watch_id for (watch_id,) in named}, again=again, revive=revive)
        self._withdrawn: list[int] = []
        self.added = [Added(wish.key, *self._intake.take(wish)) for wish in wishes]

    def drop(self, gone: Mapping[int, WatchKey]) -> list[WatchKey]:
        """Remove the tasks that the source no longer names. Returns the tasks that are no longer watched because of
        this."""
        if not gone:
            return []
        self._session.execute(SQL["watches.unname"], source=self._source, watch_ids=list(gone))
        found = self._session.find(SQL["watches.unnamed"], watch_ids=list(gone))
        self._withdrawn = [watch_id for watch_id, is_tombstone in found if not is_tombstone]
        self._session.execute(SQL["watches.delete"], watch_ids=[one for one, is_tombstone in found if is_tombstone])
        return [gone[watch_id] for watch_id in self._withdrawn]

    def write(self) -> None:
        """Write what was decided."""
        session, intake = self._session, self._intake
        is_written = bool(intake.new or intake.over)
        revision = session.next_revision() if is_written or self._withdrawn else 0
        accounts = account_states(session) if is_written else {}
        fresh = []
        for key, wish in intake.new.items():
            *columns, meta = self._values(wish, revision, accounts)
            fresh.append((*key, 1, Phase.SUBMITTED, self._source, *columns, meta or "{}", slot_of(key.task_id)))
        ids = {WatchKey(*key): watch_id for *key, watch_id in session.run(SQL["watches.add"], fresh)}
        over = [(watch_id, *self._values(wish, revision, accounts)) for watch_id, wish in intake.over.items()]
        session.run(SQL["watches.start_over"], over)
        # A withdrawn watch keeps its generation, so that nothing is notified twice; a new one starts from zero.
        if intake.again:
            session.execute(SQL["watches.new_generation"], watch_ids=intake.again)
            session.execute(SQL["watches.forget_readings"], watch_ids=intake.again)
        named = [(self._source, watch_id, self._is_listing) for watch_id in (*ids.values(), *intake.named)]
        session.run(SQL["watches.name"], named)
        facts = [(ids[whose] if isinstance(whose, WatchKey) else whose, what) for whose, what in intake.facts]
        add_facts(session, [(watch_id, self._now, what, self._source) for watch_id, what in facts])
        if self._withdrawn:
            withdraw(session, self._withdrawn, revision=revision, by=self._source, now=self._now)

    def _values(self, wish: Wish, revision: int, accounts: Mapping[str, AccountState]) -> Row:
        """The columns `watches.wish`."""
        action, label = (None if text is None else plain(text) for text in (wish.action, wish.label))
        meta = None if wish.meta is None else json_text(dict(wish.meta))
        endpoints = None if wish.endpoints is None else json_text(wish.endpoints)
        blocked_s = accounts[wish.account].blocked_so_far_s(self._now) if wish.account in accounts else 0.0
        return revision, self._now, blocked_s, action, wish.give_up_after_s, label, endpoints, meta
