"""How several daemons divide the work on a shared store.

A *scope* is an account (its polls) or an endpoint (its deliveries). Each scope has `SLOTS` slots; a hash of the task's
id selects its slot. A *share* is one slot of one scope, held by at most one member. Slots are assigned in groups: a
member that holds one of n groups may use one n-th of the scope's limits. So an account that allows one request in
flight has one group, and one member polls it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

SLOTS: Final = 16
ALL_SLOTS: Final = frozenset(range(SLOTS))
_ACCOUNT: Final = "account/"


class Share(NamedTuple):
    """One slot of one scope."""

    scope: str
    slot: int


@dataclass(frozen=True, slots=True)
class Portion:
    """How much of a scope a member holds: `held` of `of` groups."""

    held: int
    of: int

    def of_count(self, count: int) -> int:
        """This portion of a number, rounded down, so that all portions together never exceed it."""
        return count * self.held // self.of


WHOLE: Final = Portion(1, 1)
NOTHING: Final = Portion(0, 1)


def account_scope(account: str) -> str:
    return f"{_ACCOUNT}{account}"


def accounts_and_slots(held: Collection[Share]) -> list[tuple[str, int]]:
    """The account and slot of those shares that belong to accounts."""
    return sorted((scope.removeprefix(_ACCOUNT), slot) for scope, slot in held if scope.startswith(_ACCOUNT))


def endpoint_scope(endpoint: str) -> str:
    return f"endpoint/{endpoint}"


def slot_of(subject: str) -> int:
    """The slot of a task and its deliveries. For events about an account or endpoint, `subject` is its name."""
    return zlib.crc32(subject.encode()) % SLOTS


def groups_for(*counts: int) -> int:
    """The number of groups of a scope with these limits (requests at once, requests in flight).

    It is a power of two, so that it divides `SLOTS`, and not more than the smallest limit, so that each group may send
    at least one request.
    """
    most = max(1, min(SLOTS, *counts))
    return int(2 ** (most.bit_length() - 1))


def slots_of_group(group: int, groups: int) -> range:
    return range(group, SLOTS, groups)


def division(members: Mapping[str, Mapping[str, int]], holders: Mapping[Share, str]) -> dict[str, frozenset[Share]]:
    """The shares that each member should hold.

    `members` maps each live member to its scopes, and each scope to its number of groups. Just after a change of
    settings, members may disagree about that number; then the smallest one counts. `holders` maps each share to its
    holder.

    Every share of a scope that a member serves is assigned. Within a scope, the members' numbers of groups differ by at
    most one, and the same holds for the remainders over all scopes. Shares move only if they must. The result depends
    on the arguments alone, so members agree without a leader.
    """
    plan: dict[str, set[Share]] = {member: set() for member in members}
    remainder = 0  # carried over from scope to scope, so that small scopes do not all go to the first member
    for scope in sorted({scope for scopes in members.values() for scope in scopes}):
        serving = sorted(member for member, scopes in members.items() if scope in scopes)
        groups = min(members[member][scope] for member in serving)
        least, over = divmod(groups, len(serving))
        favoured = {serving[(remainder + place) % len(serving)] for place in range(over)}
        remainder += over
        room = {member: least + (member in favoured) for member in serving}
        unassigned = []
        for group in range(groups):
            holder = _holder(scope, group, groups, holders)
            if room.get(holder, 0):
                room[holder] -= 1
                plan[holder].update(Share(scope, slot) for slot in slots_of_group(group, groups))
            else:
                unassigned.append(group)
        for member in serving:
            for _ in range(room[member]):
                plan[member].update(Share(scope, slot) for slot in slots_of_group(unassigned.pop(0), groups))
    return {member: frozenset(shares) for member, shares in plan.items()}


def _holder(scope: str, group: int, groups: int, holders: Mapping[Share, str]) -> str:
    """The member that holds most slots of a group; "" if none holds any."""
    held = Counter(holders[share] for slot in slots_of_group(group, groups) if (share := Share(scope, slot)) in holders)
    return max(sorted(held), key=lambda member: held[member], default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The members of a store and the shares they hold, at one moment of the store's clock.

    `members`: those with a valid lease, each with the scopes it serves and the number of groups in each scope.
    `holders`: the member that holds each share. Free shares are absent.
    """

    members: Mapping[str, Mapping[str, int]]
    holders: Mapping[Share, str]


class SoleMember:
    """`ports.Shares` of a store that only one daemon can open: it gets what it claims, until it leaves."""

    _member = ""
    _claimed: frozenset[Share] = frozenset()

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        self._member = f"{name}#1"
        return self._member

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roster:
        return Roster(members={self._member: scopes}, holders=dict.fromkeys(self._claimed, self._member))

    def claim(self, shares: Collection[Share]) -> frozenset[Share]:
        free = frozenset(shares) - self._claimed
        self._claimed |= free
        return free

    def release(self, shares: Collection[Share]) -> None:
        self._claimed -= frozenset(shares)

    def leave(self) -> None:
        self._member, self._claimed = "", frozenset()


def slots_held(scope: str, held: frozenset[Share]) -> frozenset[int]:
    return frozenset(share.slot for share in held if share.scope == scope)


def portion_held(scope: str, groups: int, held: frozenset[Share]) -> Portion:
    """The portion of a scope's limits that these shares give. Only complete groups count, because another member may
    still hold the other slots of an incomplete one."""
    whole = sum(all(Share(scope, slot) in held for slot in slots_of_group(group, groups)) for group in range(groups))
    return Portion(whole, groups)
