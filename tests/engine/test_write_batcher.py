from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest
from structlog.testing import capture_logs

from bridge.domain.change import AccountAskedToWait, Change, key_of
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.ids import WatchKey
from bridge.errors import StoreError
from bridge.ports import ParcelsFor
from tests.engine.recording_batcher import writing
from tests.engine.rig import REVOKED, SUCCEEDED, Rig
from tests.store.making import make_end


async def test_changes_that_wait_at_the_same_time_share_one_transaction() -> None:
    rig = Rig()
    ids = [f"t{number}" for number in range(18)]
    for task_id in ids:
        rig.script(task_id, SUCCEEDED)
    commits = 0
    commit = rig.store.commit

    def counted(*args: object) -> list[bool]:
        nonlocal commits
        commits += 1
        return commit(*args)  # type: ignore[arg-type]  # passed on as it came

    rig.torn.commit = counted  # type: ignore[method-assign]  # our own double, counting
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(5)
        assert len(set(rig.sink.ids())) == 18
        assert commits < 18


async def test_a_change_whose_event_cannot_be_rendered_fails_alone() -> None:
    class PoisonedRig(Rig):
        def parcels_for(self, event: Event) -> Sequence[Parcel]:
            if event.subject == "poison":
                raise KeyError("a template gone wrong")
            return super().parcels_for(event)

    rig = PoisonedRig()
    for task_id in ("a", "poison", "b"):
        rig.script(task_id, SUCCEEDED)
    async with rig.running():
        await rig.watch("a", "poison", "b")
        await rig.clock.advance(10)
        assert sorted(delivery.subject for _, delivery in rig.sink.handed) == ["a", "b"]


async def test_a_change_that_cannot_be_stored_costs_few_transactions() -> None:
    async with writing() as (writes, book, clock):
        commit, transactions = book.commit, 0

        def poisoned(changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
            nonlocal transactions
            transactions += 1
            if any(key_of(change) == "kling/poison" for change in changes):
                raise KeyError("a bug of ours")
            return commit(changes, parcels_for)

        book.commit = poisoned  # type: ignore[method-assign]  # our own double, failing
        for number in range(1000):
            writes.submit(make_end(WatchKey("kling", "poison" if number == 900 else f"t{number}")))
        await clock.advance(1)
    assert sum(map(len, book.committed)) == 999
    assert transactions <= 40


@pytest.mark.parametrize("failures", [1, 20])
async def test_closing_writes_pending_changes_first(failures: int) -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        rig.torn.failures = failures
        await rig.watch("a")
        await rig.clock.advance(0)
        rig.writes.close()
        await rig.clock.advance(300)
        assert rig.phase("a") == "succeeded"


async def test_a_large_batch_is_written_in_parts_to_a_nearly_full_disk() -> None:
    rig = Rig()
    ids = [f"t{number}" for number in range(16)]
    for task_id in ids:
        rig.script(task_id, SUCCEEDED)
    sizes: list[int] = []
    commit = rig.store.commit

    def roomy(changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        sizes.append(len(changes))
        if len(changes) > 3:
            raise StoreError("disk full")
        return commit(changes, parcels_for)

    rig.torn.commit = roomy  # type: ignore[method-assign]  # our own double, with a small disk
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(120)
        assert len(set(rig.sink.ids())) == 16
        assert max(sizes) > 3


async def test_an_operator_event_that_cannot_be_rendered_is_logged_and_stops_nothing() -> None:
    class PoisonedRig(Rig):
        def parcels_for(self, event: Event) -> Sequence[Parcel]:
            if event.topic is Topic.ACCOUNT_BLOCKED:
                raise KeyError("a template gone wrong")
            return super().parcels_for(event)

    rig = PoisonedRig()
    rig.script("a", REVOKED)
    with capture_logs() as logged:
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(1)
            rig.script("a", SUCCEEDED)
            await rig.clock.advance(120)
    assert [line["what"] for line in logged if line["event"] == "change.bug"] == ["AccountChange"]
    assert rig.phase("a") == "succeeded"


def raising(result: object) -> None:
    raise KeyError("a bug of ours after the commit")


async def test_a_callback_that_raises_neither_repeats_the_commit_nor_delays_its_deliveries() -> None:
    rig = Rig()
    for task_id in ("a", "b"):
        rig.script(task_id, SUCCEEDED)
    sizes: list[int] = []
    commit = rig.store.commit

    def counted(changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        sizes.append(len(changes))
        return commit(changes, parcels_for)

    rig.torn.commit = counted  # type: ignore[method-assign]  # our own double, counting
    with capture_logs() as logged:
        async with rig.running():
            for number in range(3):
                rig.writes.submit(AccountAskedToWait(account=f"paused{number}", until_at=rig.clock.now()), then=raising)
            await rig.watch("a", "b")
            await rig.clock.advance(1)
            assert sorted(delivery.subject for _, delivery in rig.sink.handed) == ["a", "b"]
            await rig.clock.advance(60)
    assert sum(sizes) == 3 + 2 + 2  # each pause, end and outcome once
    assert [delivery.subject for _, delivery in rig.sink.handed].count("a") == 1
    (bug,) = [line for line in logged if line["event"] == "commit.bug"]
    assert (bug["what"], bug["keys"], bug["count"]) == ("AccountAskedToWait", ["paused0", "paused1", "paused2"], 3)


async def test_a_bug_in_counting_neither_repeats_the_commit_nor_delays_its_deliveries() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    commits = 0
    commit = rig.store.commit

    def counted(changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        nonlocal commits
        commits += 1
        return commit(changes, parcels_for)

    class BrokenCounter:
        def observe(self, seconds: float) -> None:
            raise KeyError("a bug of ours")

    rig.torn.commit = counted  # type: ignore[method-assign]  # our own double, counting
    rig.metrics.commit_s = BrokenCounter()  # type: ignore[misc, assignment]
    with capture_logs() as logged:
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(1)
            assert [delivery.subject for _, delivery in rig.sink.handed] == ["a"]
    assert {line["event"] for line in logged if line["event"].endswith(".bug")} == {"observer.bug"}
    assert commits == 2  # the end and its outcome


async def test_each_callback_of_a_commit_is_called_although_one_before_it_raises() -> None:
    heard: list[str] = []

    def hears(name: str) -> Callable[[bool], None]:
        return raising if name == "poison" else lambda applied: heard.append(name)

    async with writing() as (writes, _, clock):
        for name in ("a", "poison", "b"):
            writes.submit(AccountAskedToWait(account=name, until_at=0.0), then=hears(name))
        await clock.advance(0)
        assert heard == ["a", "b"]


async def test_a_queue_that_cannot_be_woken_does_not_affect_others() -> None:
    rig = Rig(targets=("bad", "good"))
    rig.script("a", SUCCEEDED)

    def wake(keys: Iterable[tuple[str, str]]) -> None:
        for endpoint, target in keys:
            if target == "bad":
                raise KeyError("a bug of ours")
            rig.dispatcher.wake([(endpoint, target)])

    rig.writes.wake = wake
    with capture_logs() as logged:
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(1)
            assert [delivery.target for _, delivery in rig.sink.handed] == ["good"]
            assert rig.phase("a") == "succeeded"
    assert [line["keys"] for line in logged if line["event"] == "commit.bug"] == [["hook/bad"]]


async def test_a_failure_callback_that_raises_stops_nothing() -> None:
    class PoisonedRig(Rig):
        def parcels_for(self, event: Event) -> Sequence[Parcel]:
            if event.subject == "poison":
                raise KeyError("a template gone wrong")
            return super().parcels_for(event)

    rig = PoisonedRig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("poison")
        await rig.clock.advance(0.5)
        rig.writes.submit(make_end(WatchKey("kling", "poison")), then=raising, failed=raising)
        await rig.watch("a")
        await rig.clock.advance(1)
        assert [delivery.subject for _, delivery in rig.sink.handed] == ["a"]
