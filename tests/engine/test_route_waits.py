"""A provider's Retry-After waits only the route or account that it was sent for."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from bridge.domain.cadence import Pacing
from bridge.domain.task import Reading, ReadingKind
from bridge.domain.watch import Wish
from tests.engine.rig import RUNNING, Rig
from tests.fakes import ScriptedProvider

EVEN = Pacing(min_interval_s=2.0, max_interval_s=2.0, learned=False)


def busy(seconds: float) -> Reading:
    return Reading(kind=ReadingKind.TRANSIENT, detail="HTTP 503", server_trouble=True, retry_after_s=seconds)


def wishes(*ids: str, action: str = "videos/text2video") -> list[Wish]:
    return [Wish(account="kling", task_id=task_id, action=action) for task_id in ids]


@pytest.mark.usefixtures("unmeasured")
async def test_a_503_with_retry_after_does_not_hold_back_another_account() -> None:
    rig = Rig(pacing=EVEN)
    other = ScriptedProvider(rig.clock)
    other.default = busy(3600)
    with capture_logs() as logged:
        async with rig.running(second=other):
            await rig.watch("a", "b")
            await rig.watch("x", "y", "z", account="second")
            await rig.clock.advance(90)
            assert len(rig.provider.polls_of("a")) >= 40
            named_at = other.asked[0][0]
            assert [at for at, _ in other.asked if at > named_at] == []
            await rig.clock.advance(3500)
            assert [at for at, _ in other.asked if at > named_at] == []
            await rig.clock.advance(60)
            assert [at for at, _ in other.asked if at > named_at]
    [paused, *_] = [line for line in logged if line["event"] == "account.paused"]
    assert (paused["account"], paused["seconds"], paused["reason"]) == ("second", 3600.0, "HTTP 503")
    state = rig.store.accounts()["second"]
    [wait] = state.route_waits
    assert (wait.route, wait.reason) == ("", "HTTP 503")  # with only one address, the route is the whole account
    assert state.wait_until_at is None


async def test_a_retry_after_holds_only_its_own_route() -> None:
    rig = Rig(pacing=EVEN)
    rig.provider.has_routes = True
    rig.provider.scripts = {task_id: [busy(600), RUNNING] for task_id in ("v1", "v2", "v3")}
    async with rig.running():
        await rig.watch("v1", "v2", "v3")
        await rig.clock.advance(0.5)
        await rig.intake.add(wishes("i1", "i2", action="images/generations"), source="test")
        await rig.clock.advance(590)
        rig.provider.scripts.clear()
        asked = [task_id for at, task_id in rig.provider.asked if task_id[0] == "v"]
        assert sorted(asked) == sorted(set(asked))
        assert len(rig.provider.polls_of("i1")) > 200
        [wait] = rig.store.accounts()["kling"].route_waits
        assert (wait.route, wait.reason) == ("videos/text2video", "HTTP 503")
        await rig.clock.advance(20)
        assert {"v1", "v2", "v3"} <= {task_id for at, task_id in rig.provider.asked if at >= wait.until_at}
        later = sorted(at for at, task_id in rig.provider.asked if task_id[0] == "v" and at >= wait.until_at)
        assert later[1] > later[0]  # no burst


async def test_a_held_route_stays_held_after_a_restart_and_a_requested_poll() -> None:
    rig = Rig(pacing=EVEN)
    rig.provider.has_routes = True
    rig.script("v", busy(600), RUNNING)
    async with rig.running():
        await rig.watch("v")
        await rig.clock.advance(10)
    second = rig.restarted()
    async with second.running():
        await second.watch("w")
        second.store.poll_now([wish.key for wish in wishes("v")], now=second.clock.now())
        await second.fetch()
        await second.clock.advance(500)
        assert len(rig.provider.asked) == 1
        await second.clock.advance(100)
        assert {task_id for _, task_id in rig.provider.asked} == {"v", "w"}


async def test_a_retry_after_for_a_batch_holds_its_route() -> None:
    rig = Rig(pacing=EVEN)
    rig.provider.most_together = 10
    rig.provider.has_routes = True
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(30)])
        await rig.clock.advance(10)
        rig.provider.batch_failure = busy(120)
        await rig.clock.advance(10)
        rig.provider.batch_failure = None
        named_at = rig.provider.batches[-1][0]
        await rig.clock.advance(105)
        assert [at for at, _ in rig.provider.asked if named_at < at < named_at + 120] == []
        assert [at for at, _ in rig.provider.batches if named_at < at < named_at + 120] == []
        rig.provider.ends = dict.fromkeys([f"t{number}" for number in range(30)], 0.0)
        await rig.clock.advance(120)
        assert {rig.phase(f"t{number}") for number in range(30)} == {"succeeded"}
