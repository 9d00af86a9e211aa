"""What the members of a shared store may rely on, in every implementation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.slots import SLOTS, Share, account_scope, endpoint_scope
from bridge.errors import LeaseLost
from bridge.ports import Shares
from bridge.store import open_store
from tests.fakes import FakeClock
from tests.postgres import wipe
from tests.shared import MemberShares, SharedRoster

KLING, HOOK = account_scope("kling"), endpoint_scope("hook")
SCOPES = {KLING: 16, HOOK: 8}
ALL = frozenset(Share(scope, slot) for scope in SCOPES for slot in range(SLOTS))
SHORT_S = 0.6


class Crew:
    """Members of one store, and a way to let time pass."""

    def __init__(self, member: Callable[[], Shares], wait: Callable[[float], None]) -> None:
        self.member = member
        self.wait = wait


@pytest.fixture(params=["fake", "postgres"])
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    if request.param == "fake":
        clock = FakeClock()
        roster = SharedRoster(clock)
        yield Crew(lambda: MemberShares(roster), clock.stand_still)
        return
    place: PostgresUrl = request.getfixturevalue("kept_postgres")
    wipe(place)
    with ExitStack() as stores:

        def member() -> Shares:
            store = open_store(place, create=False, group_access=False)
            stores.callback(store.close)
            return store

        yield Crew(member, time.sleep)


def test_a_share_has_one_holder(crew: Crew) -> None:
    first, second = crew.member(), crew.member()
    a = first.join(name="a", scopes=SCOPES, lease_s=60)
    second.join(name="b", scopes=SCOPES, lease_s=60)
    assert first.claim(ALL) == ALL
    assert second.claim(ALL) == frozenset()
    assert second.renew(scopes=SCOPES, lease_s=60).holders == dict.fromkeys(ALL, a)


def test_released_shares_can_be_claimed_at_once(crew: Crew) -> None:
    first, second = crew.member(), crew.member()
    first.join(name="a", scopes=SCOPES, lease_s=60)
    b = second.join(name="b", scopes=SCOPES, lease_s=60)
    first.claim(ALL)
    gone = frozenset(share for share in ALL if share.slot < 5)
    second.release(gone)  # it does not hold these
    assert second.claim(gone) == frozenset()
    first.release(gone)
    assert second.claim(ALL) == gone
    holders = first.renew(scopes=SCOPES, lease_s=60).holders
    assert {share for share, holder in holders.items() if holder == b} == gone


def test_ids_are_never_the_same_twice(crew: Crew) -> None:
    ids = []
    for _ in range(3):
        member = crew.member()
        ids.append(member.join(name="a", scopes=SCOPES, lease_s=60))
        member.leave()
    assert len(set(ids)) == 3


def test_a_member_that_left_holds_nothing_and_is_not_listed(crew: Crew) -> None:
    first, second = crew.member(), crew.member()
    first.join(name="a", scopes=SCOPES, lease_s=60)
    b = second.join(name="b", scopes={KLING: 4}, lease_s=60)
    first.claim(ALL)
    first.leave()
    first.leave()
    roster = second.renew(scopes={KLING: 4}, lease_s=60)
    assert roster.members == {b: {KLING: 4}}
    assert roster.holders == {}
    with pytest.raises(LeaseLost):
        first.claim(ALL)


def test_a_member_that_joins_again_frees_what_it_held(crew: Crew) -> None:
    first, second = crew.member(), crew.member()
    b = second.join(name="b", scopes=SCOPES, lease_s=60)
    first.join(name="a", scopes=SCOPES, lease_s=60)
    first.claim(ALL)
    a = first.join(name="a", scopes=SCOPES, lease_s=60)
    roster = second.renew(scopes=SCOPES, lease_s=60)
    assert (set(roster.members), roster.holders) == ({a, b}, {})


def test_a_renewed_lease_lasts_and_an_expired_one_frees_its_shares(crew: Crew) -> None:
    dead, alive = crew.member(), crew.member()
    dead.join(name="dead", scopes=SCOPES, lease_s=SHORT_S)
    dead.claim(ALL)
    b = alive.join(name="alive", scopes=SCOPES, lease_s=60)
    crew.wait(SHORT_S / 2)
    assert alive.claim(ALL) == frozenset()
    crew.wait(SHORT_S)
    roster = alive.renew(scopes=SCOPES, lease_s=60)
    assert set(roster.members) == {b}
    assert alive.claim(ALL) == ALL


def test_a_member_whose_lease_expired_gets_lease_lost(crew: Crew) -> None:
    late, other = crew.member(), crew.member()
    late.join(name="late", scopes=SCOPES, lease_s=SHORT_S)
    late.claim(ALL)
    other.join(name="other", scopes=SCOPES, lease_s=60)
    crew.wait(2 * SHORT_S)
    other.renew(scopes=SCOPES, lease_s=60)
    for call in (
        lambda: late.renew(scopes=SCOPES, lease_s=60),
        lambda: late.claim(ALL),
        lambda: late.release(ALL),
    ):
        with pytest.raises(LeaseLost):
            call()


def test_new_scopes_are_in_the_list_of_members(crew: Crew) -> None:
    first, second = crew.member(), crew.member()
    a = first.join(name="a", scopes=SCOPES, lease_s=60)
    second.join(name="b", scopes=SCOPES, lease_s=60)
    first.renew(scopes={KLING: 1}, lease_s=60)
    assert second.renew(scopes=SCOPES, lease_s=60).members[a] == {KLING: 1}
