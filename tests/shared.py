"""A store's shares without a store: several members in one process, on a clock moved by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bridge.domain.shares import Share
from bridge.errors import LeaseLost, StoreError
from bridge.ports import Clock, Roll


@dataclass(slots=True)
class _Seat:
    scopes: Mapping[str, int]
    until_at: float


class SharedRoll:
    """What the members of one store have in common; `wakes` are told of each change, as NOTIFY would."""

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
    """`ports.Shares` of one member. `is_cut_off`: it cannot reach the store."""

    def __init__(self, roll: SharedRoll) -> None:
        self.roll = roll
        self.member = ""
        self.is_cut_off = False

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        self._reach()
        self.member = f"{name}#{next(self.roll.fences)}"
        self.roll.seats[self.member] = _Seat(dict(scopes), self.roll.clock.steady() + lease_s)
        self.roll.changed()
        return self.member

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roll:
        self._reach()
        now = self.roll.clock.steady()
        for member in [member for member, seat in self.roll.seats.items() if seat.until_at <= now]:
            self.roll.drop(member)
        seat = self._seat()
        is_news = seat.scopes != scopes
        seat.scopes, seat.until_at = dict(scopes), now + lease_s
        if is_news:
            self.roll.changed()
        members = {member: seat.scopes for member, seat in self.roll.seats.items()}
        return Roll(members=members, holders=dict(self.roll.holders))

    def claim(self, shares: Collection[Share]) -> frozenset[Share]:
        self._reach()
        self._seat()
        free = frozenset(share for share in shares if share not in self.roll.holders)
        self.roll.holders.update(dict.fromkeys(free, self.member))
        return free

    def release(self, shares: Collection[Share]) -> None:
        self._reach()
        self._seat()
        for share in shares:
            if self.roll.holders.get(share) == self.member:
                del self.roll.holders[share]
        self.roll.changed()

    def leave(self) -> None:
        self._reach()
        self.roll.drop(self.member)

    def _reach(self) -> None:
        if self.is_cut_off:
            raise StoreError("no connection")

    def _seat(self) -> _Seat:
        seat = self.roll.seats.get(self.member)
        if seat is None or seat.until_at <= self.roll.clock.steady():
            raise LeaseLost("the lease has ended")
        return seat
