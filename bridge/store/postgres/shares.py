"""Shares: the members of a store, their leases, and who holds which part of the work.

A lease and a share are no locks: a session may be lost, and a lock with it, while its daemon works on. They are rows
that end by the server's clock. What makes them safe is that every commit of a member takes a share lock on the member's
row (`Part._guard`), and that only an unlocked row can be deleted: whoever takes over waits for commits under way, and
whoever has been taken over commits nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Final

from bridge.domain.shares import Share
from bridge.errors import LeaseLost
from bridge.ports import Roll
from bridge.store.postgres.database import MEMBERS, Database, one
from bridge.store.postgres.part import Part, columns
from bridge.store.views import MemberView

_JOIN: Final = """
    INSERT INTO members (name, scopes, lease_until)
    VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s)) RETURNING fence
"""
_LEASE_OVER: Final = """
    DELETE FROM members
    WHERE fence IN (SELECT fence FROM members WHERE lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED)
"""
_RENEW: Final = """
    UPDATE members SET scopes = %s, lease_until = clock_timestamp() + make_interval(secs => %s)
    FROM (SELECT scopes AS before FROM members WHERE fence = %s) AS old
    WHERE fence = %s AND lease_until > clock_timestamp()
    RETURNING before <> scopes, (SELECT version FROM genbridge_store)
"""
_CLAIM: Final = """
    INSERT INTO shares (scope, slot, fence)
    SELECT scope, slot, %s FROM unnest(%s::text[], %s::int[]) AS new (scope, slot)
    ON CONFLICT DO NOTHING RETURNING scope, slot
"""
_RELEASE: Final = """
    DELETE FROM shares USING unnest(%s::text[], %s::int[]) AS gone (scope, slot)
    WHERE shares.scope = gone.scope AND shares.slot = gone.slot AND fence = %s
"""
_MEMBERS: Final = """
    SELECT name, fence, extract(epoch FROM joined_at)::float8, extract(epoch FROM lease_until)::float8,
        (SELECT count(*) FROM shares WHERE shares.fence = members.fence)
    FROM members WHERE lease_until > clock_timestamp() ORDER BY fence
"""


class SharesPart(Part):
    """`ports.Shares` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._joining: list[int] = []  # memberships of which it is not known whether they came about
        self._letting_go: frozenset[Share] = frozenset()  # what has been released, or is about to be

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        """See `ports.Shares.join`."""
        with self._database.write() as link:
            if self._joining:  # a part of the work would wait for it
                link.execute("DELETE FROM members WHERE fence = ANY(%s)", (self._joining,))
            fence = one(link.execute(_JOIN, (name, _text(scopes), lease_s)))[0]
            self._joining.append(fence)
            self._wake(link, MEMBERS)
        self._joining.clear()
        self._fence, self._held, self._letting_go, self._lease_s = fence, frozenset(), frozenset(), lease_s
        return _id(name, fence)

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roll:
        """See `ports.Shares.renew`. A crash of the server may take back the last second of it, which is as if it had
        come a second earlier."""
        fence = self._joined()
        with self._database.jot() as link:
            are_gone = link.execute(_LEASE_OVER).rowcount > 0
            renewed = link.execute(_RENEW, (_text(scopes), lease_s, fence, fence)).fetchone()
            if renewed is None:
                raise _lost()
            has_changed, version = renewed
            self._database.check(version)
            if are_gone or has_changed:
                self._wake(link, MEMBERS)
            ids, members = {}, {}
            for number, name, stored in link.execute("SELECT fence, name, scopes FROM members"):
                ids[number] = _id(name, number)
                members[ids[number]] = json.loads(stored)
            rows = link.execute("SELECT scope, slot, fence FROM shares")
            holders = {Share(scope, slot): ids[holder] for scope, slot, holder in rows if holder in ids}
        # Also what a claim whose answer was lost has brought, and without what a crash of the server has taken back.
        self._held = frozenset(share for share, holder in holders.items() if holder == ids[fence]) - self._letting_go
        return Roll(members=members, holders=holders)

    def claim(self, shares: Collection[Share]) -> frozenset[Share]:
        """See `ports.Shares.claim`."""
        fence = self._joined()
        with self._database.write() as link:
            self._guard(link)
            rows = link.execute(_CLAIM, (fence, *columns("ti", sorted(shares)))).fetchall()
        gained = frozenset(Share(scope, slot) for scope, slot in rows)
        self._held = (self._held or frozenset()) | gained
        return gained

    def release(self, shares: Collection[Share]) -> None:
        """See `ports.Shares.release`.

        Whoever claims these shares hears of all that is delivered there: what was committed before, it finds when it
        first looks, for this waits for commits under way; a commit that begins later sees that they are not ours.
        """
        fence = self._joined()
        gone = frozenset(shares)
        self._letting_go |= gone  # until it is certain: a release whose answer was lost may have been done
        self._held = (self._held or frozenset()) - gone
        with self._database.write() as link:
            self._guard(link, alone=True)
            link.execute(_RELEASE, (*columns("ti", sorted(gone)), fence))
            self._wake(link, MEMBERS)
        self._letting_go -= gone

    def leave(self) -> None:
        """See `ports.Shares.leave`."""
        fence, self._fence, self._held = self._fence, None, None
        if fence is None:
            return
        with self._database.jot() as link:  # also from a store that has become newer than we are
            link.execute("DELETE FROM members WHERE fence = %s", (fence,))
            self._wake(link, MEMBERS)

    def members(self) -> list[MemberView]:
        """See `views.Views.members`."""
        with self._database.read() as link:
            return [
                MemberView(member=_id(name, fence), joined_at=joined_at, lease_until=lease_until, shares=count)
                for name, fence, joined_at, lease_until, count in link.execute(_MEMBERS)
            ]

    def _joined(self) -> int:
        if self._fence is None:
            raise _lost()
        return self._fence


def _id(name: str, fence: int) -> str:
    return f"{name}#{fence}"


def _text(scopes: Mapping[str, int]) -> str:
    return json.dumps(scopes, sort_keys=True)


def _lost() -> LeaseLost:
    return LeaseLost("this daemon's lease on the store has ended")
