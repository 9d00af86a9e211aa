from __future__ import annotations

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from bridge.domain.change import Change
from bridge.domain.event import Event, Parcel, Topic
from bridge.errors import StoreError
from bridge.ports import Tell
from tests.engine.rig import REVOKED, SUCCEEDED, Rig


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


async def test_a_change_that_cannot_be_told_fails_alone() -> None:
    class PoisonedRig(Rig):
        def tell(self, event: Event) -> Sequence[Parcel]:
            if event.subject == "poison":
                raise KeyError("a template gone wrong")
            return super().tell(event)

    rig = PoisonedRig()
    for task_id in ("a", "poison", "b"):
        rig.script(task_id, SUCCEEDED)
    async with rig.running():
        await rig.watch("a", "poison", "b")
        await rig.clock.advance(10)
        assert sorted(delivery.subject for _, delivery in rig.sink.handed) == ["a", "b"]


@pytest.mark.parametrize("failures", [1, 20])
async def test_closing_writes_what_is_pending_first(failures: int) -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        rig.torn.failures = failures
        await rig.watch("a")
        await rig.clock.advance(0)
        rig.ledger.close()
        await rig.clock.advance(300)
        assert rig.phase("a") == "succeeded"


async def test_a_batch_too_large_for_a_nearly_full_disk_is_written_in_parts() -> None:
    rig = Rig()
    ids = [f"t{number}" for number in range(16)]
    for task_id in ids:
        rig.script(task_id, SUCCEEDED)
    sizes: list[int] = []
    commit = rig.store.commit

    def roomy(changes: Sequence[Change], tell: Tell) -> list[bool]:
        sizes.append(len(changes))
        if len(changes) > 3:
            raise StoreError("disk full")
        return commit(changes, tell)

    rig.torn.commit = roomy  # type: ignore[method-assign]  # our own double, with a small disk
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(120)
        assert len(set(rig.sink.ids())) == 16
        assert max(sizes) > 3


async def test_a_notice_that_cannot_be_told_is_logged_and_stops_nothing() -> None:
    class PoisonedRig(Rig):
        def tell(self, event: Event) -> Sequence[Parcel]:
            if event.topic is Topic.ACCOUNT_BLOCKED:
                raise KeyError("a template gone wrong")
            return super().tell(event)

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
