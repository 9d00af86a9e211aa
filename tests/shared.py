"""The shares of a store in memory: several members in one process, on a fake clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bridge.domain.slots import Roster, Share
from bridge.errors import LeaseLost, StoreError
from bridge.ports import Clock


@dataclass(slots=True)
class _Seat:
    scopes: Mapping[str, int]
    until_at: float


class SharedRoster:
    """The data that the members of one store share. `wakes` are called at each change, as NOTIFY would do."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seats: dict[str, _Seat] = {}
        self.holders: dict[Share, str] = {}
        self.fences = itertools.count(1)
        self.wakes: list[Callable[[], None]] = []

    def changed(self) -> None:
        for wake in self.wakes:
            wake()

    def drop(self, member: str) -> None:
        self.seats.pop(member, None)
        self.holders = {share: holder for share, holder in self.holders.items() if holder != member}
        self.changed()


class MemberShares:
    """`ports.Shares` of one member. With `is_cut_off` it cannot reach the store."""

    def __init__(self, roster: SharedRoster) -> None:
        self.roster = roster
        self.member = ""
        self.is_cut_off = False

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        self._reach()
        self.roster.drop(self.member)
        self.member = f"{name}#{next(self.roster.fences)}"
        self.roster.seats[self.member] = _Seat(dict(scopes), self.roster.clock.steady() + lease_s)
        self.roster.changed()
        return self.member

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roster:
        self._reach()
        now = self.roster.clock.steady()
        for member in [member for member, seat in self.roster.seats.items() if seat.until_at <= now]:
            self.roster.drop(member)
        seat = self._seat()
        is_news = seat.scopes != scopes
        seat.scopes, seat.until_at = dict(scopes), now + lease_s
        if is_news:
            self.roster.changed()
        members = {member: seat.scopes for member, seat in self.roster.seats.items()}
        return Roster(members=members, holders=dict(self.roster.holders))

    def claim(self, shares: Collection[Share]) -> frozenset[Share]:
        self._reach()
        self._seat()
        free = frozenset(share for share in shares if share not in self.roster.holders)
        self.roster.holders.update(dict.fromkeys(free, self.member))
        return free

    def release(self, shares: Collection[Share]) -> None:
        self._reach()
        self._seat()
        for share in shares:
            if self.roster.holders.get(share) == self.member:
                del self.roster.holders[share]
        self.roster.changed()

    def leave(self) -> None:
        self._reach()
        self.roster.drop(self.member)

    def _reach(self) -> None:
        if self.is_cut_off:
            raise StoreError("no connection")

    def _seat(self) -> _Seat:
        seat = self.roster.seats.get(self.member)
        if seat is None or seat.until_at <= self.roster.clock.steady():
            raise LeaseLost("the lease has ended")
        return seat
