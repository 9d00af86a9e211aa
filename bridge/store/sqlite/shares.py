"""Shares: the one daemon of a SQLite store, which the lock on the file keeps alone, holds whatever it asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bridge.domain.shares import Share
from bridge.ports import Roll
from bridge.store.sqlite.part import Part
from bridge.store.views import MemberView


class SharesPart(Part):
    """`ports.Shares` on SQLite: kept in memory, since they end with the process."""

    _member = ""
    _held: frozenset[Share] = frozenset()

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        """See `ports.Shares.join`. The lock on the file is the lease."""
        self._member = f"{name}#1"
        return self._member

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roll:
        """See `ports.Shares.renew`."""
        return Roll(members={self._member: scopes}, holders=dict.fromkeys(self._held, self._member))

    def claim(self, shares: Collection[Share]) -> frozenset[Share]:
        """See `ports.Shares.claim`."""
        free = frozenset(shares) - self._held
        self._held |= free
        return free

    def release(self, shares: Collection[Share]) -> None:
        """See `ports.Shares.release`."""
        self._held -= frozenset(shares)

    def members(self) -> list[MemberView]:
        """See `views.Views.members`. Who is alone, the lock on the file tells."""
        return []

    def leave(self) -> None:
        """See `ports.Shares.leave`."""
        self._member, self._held = "", frozenset()
