"""The shared store: commits that are repeated when their answer was lost, and how members divide the work.

Leases and shares are rows that expire by the server's clock, because a lock ends with its session, even if the daemon
continues. They are safe because each commit of a member takes a share lock on the member's row (`Session.guard`), and
only an unlocked row can be deleted. So a takeover waits for commits in progress, and after the takeover the former
holder commits nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from bridge.domain.change import Change
from bridge.domain.slots import Roster, Share
from bridge.ports import ParcelsFor
from bridge.store.full_store import Store
from bridge.store.postgres.database import Database
from bridge.store.postgres.failures import InDoubt, Mark, lease_lost
from bridge.store.sql_session import MEMBERS
from bridge.store.statements import SQL


class PostgresStore(Store):
    """A store in a PostgreSQL database, for any number of daemons and commands.

    Calls block, and may come from several threads at a time. Every method is one transaction: on the server's disk when
    it returns, not done at all when it raises. If the connection is lost during a commit, the result is unknown. The
    next call of `commit` finds it out.
    """

    _database: Database

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._doubts: list[tuple[Mark, Sequence[tuple[Change, bool]]]] = []  # the changes of each commit in doubt
        self._done: dict[int, tuple[Change, bool]] = {}  # changes that were applied although the answer was lost
        self._committer: int | None = None  # the membership that made them
        self._joined_as: list[int] = []  # the last membership, and those that may exist although the answer was lost
        self._letting_go: frozenset[Share] = frozenset()  # released, or being released

    def commit(self, changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        """See `ports.Commits.commit`. When the answer of the server is lost, the caller commits the same changes again,
        perhaps in smaller groups. Changes that were already applied are not applied again, and get their original
        result."""
        if self._committer != self._database.fence:  # commits of a lost lease are never repeated
            self._doubts, self._done, self._committer = [], {}, self._database.fence
        self._settle_doubts()
        answers = [self._done.get(id(change)) for change in changes]
        rest = [change for change, done in zip(changes, answers, strict=True) if done is None]
        applied: list[bool] = []
        if rest:
            try:
                with self._database.write() as session:
                    applied = self._apply(session, rest, parcels_for)
            except InDoubt as doubt:
                self._doubts.append((doubt.mark, list(zip(rest, applied, strict=True))))
                raise
        for change in changes:
            self._done.pop(id(change), None)
        fresh = iter(applied)
        return [next(fresh) if done is None else done[1] for done in answers]

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        with self._database.write() as session:
            # Otherwise other members would leave shares for our earlier memberships.
            former = "" if self.machine_lock is None else self.machine_lock.former  # killed, so its lease is useless
            session.execute(SQL["members.over"], fences=self._joined_as, former=former)
            asked = {"name": name, "scopes": json.dumps(scopes, sort_keys=True), "lease_s": lease_s}
            [(fence, member)] = session.find(SQL["members.join"], **asked)
            self._joined_as.append(fence)
            session.wake(MEMBERS)
        self._joined_as = [fence]
        self._database.fence, self._database.lease_s = fence, lease_s
        self._held = self._letting_go = frozenset()
        if self.machine_lock is not None:
            self.machine_lock.note_member(str(member))
        return str(member)

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roster:
        """See `ports.Shares.renew`. After a crash of the server the lease may end one second earlier."""
        fence = self._joined()
        with self._database.write_unsynced() as session:
            are_gone = session.execute(SQL["members.over"], fences=[], former="") > 0
            asked = {"scopes": json.dumps(scopes, sort_keys=True), "lease_s": lease_s, "fence": fence}
            renewed = session.find(SQL["members.renew"], **asked)
            if not renewed:
                raise lease_lost()
            [(me, has_changed, version)] = renewed
            self._database.check(version)
            if are_gone or has_changed:
                session.wake(MEMBERS)
            members = {member: json.loads(stored) for member, stored in session.find(SQL["members.all"])}
            rows = session.find(SQL["members.holders"])
            holders = {Share(scope, slot): holder for scope, slot, holder in rows if holder in members}
        # This includes claims whose answer was lost, and excludes claims that a crash of the server has undone.
        mine = frozenset(share for share, holder in holders.items() if holder == me)
        self._held = mine - self._letting_go
        return Roster(members=members, holders=holders)

    def claim(self, shares: Collection[Share]) -> frozenset[Share]:
        fence = self._joined()
        with self._database.write() as session:
            session.guard()
            rows = session.run(SQL["members.claim"], [(*share, fence) for share in sorted(shares)])
        gained = frozenset(Share(scope, slot) for scope, slot in rows)
        self._held = (self._held or frozenset()) | gained
        return gained

    def release(self, shares: Collection[Share]) -> None:
        """See `ports.Shares.release`.

        The next holder misses no delivery. This call waits for commits in progress, so the holder finds their
        deliveries when it first reads the store; later commits notify it.
        """
        fence = self._joined()
        gone = frozenset(shares)
        self._letting_go |= gone  # a release whose answer was lost may have been done
        self._held = (self._held or frozenset()) - gone
        with self._database.write() as session:
            session.guard(alone=True)
            session.run(SQL["members.release"], [(*share, fence) for share in sorted(gone)])
            session.wake(MEMBERS)
        self._letting_go -= gone

    def leave(self) -> None:
        fence, self._database.fence, self._held = self._database.fence, None, None
        if fence is None:
            return
        with self._database.write_unsynced() as session:  # works in a store of a newer version too
            session.execute("DELETE FROM members WHERE fence = :fence", fence=fence)
            session.wake(MEMBERS)

    def _settle_doubts(self) -> None:
        """Find out which commits in doubt were done. StoreError while that cannot be known."""
        while self._doubts:
            mark, answers = self._doubts[0]
            if self._database.has_committed(mark):
                self._done.update((id(answer[0]), answer) for answer in answers)
                self._database.unnotified += 1  # its deliveries may be in any queue
            self._doubts.pop(0)

    def _joined(self) -> int:
        if self._database.fence is None:
            raise lease_lost()
        return self._database.fence
