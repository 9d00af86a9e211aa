"""An engine that holds a portion of the work: some slots, a portion of the limits, and a lease."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bridge.domain.account_state import AccountState
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.slots import SLOTS, Share, account_scope, endpoint_scope, slot_of
from tests.engine.rig import REVOKED, SUCCEEDED, Rig

ALL = range(SLOTS)
EVEN = range(0, SLOTS, 2)
IDS = [f"task-{number}" for number in range(40)]
OWN = [task_id for task_id in IDS if slot_of(task_id) in EVEN]


def polling(slots: Iterable[int]) -> frozenset[Share]:
    return frozenset(Share(account_scope("kling"), slot) for slot in slots)


def telling(slots: Iterable[int]) -> frozenset[Share]:
    return frozenset(Share(endpoint_scope("hook"), slot) for slot in slots)


async def test_only_watches_of_held_slots_are_polled() -> None:
    rig = Rig()
    async with rig.running():
        rig.poller.set_shares(polling(EVEN), daemons=2)
        await rig.watch(*IDS)
        await rig.clock.advance(30)
        assert {task_id for _, task_id in rig.provider.asked} == set(OWN)


async def test_a_portion_of_the_slots_allows_a_portion_of_the_limits() -> None:
    rig = Rig(limits=RateLimits(rate=4.0, burst=16, concurrency=16))
    async with rig.running():
        rig.poller.set_shares(polling(EVEN), daemons=2)
        await rig.watch(*[f"more-{number}" for number in range(400)])
        await rig.clock.advance(60)
        asked = [at for at, _ in rig.provider.asked]
        assert len(asked) <= 8 + 2 * 60
        assert len(asked) >= 2 * 60


async def test_a_larger_portion_brings_no_burst() -> None:
    rig = Rig(limits=RateLimits(rate=1.0, burst=16, concurrency=16))
    async with rig.running():
        rig.poller.set_shares(frozenset(), daemons=2)
        await rig.watch(*IDS)
        await rig.clock.advance(60)
        assert not rig.provider.asked
        rig.poller.set_shares(polling(ALL), daemons=1)
        await rig.intake.sync([], source="nobody")
        await rig.poller.load()
        await rig.clock.advance(10)
        assert 9 <= len(rig.provider.asked) <= 11


async def test_released_slots_are_not_polled_after_requests_in_flight_finish() -> None:
    rig = Rig(answer_s=3.0)
    given_up = next(task_id for task_id in IDS if task_id not in OWN)
    rig.script(given_up, SUCCEEDED)
    async with rig.running():
        await rig.watch(*IDS)
        await rig.clock.advance(1)
        rig.poller.set_shares(polling(EVEN), daemons=2)
        quiet = []

        async def wait() -> None:
            await rig.poller.quiet()
            quiet.append(rig.clock.steady())

        async with rig.beside(wait):
            await rig.clock.advance(1)
            assert not quiet
            await rig.clock.advance(3)
            assert quiet
        assert rig.phase(given_up) == "succeeded"  # what was in flight is stored
        rig.provider.asked.clear()
        await rig.clock.advance(60)
        assert {task_id for _, task_id in rig.provider.asked} == set(OWN)


async def test_deliveries_of_other_slots_wait_for_their_holder() -> None:
    rig = Rig()
    for task_id in IDS:
        rig.script(task_id, SUCCEEDED)
    async with rig.running():
        rig.dispatcher.set_shares(telling(EVEN))
        await rig.watch(*IDS)
        await rig.clock.advance(10)
        assert {delivery.subject for _, delivery in rig.sink.handed} == set(OWN)
        rig.dispatcher.set_shares(telling(ALL))
        await rig.clock.advance(10)
        assert len(rig.sink.handed) == len(IDS)


async def test_without_a_lease_nothing_is_polled_and_nothing_delivered() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        rig.lease.until_at = rig.clock.steady()
        await rig.watch("a")
        await rig.clock.advance(30)
        assert not rig.provider.asked
        rig.lease.until_at = math.inf
        await rig.clock.advance(2)
        assert rig.topics() == ["task_succeeded"]


async def test_a_pause_stored_by_another_daemon_applies_here() -> None:
    rig = Rig()
    async with rig.running():
        now = rig.clock.steady()
        rig.poller.update({"kling": AccountState(account="kling", wait_until_at=now + 100)})
        await rig.watch("a")
        await rig.clock.advance(99)
        assert not rig.provider.asked
        await rig.clock.advance(2)
        assert rig.provider.asked


async def test_daemons_share_a_block_and_each_probes_less_often() -> None:
    rig = Rig()
    async with rig.running():
        rig.poller.set_shares(polling(EVEN), daemons=3)
        blocked = AccountState(account="kling", blocked_at=rig.clock.steady(), reason="HTTP 401", count=1)
        rig.poller.update({"kling": blocked})
        await rig.watch(*IDS)
        await rig.clock.advance(179)
        assert not rig.provider.asked
        await rig.clock.advance(2)
        assert rig.provider.asked


async def test_an_account_restored_by_another_daemon_is_polled_again() -> None:
    rig = Rig()
    async with rig.running():
        rig.poller.set_shares(polling(EVEN), daemons=2)
        at = rig.clock.steady()
        rig.poller.update({"kling": AccountState(account="kling", blocked_at=at, reason="HTTP 401", count=1)})
        await rig.watch(*IDS)
        await rig.clock.advance(100)
        assert not rig.provider.asked
        rig.poller.update({"kling": AccountState(account="kling", count=1, blocked_s=100.0)})
        await rig.clock.advance(1)
        assert rig.provider.asked


async def test_operator_events_are_delivered_by_the_holder_of_their_slot() -> None:
    rig = Rig()
    rig.script("a", REVOKED)
    async with rig.running():
        group = [slot for slot in ALL if slot % 4 == slot_of("kling") % 4]  # of four, for a concurrency of four
        rig.dispatcher.set_shares(telling(slot for slot in ALL if slot not in group))
        await rig.watch("a")
        await rig.clock.advance(10)
        assert not rig.sink.handed
        rig.dispatcher.set_shares(telling(group))
        await rig.clock.advance(10)
        assert [delivery.topic for _, delivery in rig.sink.handed] == ["account_blocked"]


async def test_polls_are_stored_at_once_for_the_next_holder_of_a_watch() -> None:
    rig = Rig(notes_every_s=3600.0)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(20)
        assert rig.store.find("a", None)[0].state.memory.polls == 1  # with the transition
        async with rig.beside(rig.writes.flush_notes):
            await rig.clock.advance(0)
        assert rig.store.find("a", None)[0].state.memory.polls > 1


async def test_several_hand_overs_at_the_same_time_all_finish() -> None:
    rig = Rig(answer_s=3.0, notes_every_s=3600.0)
    async with rig.running():
        await rig.watch(*IDS)
        await rig.clock.advance(30)
        rig.poller.set_shares(polling(range(8)), daemons=2)
        over = []

        async def hand_over() -> None:
            await rig.poller.quiet()
            await rig.dispatcher.quiet("endpoint/hook")
            await rig.writes.flush_notes()
            over.append(rig.clock.steady())

        async with rig.beside(hand_over), rig.beside(hand_over):
            await rig.clock.advance(0)
            rig.poller.set_shares(polling(range(4)), daemons=3)
            async with rig.beside(hand_over):
                await rig.clock.advance(10)
        assert len(over) == 3


async def test_a_removed_account_is_not_handed_over_while_in_flight() -> None:
    rig = Rig(answer_s=3.0)
    rig.script("a", SUCCEEDED)
    rig.sink.hang_s[""] = 10.0
    quiet = []

    async def polls() -> None:
        await rig.poller.quiet()
        quiet.append("polls")

    async def deliveries() -> None:
        await rig.dispatcher.quiet("endpoint/hook")
        quiet.append("deliveries")

    async with rig.running():
        rig.poller.set_shares(polling(ALL), daemons=2)
        rig.dispatcher.set_shares(telling(ALL))
        await rig.watch("a")
        await rig.clock.advance(1)
        rig.poller.configure({}, {})
        rig.poller.set_shares(frozenset(), daemons=2)
        async with rig.beside(polls):
            await rig.clock.advance(1)
            assert not quiet
            await rig.clock.advance(2)
        assert len(rig.sink.handed) == 1
        await rig.dispatcher.configure({})
        rig.dispatcher.set_shares(frozenset())
        async with rig.beside(deliveries):
            await rig.clock.advance(5)
            assert quiet == ["polls"]
            await rig.clock.advance(10)
        assert quiet == ["polls", "deliveries"]
