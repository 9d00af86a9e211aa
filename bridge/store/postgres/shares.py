"""Shares: the members of a store, their leases, and who holds which part of the work.

Leases and shares are rows that expire by the server's clock, because a lock ends when its session is lost although the
daemon goes on. They are safe because each commit of a member takes a share lock on the member's row (`Session.guard`),
and only an unlocked row can be deleted. So a takeover waits for commits under way, and after it the former holder
commits nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from bridge.domain.slots import Share
from bridge.errors import LeaseLost
from bridge.ports import Roster
from bridge.store.postgres.database import Database
from bridge.store.read_store import ReadStore
from bridge.store.sql_session import MEMBERS
from bridge.store.statements import SQL


class PostgresShares(ReadStore):
    """`ports.Shares` on PostgreSQL."""

    _database: Database

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._joining: list[int] = []  # memberships that may exist although the answer was lost
        self._letting_go: frozenset[Share] = frozenset()  # released, or being released

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        with self._database.write() as session:
            # Otherwise other members would leave shares for them.
            session.execute("DELETE FROM members WHERE fence IN (:fences[])", fences=self._joining)
            [(fence,)] = session.find(
                SQL["members.join"], name=name, scopes=json.dumps(scopes, sort_keys=True), lease_s=lease_s
            )
            self._joining.append(fence)
            session.wake(MEMBERS)
        self._joining.clear()
        self._database.fence, self._database.lease_s = fence, lease_s
        self._held = self._letting_go = frozenset()
        return _id(name, fence)

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roster:
        """See `ports.Shares.renew`. After a crash of the server the lease may end one second earlier."""
        fence = self._joined()
        with self._database.jot() as session:
            are_gone = session.execute(SQL["members.lease_over"]) > 0
            renewed = session.find(
                SQL["members.renew"], scopes=json.dumps(scopes, sort_keys=True), lease_s=lease_s, fence=fence
            )
            if not renewed:
                raise _lost()
            [(has_changed, version)] = renewed
            self._database.check(version)
            if are_gone or has_changed:
                session.wake(MEMBERS)
            ids, members = {}, {}
            for number, name, stored in session.find("SELECT fence, name, scopes FROM members"):
                ids[number] = _id(name, number)
                members[ids[number]] = json.loads(stored)
            rows = session.find("SELECT scope, slot, fence FROM shares")
            holders = {Share(scope, slot): ids[holder] for scope, slot, holder in rows if holder in ids}
        # This includes claims whose answer was lost, and excludes claims that a crash of the server has undone.
        mine = frozenset(share for share, holder in holders.items() if holder == ids[fence])
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
        with self._database.jot() as session:  # works in a store of a newer version too
            session.execute("DELETE FROM members WHERE fence = :fence", fence=fence)
            session.wake(MEMBERS)

    def _joined(self) -> int:
        if self._database.fence is None:
            raise _lost()
        return self._database.fence


def _id(name: str, fence: int) -> str:
    return f"{name}#{fence}"


def _lost() -> LeaseLost:
    return LeaseLost("this daemon's lease on the store has ended")
