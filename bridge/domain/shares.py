"""Who works on what when several daemons share one store: slots, groups, and an even division.

What is worked on is an account (whom to ask) or an endpoint (whom to tell): a *scope*. Each scope is cut into `SLOTS`
slots; a task lies in one of them by its id. A *share* is one slot of one scope, held by at most one member. Slots are
handed out by groups, so that whoever holds one group of n may use one n-th of the scope's limits: an account that may
have one request in flight is one group, and one member asks for it alone.
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
class Part:
    """How much of a scope a member holds: `held` of `of` groups."""

    held: int
    of: int

    def of_count(self, count: int) -> int:
        """This part of a whole number, rounded down: all parts together never exceed it."""
        return count * self.held // self.of


WHOLE: Final = Part(1, 1)


def account_scope(account: str) -> str:
    """The scope of asking about an account's tasks."""
    return f"{_ACCOUNT}{account}"


def accounts_and_slots(held: Collection[Share]) -> list[tuple[str, int]]:
    """Account and slot of those of these shares that are about asking."""
    return sorted((scope.removeprefix(_ACCOUNT), slot) for scope, slot in held if scope.startswith(_ACCOUNT))


def endpoint_scope(endpoint: str) -> str:
    """The scope of delivering to an endpoint."""
    return f"endpoint/{endpoint}"


def slot_of(subject: str) -> int:
    """The slot of a task's watch and of its deliveries (of an operator topic: by its account's or endpoint's name)."""
    return zlib.crc32(subject.encode()) % SLOTS


def groups_for(*counts: int) -> int:
    """Into how many groups a scope with these limits (requests at once, in flight) is cut: a power of two, so that it
    divides `SLOTS`, and never more than the smallest of them, so that each group's part of it is one at least."""
    most = max(1, min(SLOTS, *counts))
    return int(2 ** (most.bit_length() - 1))


def slots_of_group(group: int, groups: int) -> range:
    """The slots of one of a scope's groups."""
    return range(group, SLOTS, groups)


def division(members: Mapping[str, Mapping[str, int]], holders: Mapping[Share, str]) -> dict[str, frozenset[Share]]:
    """Which shares each member is to hold.

    `members`: the live ones, each with the scopes it serves and into how many groups it would cut them (where they
    differ, as for a moment after new settings, the fewest count). `holders`: who holds which share now. Every share of
    every scope that anybody serves is given to somebody; the groups of a scope are even to within one, and so are
    the remainders over all scopes; what need not move stays. Everybody who calls it with the same values gets the same
    answer, so nobody has to preside.
    """
    plan: dict[str, set[Share]] = {member: set() for member in members}
    remainder = 0  # handed on from scope to scope, so that many small ones do not all fall to the first member
    for scope in sorted({scope for scopes in members.values() for scope in scopes}):
        serving = sorted(member for member, scopes in members.items() if scope in scopes)
        groups = min(members[member][scope] for member in serving)
        least, over = divmod(groups, len(serving))
        favoured = {serving[(remainder + place) % len(serving)] for place in range(over)}
        remainder += over
        room = {member: least + (member in favoured) for member in serving}
        homeless = []
        for group in range(groups):
            holder = _holder(scope, group, groups, holders)
            if room.get(holder, 0):
                room[holder] -= 1
                plan[holder].update(Share(scope, slot) for slot in slots_of_group(group, groups))
            else:
                homeless.append(group)
        for member in serving:
            for _ in range(room[member]):
                plan[member].update(Share(scope, slot) for slot in slots_of_group(homeless.pop(0), groups))
    return {member: frozenset(shares) for member, shares in plan.items()}


def _holder(scope: str, group: int, groups: int, holders: Mapping[Share, str]) -> str:
    """Who holds most of a group's slots; empty when nobody holds any."""
    held = Counter(holders[share] for slot in slots_of_group(group, groups) if (share := Share(scope, slot)) in holders)
    return max(sorted(held), key=lambda member: held[member], default="")


def slots_held(scope: str, held: frozenset[Share]) -> frozenset[int]:
    """The slots of one scope among these shares."""
    return frozenset(share.slot for share in held if share.scope == scope)


def part_held(scope: str, groups: int, held: frozenset[Share]) -> Part:
    """How much of a scope's limits whoever holds these shares may use. A group that is held in part counts for
    nothing until it is whole: its other slots are still somebody else's."""
    whole = sum(all(Share(scope, slot) in held for slot in slots_of_group(group, groups)) for group in range(groups))
    return Part(whole, groups)
