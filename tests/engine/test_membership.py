"""Several daemons on one store: equal portions, no share held twice, no share free for long."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest
from structlog.testing import capture_logs

from bridge.domain.slots import SLOTS, Share
from bridge.engine.membership import Lease, Membership
from bridge.errors import LeaseLost, StoreError
from tests.fakes import DirectOffload, FakeClock
from tests.shared import MemberShares, SharedRoster

KLING = "account/kling"
TAKEOVER_S = 30.0


class Hands:
    """Records its shares. While `busy` is not set, shares that are given up stay in flight."""

    def __init__(self) -> None:
        self.held: frozenset[Share] = frozenset()
        self.wanted: frozenset[Share] = frozenset()
        self.busy: anyio.Event | None = None
        self.quick = ""  # nothing in this scope is ever in flight
        self.has_given_up = False
        self.faults = 0  # how many times loading fails
        self.loads = 0
        self.loading: anyio.Event | None = None  # while not set, loading goes on
        self.served: frozenset[str] = frozenset()

    def set_shares(self, held: frozenset[Share], *, daemons: int) -> None:
        assert daemons
        self.wanted = held

    async def load(self) -> None:
        self.loads += 1
        if self.loads <= self.faults:
            raise KeyError("a bug of ours")
        if self.loading is not None:
            await self.loading.wait()
        self.held |= self.wanted

    async def notice_served(self, scopes: Collection[str]) -> None:
        self.served = frozenset(scopes)

    async def quiet(self, scope: str) -> None:
        if self.busy is not None and scope != self.quick:
            await self.busy.wait()
        self.held = frozenset(one for one in self.held if one.scope != scope or one in self.wanted)

    def give_up(self) -> None:
        self.has_given_up = True


class Member:
    def __init__(self, roster: SharedRoster, name: str) -> None:
        self.hands = Hands()
        self.shares = MemberShares(roster)
        self.membership = Membership(
            lease=Lease(roster.clock, -math.inf),
            shares=self.shares,
            offload=DirectOffload(),
            clock=roster.clock,
            name=name,
            takeover_s=TAKEOVER_S,
            worker=self.hands,
            give_up=self.hands.give_up,
        )
        self.scopes = {KLING: SLOTS}
        self.scope = anyio.CancelScope()
        self.error: BaseException | None = None
        roster.wakes.append(self.membership.wake)

    @property
    def count(self) -> int:
        return len(self.hands.held)

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        self.membership.serve(self.scopes)
        try:
            with self.scope:
                await self.membership.run(task_status=task_status)
        except BaseExceptionGroup as group:
            self.error = group.exceptions[0]
            self.hands.held = frozenset()  # as the app drops everything


class Crew:
    def __init__(self, group: anyio.abc.TaskGroup) -> None:
        self.clock = FakeClock()
        self.roster = SharedRoster(self.clock)
        self.members: list[Member] = []
        self._group = group

    async def join(self, name: str, **more: int) -> Member:
        member = Member(self.roster, name)
        member.scopes |= more
        await self.start(member)
        await self.clock.advance(0)
        return member

    async def start(self, member: Member) -> None:
        self.members.append(member)
        await self._group.start(member.run)

    def held(self) -> Counter[Share]:
        return Counter(share for member in self.members for share in member.hands.held)


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with running_crew() as crew:
        yield crew


@asynccontextmanager
async def running_crew() -> AsyncIterator[Crew]:
    async with anyio.create_task_group() as group:
        yield Crew(group)
        group.cancel_scope.cancel()


async def test_a_sole_member_holds_everything_after_its_start(crew: Crew) -> None:
    only = await crew.join("a")
    assert only.count == SLOTS


async def test_a_new_member_gets_an_equal_portion_at_once(crew: Crew) -> None:
    for name in "abc":
        await crew.join(name)
    await crew.clock.advance(1)
    assert sorted(member.count for member in crew.members) == [5, 5, 6]
    assert set(crew.held().values()) == {1}


async def test_every_member_knows_which_scopes_are_served_by_any_of_them(crew: Crew) -> None:
    first, second = await crew.join("a"), await crew.join("b", archive=SLOTS)
    await crew.clock.advance(1)
    assert first.hands.served == second.hands.served == {KLING, "archive"}

    second.membership.serve({KLING: SLOTS})
    await crew.clock.advance(1)
    assert first.hands.served == second.hands.served == {KLING}


async def test_a_leaving_member_hands_over_at_once(crew: Crew) -> None:
    first, second = await crew.join("a"), await crew.join("b")
    first.scope.cancel()
    first.hands.held = frozenset()
    await first.membership.leave()
    await crew.clock.advance(1)
    assert second.count == SLOTS


async def test_a_slow_scope_does_not_delay_the_hand_over_of_others(crew: Crew) -> None:
    first = await crew.join("a", quick=2)
    first.hands.busy, first.hands.quick = anyio.Event(), "quick"
    second = await crew.join("b", quick=2)
    await crew.clock.advance(5)
    assert {share.scope for share in second.hands.held} == {"quick"}
    first.hands.busy.set()
    await crew.clock.advance(1)
    assert {share.scope for share in second.hands.held} == {"quick", KLING}


async def test_shares_in_flight_are_handed_over_only_when_they_are_quiet(crew: Crew) -> None:
    first = await crew.join("a")
    first.hands.busy = anyio.Event()
    second = await crew.join("b")
    await crew.clock.advance(60)
    assert (first.count, second.count) == (SLOTS, 0)
    assert first.error is None  # its lease is renewed meanwhile
    first.hands.busy.set()
    await crew.clock.advance(1)
    assert (first.count, second.count) == (8, 8)
    assert set(crew.held().values()) == {1}


async def test_the_shares_of_a_killed_member_are_taken_over_in_time(crew: Crew) -> None:
    first, second = await crew.join("a"), await crew.join("b")
    first.scope.cancel()  # it leaves without releasing anything
    first.hands.held = frozenset()
    await crew.clock.advance(TAKEOVER_S / 2)
    assert second.count == SLOTS // 2
    await crew.clock.advance(TAKEOVER_S / 2)
    assert second.count == SLOTS


async def test_a_member_that_cannot_reach_the_store_stops_before_others_take_over(crew: Crew) -> None:
    first, second = await crew.join("a"), await crew.join("b")
    first.shares.is_cut_off = True
    for _ in range(60):
        await crew.clock.advance(0.5)
        assert max(crew.held().values()) == 1
        assert not (first.membership.lease.is_held and second.count == SLOTS)
    assert isinstance(first.error, LeaseLost)
    assert second.count == SLOTS


async def test_a_short_outage_of_the_store_costs_no_share(crew: Crew) -> None:
    first, second = await crew.join("a"), await crew.join("b")
    first.shares.is_cut_off = second.shares.is_cut_off = True
    await crew.clock.advance(TAKEOVER_S / 2)
    first.shares.is_cut_off = second.shares.is_cut_off = False
    await crew.clock.advance(TAKEOVER_S)
    assert (first.count, second.count) == (8, 8)
    assert first.error is None
    assert second.error is None


async def test_a_member_suspended_beyond_its_lease_sends_nothing(crew: Crew) -> None:
    first = await crew.join("a")
    await crew.join("b")
    lease = first.membership.lease
    assert lease.is_held
    await crew.clock.advance(1)
    crew.clock.stand_still(TAKEOVER_S)
    assert not lease.is_held


async def test_changed_settings_change_the_scopes(crew: Crew) -> None:
    first, second = await crew.join("a"), await crew.join("b")
    first.membership.serve({KLING: SLOTS, "account/suno": 1})
    second.membership.serve({})
    await crew.clock.advance(1)
    assert (first.count, second.count) == (2 * SLOTS, 0)


async def test_a_scope_removed_and_added_back_between_rounds_is_loaded_again(crew: Crew) -> None:
    only = await crew.join("a")
    only.membership.serve({})
    only.hands.held = frozenset()  # its watches are not polled
    only.membership.serve({KLING: SLOTS})
    await crew.clock.advance(1)
    assert only.count == SLOTS


async def test_a_scope_added_back_during_loading_is_loaded_once_more(crew: Crew) -> None:
    only = await crew.join("a")
    load, loads = only.hands.load, list[None]()

    async def load_while_settings_change() -> None:
        loads.append(None)
        await load()
        if len(loads) == 1:
            only.membership.serve({KLING: SLOTS})
            only.hands.held = frozenset()
            only.membership.serve({KLING: SLOTS, "account/suno": 1})

    only.hands.load = load_while_settings_change  # type: ignore[method-assign]
    only.membership.serve({"account/suno": 1})
    only.membership.serve({KLING: SLOTS, "account/suno": 1})
    await crew.clock.advance(1)
    assert only.count == 2 * SLOTS


async def test_a_failed_load_is_repeated_later(crew: Crew) -> None:
    only = await crew.join("a")
    load, loads = only.hands.load, list[None]()

    async def load_in_the_end() -> None:
        loads.append(None)
        if len(loads) < 3:
            raise StoreError("no connection")
        await load()

    only.hands.load = load_in_the_end  # type: ignore[method-assign]
    only.membership.serve({KLING: SLOTS, "account/suno": 1})
    await crew.clock.advance(5)
    assert (len(loads), only.count) == (3, 2 * SLOTS)


async def test_a_claim_that_the_store_lost_is_dropped_and_claimed_again(crew: Crew) -> None:
    first, second = await crew.join("a"), await crew.join("b")
    await crew.clock.advance(1)
    forgotten = min(first.membership.held)
    del crew.roster.holders[forgotten]  # as in a failover to a server that was behind
    crew.roster.holders[forgotten] = second.shares.member
    await crew.clock.advance(10)
    assert not first.membership.held & second.membership.held
    assert len(first.membership.held) == len(second.membership.held) == SLOTS // 2


async def test_shares_that_may_be_released_are_not_claimed_until_that_is_certain(crew: Crew) -> None:
    first = await crew.join("a")
    release, released = first.shares.release, []

    def release_unheard(shares: Collection[Share]) -> None:
        released.append(first.hands.wanted & frozenset(shares))
        release(shares)
        if len(released) == 1:
            crew.members[1].scope.cancel()
            crew.roster.drop(crew.members[1].shares.member)  # now the first one holds everything again
            raise StoreError("the connection was lost; whether it was done is not known")

    first.shares.release = release_unheard  # type: ignore[method-assign]
    await crew.join("b")
    await crew.clock.advance(10)
    assert released == [frozenset()] * 2  # nothing that is in flight
    assert len(first.hands.wanted) == SLOTS


async def test_a_member_without_a_lease_does_not_wait_for_the_store(crew: Crew) -> None:
    first = await crew.join("a")
    first.shares.is_cut_off = True
    await crew.clock.advance(TAKEOVER_S)
    assert isinstance(first.error, LeaseLost)
    assert first.hands.has_given_up


async def test_after_a_bug_while_loading_the_membership_continues_after_a_pause(crew: Crew) -> None:
    member = Member(crew.roster, "a")
    member.hands.faults = 1
    with capture_logs() as logged:
        await crew.start(member)
        await crew.clock.advance(TAKEOVER_S)
        assert (member.count, member.hands.loads) == (0, 1)
        await crew.clock.advance(TAKEOVER_S * 3)
    assert member.error is None
    assert [line["event"] for line in logged].count("member.bug") == 1
    assert (member.count, member.hands.loads) == (SLOTS, 2)


async def test_the_lease_is_renewed_while_work_is_loaded_for_long(crew: Crew) -> None:
    member = Member(crew.roster, "a")
    member.hands.loading = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(crew.start, member)
        await crew.clock.advance(TAKEOVER_S * 5)
        assert member.error is None
        assert (member.count, member.hands.loads) == (0, 1)
        other = Member(crew.roster, "b")
        group.start_soon(crew.start, other)
        await crew.clock.advance(TAKEOVER_S)
        member.hands.loading.set()
    await crew.clock.advance(TAKEOVER_S)
    assert member.error is None
    assert (member.count, other.count) == (SLOTS // 2, SLOTS // 2)
