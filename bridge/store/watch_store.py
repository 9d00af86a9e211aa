"""Watches: what sources name, and what the poller notes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from bridge.domain.ids import WatchKey
from bridge.domain.slots import accounts_and_slots
from bridge.domain.task import Phase
from bridge.domain.watch import WatchState, Wish
from bridge.ports import Added, Cursor
from bridge.store.notes import write_notes
from bridge.store.read_store import ReadStore, revision
from bridge.store.statements import SQL
from bridge.store.watch_intake import WatchIntake
from bridge.store.watch_rows import watch_states

if TYPE_CHECKING:
    from bridge.domain.change import Note

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
        cursor: Cursor | None = None,
    ) -> list[Added]:
        with self._locked() as session:
            intake = WatchIntake(session, source=source, now=now, is_listing=False)
            added = intake.take(wishes, again=again, revive=revive)
            intake.write()
            if cursor is not None:
                session.execute(SQL["watches.move_cursor"], source=cursor.source, value=cursor.value)
            return added

    def sync(
        self, wishes: Sequence[Wish], *, source: str, now: float, kept: Collection[WatchKey] = ()
    ) -> tuple[list[Added], list[WatchKey]]:
        """See `ports.Watches.sync`. What the source named before changes nothing; so a person's `withdraw` of a task
        that stays on the list holds until it is taken off and put back."""
        with self._locked() as session:
            session.execute(SQL["watches.adopt_names"], source=source, kind=_kind(source))
            found = session.find(SQL["watches.named"], source=source)
            named = {WatchKey(account, task_id): watch_id for account, task_id, watch_id in found}
            wanted = {wish.key: wish for wish in reversed(wishes)}  # of an id named twice the first counts
            fresh = [wish for wish in wishes if wish.key not in named and wanted[wish.key] is wish]
            stay = {*wanted, *kept}
            intake = WatchIntake(session, source=source, now=now, is_listing=True)
            added = intake.take(fresh, again=False)
            gone = intake.drop({watch_id: key for key, watch_id in named.items() if key not in stay})
            intake.write()
            return added, gone

    def cursor(self, source: str) -> str | None:
        found = self._database.find(SQL["watches.cursor"], sources=[source, _kind(source)])
        return str(found[0][0]) if found else None

    def changed(self, since: int) -> tuple[int, list[WatchState]]:
        where, shares = self._of_shares()
        with self._database.read() as session:
            statement = SQL["watches.changed_states" if since else "watches.live_states"]
            return revision(session), watch_states(session.find(statement + where, **shares, since=since))

    def live(self, *, most: int) -> Iterator[list[WatchState]]:
        """See `ports.Watches.live`. First those that will move on to the other phase, so that none is missed."""
        for phase in (Phase.SUBMITTED, Phase.RUNNING):
            after = 0
            while True:
                where, shares = self._of_shares()
                with self._database.read() as session:
                    found = session.find(
                        SQL["watches.live_slice"] + where + _SLICED, phase=phase, after=after, most=most, **shares
                    )
                if not found:
                    break
                after = found[-1][-1]
                yield watch_states(row[:-1] for row in found)

    def answered_actions(self, account: str) -> frozenset[str | None]:
        found = self._database.find(SQL["watches.answered_actions"], account=account)
        return frozenset(action for (action,) in found)

    def note(self, notes: Sequence[Note]) -> None:
        """See `ports.Watches.note`. Of a watch's notes the last is written, with the answers of all counted; a crash
        of a PostgreSQL server may lose the last second of them."""
        if not notes:
            return
        with self._database.jot() as session:
            session.guard()
            write_notes(session, notes)

    def _of_shares(self) -> tuple[str, dict[str, object]]:
        """The condition that keeps to what this daemon holds of a shared store, and its values."""
        if self._database.held is None:
            return "", {}
        held = accounts_and_slots(self._database.held)
        return _OF_SHARES, {
            "accounts": [account for account, _ in held],
            "slots": [slot for _, slot in held],
        }


def _kind(source: str) -> str:
    """The kind of a source, without its daemon and file."""
    return source.partition("@")[0]
