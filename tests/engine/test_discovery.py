"""New tasks of an account are found in the provider's list and watched."""

from __future__ import annotations

from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from bridge.domain.account_state import AccountState
from bridge.domain.ids import WatchKey
from bridge.domain.pause import Pause, PauseOf
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.slots import SLOTS, Share, account_scope
from bridge.domain.task import Reading, ReadingKind
from bridge.engine.discovery import MOST_PAGES
from tests.engine.listing import MINUTE, ListRig
from tests.engine.rig import BROKEN, REVOKED, RUNNING, SUCCEEDED

SOURCE = "discover:kling"


async def test_only_tasks_created_after_the_switch_on_are_watched() -> None:
    rig = ListRig()
    rig.lists.create("old", ago_s=3600)
    rig.lists.create("just before", ago_s=1)
    async with rig.discovering() as discovery:
        await rig.clock.advance(1)
        rig.lists.create("a", "b")
        rig.script("a", SUCCEEDED)
        await rig.clock.advance(MINUTE)
        assert rig.watched == {"a", "b"}
        assert rig.topics() == ["task_succeeded"]
        assert (discovery.tally.taken, discovery.tally.is_failing) == (2, False)
        details = rig.store.details(WatchKey("kling", "a"))
        assert details.sources == (SOURCE,)
        assert details.watch.state.action == "videos/text2video"


async def test_the_list_is_requested_once_per_interval_despite_reloads() -> None:
    rig = ListRig()
    async with rig.running():
        for _ in range(10):  # as a reload does
            async with rig.source():
                await rig.clock.advance(30)
        assert [round(later - earlier) for earlier, later in pairwise(rig.lists.looks)] == [60] * 5


async def test_tasks_created_during_a_day_of_downtime_are_found_page_by_page() -> None:
    rig = ListRig()
    rig.lists.create("old", ago_s=600)
    async with rig.discovering():
        await rig.clock.advance(MINUTE)
    rig.clock.stand_still(86_400)
    new = [f"new-{number}" for number in range(55)]
    for task_id in new:
        rig.lists.create(task_id, ago_s=80_000)
    rig = ListRig(earlier=rig)
    with capture_logs() as logged:
        async with rig.discovering():
            await rig.clock.advance(1)
            assert rig.watched == {*new}
            assert rig.lists.requests[-1][2] == 6
    assert "discover.started" not in {entry["event"] for entry in logged}


async def test_after_an_empty_list_later_tasks_are_new_despite_slow_clocks() -> None:
    rig = ListRig()
    rig.lists.skew_ms = -3_600_000
    async with rig.discovering():
        await rig.clock.advance(1)
        rig.lists.create("a")
        await rig.clock.advance(MINUTE)
        assert rig.watched == {"a"}


@pytest.mark.parametrize("skew_s", [-7200, 7200])
async def test_the_clocks_may_differ(skew_s: int) -> None:
    rig = ListRig()
    rig.lists.skew_ms = skew_s * 1000
    rig.lists.create("old", ago_s=5)
    async with rig.discovering():
        for number in range(5):
            await rig.clock.advance(MINUTE)
            rig.lists.create(f"new-{number}")
        await rig.clock.advance(MINUTE)
        assert rig.watched == {f"new-{number}" for number in range(5)}


async def test_an_initially_empty_list_with_a_start_time_leaves_out_earlier_tasks() -> None:
    rig = ListRig()
    rig.lists.is_cut = True
    rig.lists.create("old", ago_s=7200)
    async with rig.discovering():
        await rig.clock.advance(1)
        rig.lists.create("a")
        await rig.clock.advance(MINUTE)
        assert rig.watched == {"a"}


async def test_a_list_that_starts_at_a_time_may_have_any_order() -> None:
    rig = ListRig()
    rig.lists.is_cut = rig.lists.is_oldest_first = True
    for number in range(30):
        rig.lists.create(f"old-{number}", ago_s=600 * (30 - number))
    async with rig.discovering():
        await rig.clock.advance(1)
        new = [f"new-{number}" for number in range(25)]
        rig.lists.create(*new)
        await rig.clock.advance(MINUTE)
        assert rig.watched == {*new}


async def test_the_first_reading_goes_no_further_back_than_it_must() -> None:
    rig = ListRig()
    for number in range(100):
        rig.lists.create(f"old-{number}", ago_s=6000 - 60 * number)
    async with rig.discovering():
        await rig.clock.advance(1)
        assert len(rig.lists.requests) == 1


async def test_withdrawn_and_finished_tasks_are_unchanged_and_missing_ones_stay_watched() -> None:
    rig = ListRig()
    rig.script("finished", SUCCEEDED)
    async with rig.discovering():
        await rig.clock.advance(1)
        await rig.watch("withdrawn", "finished")
        await rig.clock.advance(1)
        rig.store.withdraw([WatchKey("kling", "withdrawn")], now=rig.clock.now())
        rig.lists.create("withdrawn", "finished", "vanishes")
        await rig.clock.advance(MINUTE)
        rig.lists.listed.clear()
        await rig.clock.advance(3 * MINUTE)
        assert [rig.phase(each) for each in ("withdrawn", "finished", "vanishes")] == [
            "withdrawn",
            "succeeded",
            "running",
        ]
        assert rig.topics() == ["task_succeeded"]


async def test_a_task_that_is_withdrawn_before_the_mark_moves_stays_withdrawn() -> None:
    rig = ListRig()
    rig.lists.page_size = 1
    async with rig.discovering():
        await rig.clock.advance(1)
        rig.lists.create("a", "b")
        rig.lists.broken_page = 2
        await rig.clock.advance(MINUTE)
        rig.store.withdraw([WatchKey("kling", "b")], now=rig.clock.now())
        rig.lists.broken_page = 0
        await rig.clock.advance(3 * MINUTE)
        assert rig.watched == {"a", "b"}
        assert rig.phase("b") == "withdrawn"


async def test_a_failing_list_is_requested_less_often_reported_once_and_misses_nothing() -> None:
    rig = ListRig()
    rig.clock.luck = 0.999
    async with rig.discovering() as discovery:
        await rig.clock.advance(1)
        rig.lists.create("a")
        rig.lists.refusals = [BROKEN] * 6
        with capture_logs() as logged:
            await rig.clock.advance(3600)
        gaps = [later - earlier for earlier, later in pairwise(rig.lists.looks)]
        assert all(gap >= MINUTE for gap in gaps)
        assert max(gaps) > 500
        events = [entry["event"] for entry in logged if entry["event"].startswith("discover.")]
        assert events == ["discover.failed", "discover.recovered"]
        assert rig.watched == {"a"}
        assert discovery.tally.error == "HTTP 500"
        assert not discovery.tally.is_failing


async def test_a_failed_second_page_keeps_the_first_and_both_are_read_again() -> None:
    rig = ListRig()
    rig.lists.page_size = 1
    async with rig.discovering():
        await rig.clock.advance(1)
        rig.lists.create("a", "b")
        rig.lists.broken_page = 2
        await rig.clock.advance(MINUTE)
        assert rig.watched == {"b"}
        rig.lists.broken_page = 0
        await rig.clock.advance(3 * MINUTE)
        assert rig.watched == {"a", "b"}


async def test_a_429_pauses_polls_and_the_list_of_an_account() -> None:
    rig = ListRig()
    async with rig.discovering():
        await rig.clock.advance(1)
        await rig.watch("a")
        await rig.clock.advance(MINUTE - 1.5)
        rig.lists.refusals = [Reading(kind=ReadingKind.RATE_LIMITED, detail="HTTP 429", retry_after_s=200.0)]
        await rig.clock.advance(2)
        refused_at = rig.lists.looks[-1]
        await rig.clock.advance(MINUTE * 5)
        after = [at for at in (*rig.lists.looks, *rig.provider.polls_of("a")) if refused_at < at]
        assert min(after) >= refused_at + 200
        assert rig.lists.looks[-1] > refused_at
        assert rig.metrics.account("kling").rate_limited == 1
        assert sum(rig.metrics.account("kling").polls.values()) == len(rig.provider.asked)


async def test_a_blocked_account_gets_no_list_until_its_polls_work_again() -> None:
    rig = ListRig()
    rig.script("a", REVOKED)
    async with rig.discovering():
        await rig.watch("a")
        await rig.clock.advance(1)
        looks = len(rig.lists.looks)
        await rig.clock.advance(1800)
        assert len(rig.lists.looks) == looks
        rig.script("a", RUNNING)
        await rig.clock.advance(700)
        assert len(rig.lists.looks) > looks


async def test_a_list_that_the_key_may_not_read_blocks_no_polls() -> None:
    rig = ListRig()
    rig.lists.refusals = [REVOKED] * 20
    async with rig.discovering():
        await rig.watch("a")
        await rig.clock.advance(300)
        assert len(rig.provider.polls_of("a")) > 10
        assert rig.store.accounts().get("kling", AccountState(account="kling")).blocked_at is None


async def test_a_forbidden_list_ends_an_outage_and_blocks_nothing() -> None:
    rig = ListRig()
    ids = [f"task-{number}" for number in range(6)]
    for task_id in ids:
        rig.script(task_id, BROKEN)
    async with rig.running():
        await rig.watch(*ids)
        await rig.clock.advance(10)
        rig.store.withdraw([WatchKey("kling", task_id) for task_id in ids], now=rig.clock.now())
        await rig.fetch()
        rig.lists.refusals = [REVOKED] * 20
        async with rig.source():
            await rig.clock.advance(300)
        assert len(rig.lists.looks) >= 2
        assert "kling" not in rig.store.accounts() or rig.store.accounts()["kling"].blocked_at is None


async def test_a_blocked_account_without_tasks_is_probed_by_its_list() -> None:
    rig = ListRig()
    async with rig.running():
        rig.script("a", REVOKED)
        await rig.watch("a")
        await rig.clock.advance(1)
        rig.store.withdraw([WatchKey("kling", "a")], now=rig.clock.now())
        await rig.fetch()
        async with rig.source():
            rig.lists.refusals = [REVOKED]
            await rig.clock.advance(65)
            assert rig.store.accounts()["kling"].blocked_at is not None
            await rig.clock.advance(1300)
            assert rig.store.accounts()["kling"].blocked_at is None


async def test_a_paused_account_gets_no_list() -> None:
    rig = ListRig()
    async with rig.discovering():
        await rig.clock.advance(1)
        pause = Pause(of=PauseOf.ACCOUNT, name="kling", since_at=rig.clock.now(), until_at=None)
        rig.poller.update({"kling": AccountState(account="kling", pause=pause)})
        await rig.clock.advance(600)
        assert len(rig.lists.looks) == 1
        rig.poller.update({"kling": AccountState(account="kling", pause=None)})
        await rig.clock.advance(MINUTE)
        assert len(rig.lists.looks) >= 2


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("limits", [RateLimits(rate=1.0, burst=1, concurrency=1), RateLimits(rate=5.0, concurrency=2)])
async def test_a_list_request_gets_its_turn_and_counts_in_the_limits(limits: RateLimits) -> None:
    rig = ListRig(limits=limits)
    rig.lists._answer_s = 0.4
    async with rig.discovering(every_s=10):
        await rig.watch(*[f"task-{number}" for number in range(500)])
        await rig.clock.advance(100)
        assert len(rig.lists.looks) >= 8
        assert rig.provider.most_in_flight <= limits.concurrency
        sent = len(rig.provider.asked) + len(rig.lists.requests)
        assert sent <= limits.burst + 100 * limits.rate + 1
        assert len(rig.provider.asked) >= 40


async def test_one_of_several_daemons_requests_the_list_and_another_takes_over() -> None:
    rig = ListRig()
    scope = account_scope("kling")
    async with rig.running():
        rig.poller.set_shares(frozenset(Share(scope, slot) for slot in range(1, SLOTS)), daemons=2)
        async with rig.source() as discovery:
            await rig.clock.advance(300)
            assert rig.lists.looks == []
            assert discovery.tally.note == "another daemon requests this list"
            assert discovery.is_idle()
            rig.poller.set_shares(frozenset(Share(scope, slot) for slot in range(SLOTS)), daemons=1)
            await rig.clock.advance(10)
            assert len(rig.lists.looks) == 1
            assert discovery.tally.note is None


async def test_a_failing_list_of_one_action_does_not_delay_others() -> None:
    rig = ListRig()
    rig.lists.actions = ("videos/text2video", "images/generations")
    rig.lists.failing = {"images/generations"}
    with capture_logs() as logged:
        async with rig.discovering() as discovery:
            await rig.clock.advance(1)
            rig.lists.create("a")
            await rig.clock.advance(600)
            assert rig.watched == {"a"}
            assert not discovery.tally.is_failing
            assert discovery.tally.error == "images/generations: HTTP 404: no such route"
    failed = [entry for entry in logged if entry["event"] == "discover.failed"]
    assert [entry["action"] for entry in failed] == ["images/generations"]
    counts = [sum(action == each for _, action, _ in rig.lists.requests) for each in rig.lists.actions]
    assert counts[0] == 11
    assert counts[1] < 8


async def test_a_list_longer_than_the_most_pages_is_cut_with_a_warning() -> None:
    rig = ListRig()
    rig.lists.page_size = 1
    async with rig.discovering():
        await rig.clock.advance(1)
        rig.lists.create(*(f"task-{number}" for number in range(MOST_PAGES + 5)))
        with capture_logs() as logged:
            await rig.clock.advance(2 * MINUTE)
        assert len(rig.watched) == MOST_PAGES
        cut = [entry for entry in logged if entry["event"] == "discover.cut"]
        assert [(entry["pages"], entry["tasks"]) for entry in cut] == [(MOST_PAGES, MOST_PAGES)]


async def test_a_server_that_repeats_its_page_is_read_once() -> None:
    rig = ListRig()
    async with rig.discovering():
        await rig.clock.advance(1)
        rig.lists.create("a")
        rig.lists.repeats = True
        await rig.clock.advance(MINUTE)
        assert rig.watched == {"a"}
        assert [number for _, _, number in rig.lists.requests][1:] == [1, 2]


async def test_discovery_is_idle_once_the_list_was_requested_or_may_not_be() -> None:
    rig = ListRig()
    rig.lists._answer_s = 5.0
    async with rig.discovering() as discovery:
        assert not discovery.is_idle()
        await rig.clock.advance(4)
        assert not discovery.is_idle()
        await rig.clock.advance(2)
        assert discovery.is_idle()
