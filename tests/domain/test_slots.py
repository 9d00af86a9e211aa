"""Dividing the work: every share has a holder, evenly, and few shares move."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.slots import (
    SLOTS,
    WHOLE,
    Portion,
    Roster,
    Share,
    SoleMember,
    account_scope,
    accounts_and_slots,
    division,
    endpoint_scope,
    groups_for,
    portion_held,
    slot_of,
    slots_held,
    slots_of_group,
)

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
SCOPES = st.sampled_from([account_scope("kling"), account_scope("suno"), endpoint_scope("hook"), endpoint_scope("x")])
GROUPS = st.sampled_from([1, 2, 4, 8, 16])
MEMBERS = st.dictionaries(NAMES, st.dictionaries(SCOPES, GROUPS), max_size=5)
HOLDERS = st.dictionaries(st.builds(Share, SCOPES, st.integers(0, SLOTS - 1)), NAMES, max_size=64)
KLING = account_scope("kling")


def settled(members: dict[str, dict[str, int]], holders: dict[Share, str]) -> dict[Share, str]:
    """Which member holds each share after this division."""
    return {share: member for member, shares in division(members, holders).items() for share in shares}


@given(MEMBERS, HOLDERS)
def test_every_share_of_a_served_scope_has_one_serving_member(
    members: dict[str, dict[str, int]], holders: dict[Share, str]
) -> None:
    given_out = [(share, member) for member, shares in division(members, holders).items() for share in shares]
    assert len({share for share, _ in given_out}) == len(given_out)
    assert all(share.scope in members[member] for share, member in given_out)
    served = {scope for scopes in members.values() for scope in scopes}
    assert {share for share, _ in given_out} == {Share(scope, slot) for scope in served for slot in range(SLOTS)}


@given(MEMBERS, HOLDERS)
def test_groups_of_a_scope_are_even_to_within_one(
    members: dict[str, dict[str, int]], holders: dict[Share, str]
) -> None:
    plan = division(members, holders)
    for scope in {scope for scopes in members.values() for scope in scopes}:
        serving = [member for member in members if scope in members[member]]
        groups = min(members[member][scope] for member in serving)
        held = [portion_held(scope, groups, plan[member]).held for member in serving]
        assert sum(held) == groups
        assert max(held) - min(held) <= 1


@given(MEMBERS, HOLDERS)
def test_a_repeated_division_moves_no_share(members: dict[str, dict[str, int]], holders: dict[Share, str]) -> None:
    once = settled(members, holders)
    assert settled(members, once) == once


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 20])
def test_a_member_that_leaves_moves_only_what_it_held(count: int) -> None:
    members = {f"m{place:02}": {KLING: SLOTS} for place in range(count)}
    before = settled(members, {})
    gone = members.pop("m00")
    after = settled(members, {share: holder for share, holder in before.items() if holder != "m00"})
    moved = [share for share in after if before[share] != after[share]]
    assert gone
    assert {before[share] for share in moved} <= {"m00"}


def test_a_member_that_joins_takes_only_its_part() -> None:
    before = settled({"a": {KLING: 16}, "b": {KLING: 16}}, {})
    after = settled({"a": {KLING: 16}, "b": {KLING: 16}, "c": {KLING: 16}}, before)
    assert sorted(Counter(after.values()).values()) == [5, 5, 6]
    assert {after[share] for share in after if after[share] != before[share]} == {"c"}


def test_scopes_of_one_group_are_spread_over_the_members() -> None:
    scopes = {account_scope(f"account-{place}"): 1 for place in range(9)}
    plan = division({"a": scopes, "b": scopes, "c": scopes}, {})
    assert [len(plan[member]) for member in "abc"] == [3 * SLOTS] * 3


def test_settings_that_differ_for_a_moment_are_cut_into_the_fewest_groups() -> None:
    plan = division({"a": {KLING: 16}, "b": {KLING: 1}}, {})
    assert sorted(map(len, plan.values())) == [0, SLOTS]


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_the_parts_of_all_members_never_exceed_the_whole(burst: int, concurrency: int) -> None:
    groups = groups_for(burst, concurrency)
    assert SLOTS % groups == 0
    for members in range(1, 6):
        scopes = {KLING: groups}
        plan = division({f"m{place}": scopes for place in range(members)}, {})
        portions = [portion_held(KLING, groups, shares) for shares in plan.values()]
        for whole in (burst, concurrency):
            each = [portion.of_count(whole) for portion in portions]
            assert sum(each) <= whole
            assert all(count >= 1 for count, portion in zip(each, portions, strict=True) if portion.held)


def test_a_group_held_in_part_gives_no_right_to_its_limits() -> None:
    slots = list(slots_of_group(1, 4))
    assert portion_held(KLING, 4, frozenset(Share(KLING, slot) for slot in slots[:-1])) == Portion(0, 4)
    assert portion_held(KLING, 4, frozenset(Share(KLING, slot) for slot in slots)) == Portion(1, 4)
    assert WHOLE.of_count(7) == 7


def test_a_task_always_has_the_same_slot_and_slots_are_spread() -> None:
    assert slot_of("857000000000000001") == slot_of("857000000000000001")
    spread = Counter(slot_of(f"task-{place}") for place in range(16_000))
    assert set(spread) == set(range(SLOTS))
    assert max(spread.values()) < 1.2 * min(spread.values())


def test_accounts_and_slots_leave_out_endpoints() -> None:
    held = [Share(KLING, 3), Share(endpoint_scope("hook"), 1), Share(account_scope("a/b"), 0)]
    assert accounts_and_slots(held) == [("a/b", 0), ("kling", 3)]


def test_the_slots_of_a_scope_are_found_among_all_shares() -> None:
    held = frozenset({Share(KLING, 1), Share(KLING, 3), Share(endpoint_scope("hook"), 2)})
    assert slots_held(KLING, held) == {1, 3}


def test_the_only_member_gets_what_it_claims_until_it_leaves() -> None:
    alone, shares = SoleMember(), [Share(KLING, slot) for slot in range(3)]
    member = alone.join(name="", scopes={KLING: 1}, lease_s=1.0)
    assert alone.claim(shares[:2]) == frozenset(shares[:2])
    assert alone.claim(shares[1:]) == {shares[2]}
    alone.release(shares[:1])
    kept = dict.fromkeys(shares[1:], member)
    assert alone.renew(scopes={KLING: 1}, lease_s=1.0) == Roster(members={member: {KLING: 1}}, holders=kept)
    alone.leave()
    assert alone.claim(shares) == frozenset(shares)
