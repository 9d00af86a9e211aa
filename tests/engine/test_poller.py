from __future__ import annotations

import gc
from dataclasses import replace

import pytest

from bridge.domain.account_state import FAILING
from bridge.domain.cadence import Pacing
from bridge.domain.change import AccountAskedToWait
from bridge.domain.event import Topic
from bridge.domain.ids import WatchKey
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.task import Reading, ReadingKind, Snapshot
from bridge.domain.watch import Rules, Wish
from tests.engine.rig import BROKEN, NOT_FOUND, REVOKED, RUNNING, SUCCEEDED, Rig
from tests.fakes import START, ScriptedProvider

pytestmark = pytest.mark.usefixtures("unmeasured")


async def test_a_task_finished_before_it_was_added_is_notified_at_once() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(0)
        assert rig.topics() == ["task_succeeded"]
        assert rig.phase("a") == "succeeded"


async def test_a_finished_task_is_not_polled_again() -> None:
    rig = Rig()
    rig.script("a", RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(3600)
        assert len(rig.provider.polls_of("a")) == 2
        assert rig.topics() == ["task_succeeded"]


async def test_polls_begin_two_seconds_apart_and_grow_to_the_cap() -> None:
    rig = Rig(pacing=Pacing(min_interval_s=2, max_interval_s=60, learned=False))
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(3600)
        gaps = rig.gaps("a")
        assert gaps[0] == 2
        assert gaps == sorted(gaps)
        assert gaps[-1] == 60


async def test_a_watch_withdrawn_during_its_poll_is_not_notified() -> None:
    rig = Rig(answer_s=5)
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1)
        rig.store.withdraw([rig.store.find("a", None)[0].state.key], now=rig.clock.now())
        await rig.clock.advance(60)
        assert rig.topics() == []
        assert rig.phase("a") == "withdrawn"


async def test_watching_a_finished_task_again_creates_an_event_with_another_id() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1)
        again = [Wish(account="kling", task_id="a", action="videos/text2video")]
        rig.store.add(again, source="cli", now=rig.clock.now(), again=True)
        await rig.fetch()
        await rig.clock.advance(1)
        assert rig.topics() == ["task_succeeded", "task_succeeded"]
        assert len(set(rig.sink.ids())) == 2


async def test_nothing_is_sent_for_an_account_before_the_time_it_named() -> None:
    rig = Rig()
    other = ScriptedProvider(rig.clock)
    rig.script("a", Reading(kind=ReadingKind.RATE_LIMITED, retry_after_s=120.0), RUNNING)
    async with rig.running(second=other):
        await rig.watch("a", "b", "c")
        await rig.watch("x", account="second")
        await rig.clock.advance(119)
        limited_at = rig.provider.polls_of("a")[0]
        late = [at for at, _ in rig.provider.asked if at > limited_at]
        assert late == []
        assert len(other.polls_of("x")) > 5
        await rig.clock.advance(10)
        assert {task_id for at, task_id in rig.provider.asked if at >= limited_at + 120} == {"a", "b", "c"}


async def test_a_pause_survives_a_restart() -> None:
    rig = Rig()
    rig.script("a", Reading(kind=ReadingKind.RATE_LIMITED, retry_after_s=120.0), RUNNING)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(10)
    polled = len(rig.provider.asked)
    second = rig.restarted()
    async with second.running():
        await second.clock.advance(100)
        assert len(rig.provider.asked) == polled
        await second.clock.advance(20)
        assert len(rig.provider.asked) > polled


async def test_a_pause_stored_by_a_wrong_clock_lasts_at_most_an_hour() -> None:
    rig = Rig()
    rig.store.commit([AccountAskedToWait(account="kling", until_at=rig.clock.now() + 10 * 86_400)], rig.parcels_for)
    rig.script("a", RUNNING)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(3590)
        assert rig.provider.asked == []
        rig.poller.update(rig.store.accounts())  # as after each `genbridge add`
        await rig.clock.advance(20)
        assert rig.provider.asked != []


async def test_a_revoked_key_blocks_the_account_with_one_notice_and_slow_probes() -> None:
    rig = Rig(rules=Rules(give_up_after_s=600))
    rig.script("a", REVOKED)
    rig.script("b", REVOKED)
    async with rig.running():
        await rig.watch("a", "b")
        await rig.clock.advance(3600)
        assert rig.topics() == ["account_blocked"]
        assert len(rig.provider.asked) < 15
        assert {rig.phase("a"), rig.phase("b")} == {"submitted"}
        rig.script("a", SUCCEEDED)
        rig.script("b", RUNNING, RUNNING, SUCCEEDED)
        await rig.clock.advance(620)
        assert sorted(rig.topics()) == ["account_blocked", "account_restored", "task_succeeded", "task_succeeded"]


async def test_a_task_is_not_found_only_after_repeated_answers_over_time() -> None:
    rig = Rig(rules=Rules(not_found_answers=4, not_found_over_s=180))
    rig.script("a", NOT_FOUND)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(179)
        assert rig.topics() == []
        await rig.clock.advance(2)
        assert rig.topics() == ["task_not_found"]
        assert len(rig.provider.polls_of("a")) < 12


async def test_a_task_that_never_finishes_times_out_and_is_notified() -> None:
    rig = Rig(rules=Rules(give_up_after_s=600))
    async with rig.running():
        await rig.watch("a")
        await rig.watch("b", give_up_after_s=60.0)
        await rig.clock.advance(120)
        assert rig.topics() == ["task_timed_out"]
        await rig.clock.advance(700)
        assert rig.topics() == ["task_timed_out", "task_timed_out"]


async def test_blocked_time_does_not_count_as_age() -> None:
    rig = Rig(rules=Rules(give_up_after_s=300))
    rig.script("a", *[REVOKED] * 5, RUNNING)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(900)
        assert "task_timed_out" not in rig.topics()
        await rig.clock.advance(1200)
        assert rig.topics()[-1] == "task_timed_out"


async def test_an_outage_of_the_provider_brings_few_probes_and_a_quick_recovery() -> None:
    rig = Rig()
    ids = [f"t{number}" for number in range(50)]
    for task_id in ids:
        rig.script(task_id, BROKEN)
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(600)
        assert len(rig.provider.asked) < 100
        [wait] = rig.store.accounts()["kling"].route_waits
        assert (wait.route, wait.reason) == (FAILING, BROKEN.detail)
        assert wait.until_at > rig.clock.now(), "it is renewed while the provider fails"
        before = len(rig.provider.asked)
        for task_id in ids:
            rig.script(task_id, SUCCEEDED)
        await rig.clock.advance(60)
        assert rig.topics().count("task_succeeded") == 50
        assert len(rig.provider.asked) - before == 50
        [wait] = rig.store.accounts()["kling"].route_waits
        assert wait.until_at == 0


async def test_overdue_watches_time_out_during_an_outage_although_only_probes_are_sent() -> None:
    rig = Rig(rules=Rules(give_up_after_s=300))
    ids = [f"t{number}" for number in range(50)]
    for task_id in ids:
        rig.script(task_id, BROKEN)
    rig.provider.default = BROKEN
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(1200)
        assert rig.topics() == ["task_timed_out"] * 50
        assert len(rig.provider.asked) < 100


async def test_one_failing_task_does_not_slow_others_and_is_not_forgotten() -> None:
    rig = Rig(pacing=Pacing(learned=False))
    rig.script("sick", *[BROKEN] * 12, SUCCEEDED)
    async with rig.running():
        await rig.watch("sick", "well")
        await rig.clock.advance(300)
        assert rig.gaps("well")[:5] == [2, 2, 2, 2, 2]
        await rig.clock.advance(6000)
        assert rig.phase("sick") == "succeeded"


async def test_rate_burst_and_concurrency_are_kept() -> None:
    rig = Rig(limits=RateLimits(rate=5, burst=10, concurrency=3), answer_s=0.1)
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(100)])
        await rig.clock.advance(60)
        assert rig.provider.most_in_flight <= 3
        for start in range(0, 60, 5):
            within = [at for at, _ in rig.provider.asked if START + start <= at < START + start + 5]
            assert len(within) <= 10 + 5 * 5


async def test_a_requested_poll_is_made_at_once() -> None:
    rig = Rig(pacing=Pacing(learned=False))
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1000)
        polled = len(rig.provider.asked)
        await rig.clock.advance(1)
        rig.store.poll_now([rig.store.find("a", None)[0].state.key], now=rig.clock.now())
        await rig.fetch()
        await rig.clock.advance(0)
        assert len(rig.provider.asked) == polled + 1


@pytest.mark.parametrize("earlier_polls", [0, 1])
async def test_a_poll_requested_during_a_poll_is_made_even_if_noticed_late(
    earlier_polls: int,
) -> None:
    rig = Rig(answer_s=0.5, pacing=Pacing(min_interval_s=60, max_interval_s=60, learned=False))
    rig.script("a", *[RUNNING] * (earlier_polls + 1), SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(earlier_polls * 60.6 + 0.2)
        assert len(rig.provider.asked) == earlier_polls + 1, "a poll is in flight"
        rig.store.poll_now([WatchKey("kling", "a")], now=rig.clock.now())  # a command or another daemon
        await rig.clock.advance(2)
        assert rig.store.find("a", None)[0].state.memory.polls == earlier_polls + 1, "its answer is stored"
        await rig.fetch()
        await rig.clock.advance(1)
        assert rig.topics() == ["task_succeeded"]
        assert rig.store.find("a", None)[0].state.next_poll_at is None


async def test_a_store_that_cannot_be_written_delays_the_event_and_loses_nothing() -> None:
    rig = Rig()
    rig.script("a", SUCCEEDED)
    async with rig.running():
        rig.torn.failures = 5
        await rig.watch("a")
        await rig.clock.advance(1)
        assert rig.topics() == []
        await rig.clock.advance(30)
        assert rig.topics() == ["task_succeeded"]
        assert len(rig.provider.asked) == 1


async def test_polls_pause_while_nothing_can_be_stored_and_resume_by_themselves() -> None:
    rig = Rig()
    rig.script("end", RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("end", "other")
        await rig.clock.advance(1)
        rig.torn.failures = 8
        await rig.clock.advance(3)
        polled = len(rig.provider.asked)
        await rig.clock.advance(20)
        assert len(rig.provider.asked) == polled
        await rig.clock.advance(60)
        assert len(rig.provider.polls_of("other")) > polled
        assert rig.topics() == ["task_succeeded"]


async def test_running_and_progress_events_are_sent_only_if_a_route_names_them() -> None:
    seen = [
        Reading(kind=ReadingKind.RUNNING, snapshot=Snapshot(status="p", progress=float(done))) for done in range(1, 90)
    ]
    for wanted, expected in ((frozenset[Topic](), 0), (frozenset({Topic.TASK_RUNNING, Topic.TASK_PROGRESS}), 2)):
        rig = Rig(requested_topics=wanted)
        rig.script("a", *seen)
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(120)
            assert len(set(rig.topics())) == expected
            assert len(rig.sink.handed) <= 5
            assert rig.phase("a") == "running"


async def test_a_wall_clock_set_by_a_year_does_not_change_the_polls() -> None:
    for jump in (-3600.0, 365 * 86_400.0):
        rig = Rig()
        async with rig.running():
            await rig.watch("a")
            await rig.clock.advance(60)
            polled = len(rig.provider.asked)
            rig.clock.wall_offset = jump
            await rig.clock.advance(60)
            assert 3 <= len(rig.provider.asked) - polled <= 12
            assert rig.topics() == []


async def test_a_bug_with_one_watch_does_not_stop_others() -> None:
    class Poisonous(ScriptedProvider):
        async def poll(self, task_id: str, action: str | None) -> Reading:
            reading = await super().poll(task_id, action)
            if task_id == "poison":
                raise KeyError("a bug of ours")
            return reading

    rig = Rig()
    rig.provider = Poisonous(rig.clock)
    rig.script("a", RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("poison", "a")
        await rig.clock.advance(130)
        assert rig.topics() == ["task_succeeded"]
        assert len(rig.provider.polls_of("poison")) == 3


async def test_new_limits_apply_from_the_moment_they_are_set() -> None:
    rig = Rig()
    async with rig.running():
        await rig.watch(*[f"t{number}" for number in range(40)])
        await rig.clock.advance(10)
        rig.limits = replace(rig.limits, rate=0.5, burst=1)
        await rig.configure()
        before = len(rig.provider.asked)
        await rig.clock.advance(60)
        assert len(rig.provider.asked) - before <= 20 + 31


async def test_a_new_key_is_probed_at_once_although_no_watch_is_due() -> None:
    rig = Rig()
    rig.script("a", REVOKED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1000)
        polled = len(rig.provider.asked)
        renewed = ScriptedProvider(rig.clock)
        renewed.scripts["a"] = [SUCCEEDED]
        rig.provider = renewed
        await rig.configure()
        await rig.clock.advance(0)
        assert polled < 8
        assert sorted(rig.topics()) == ["account_blocked", "account_restored", "task_succeeded"]


async def test_while_the_clock_is_set_ahead_a_new_watch_ages_correctly() -> None:
    rig = Rig(rules=Rules(give_up_after_s=3600.0))
    rig.clock.wall_offset = 365 * 86_400.0
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(4000)
        assert rig.phase("a") == "timed_out"


async def test_only_new_settings_collect_the_garbage_of_the_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    unfrozen: list[int] = []
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 1)
    monkeypatch.setattr(gc, "unfreeze", lambda: unfrozen.append(1))
    rig = Rig()
    async with rig.running():
        await rig.poller.load()  # as after each change of shares
        at_start = len(unfrozen)
        await rig.poller.load()
        await rig.poller.load()
        assert len(unfrozen) == at_start == 1
        await rig.configure()
        await rig.poller.load()
        assert len(unfrozen) == 2


async def test_an_empty_store_is_read_again_without_a_collection_of_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    collections: list[int] = []
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 1)
    monkeypatch.setattr(gc, "collect", lambda *_: collections.append(1))
    rig = Rig()
    async with rig.running():
        await rig.fetch()
        at_start = len(collections)
        await rig.fetch()
        await rig.watch("a")
        assert len(collections) == at_start == 1
