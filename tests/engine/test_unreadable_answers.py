"""Unreadable answers: an unknown word, a wrong address, a missing result."""

from __future__ import annotations

import pytest
import structlog

from bridge.domain.cadence import Pacing
from bridge.domain.task import Phase, Reading, ReadingKind, Snapshot
from bridge.domain.watch import Rules, Wish
from tests.engine.rig import Rig

ODD = Reading(kind=ReadingKind.AMBIGUOUS, detail='unknown status "odd"', snapshot=Snapshot(status="odd"), unread="odd")
NO_ROUTE = Reading(
    kind=ReadingKind.NO_ROUTE, detail="no such route at the provider: GET https://x/y", unread="unknown_route"
)
ALIVE = Reading(kind=ReadingKind.RUNNING, snapshot=Snapshot(status="running"))
LACKING = Reading(
    kind=ReadingKind.AMBIGUOUS, detail="no result: {}", snapshot=Snapshot(status="done"), lacks_result=True
)


async def _watch(rig: Rig, task_id: str, action: str) -> None:
    await rig.intake.add([Wish(account="kling", task_id=task_id, action=action)], source="test")


async def test_an_unknown_word_is_reported_once_and_its_answers_are_counted() -> None:
    rig = Rig(pacing=Pacing(min_interval_s=2, max_interval_s=10))
    rig.script("a", ODD)
    rig.script("b", ODD)
    with structlog.testing.capture_logs() as logs:
        async with rig.running():
            await rig.watch("a", "b")
            await rig.clock.advance(600)
        again = rig.restarted()
        async with again.running():
            await again.clock.advance(600)
    assert rig.topics() == ["unknown_status"]
    assert len([line for line in logs if line["event"] == "answer.unreadable"]) == 1
    (view,) = rig.store.counts().unread
    assert view.word == "odd"
    assert view.answers > 100
    assert {rig.phase("a"), rig.phase("b")} == {"submitted"}


async def test_an_address_that_never_answered_is_polled_on_with_one_warning() -> None:
    rig = Rig(pacing=Pacing(min_interval_s=2, max_interval_s=60), rules=Rules(give_up_after_s=7200))
    rig.script("a", NO_ROUTE)
    async with rig.running():
        await _watch(rig, "a", "wrong/action")
        await rig.clock.advance(7100)
        assert rig.topics() == ["unknown_status"]
        assert rig.phase("a") == "submitted"
        await rig.clock.advance(200)
        assert rig.phase("a") == "timed_out"


async def test_a_wrong_action_fails_its_task_once_the_account_has_answered_others() -> None:
    rig = Rig(pacing=Pacing(min_interval_s=2, max_interval_s=60))
    rig.script("bad", NO_ROUTE)
    rig.script("good", ALIVE)
    async with rig.running():
        await _watch(rig, "bad", "wrong/action")
        await _watch(rig, "good", "videos/text2video")
        await rig.clock.advance(600)
    assert rig.phase("bad") == "failed"
    assert sorted(rig.topics()) == ["task_failed", "unknown_status"]
    assert len(rig.provider.polls_of("good")) > 5  # it was not delayed


async def test_an_action_that_was_answered_once_never_fails_for_its_address() -> None:
    rig = Rig(pacing=Pacing(min_interval_s=2, max_interval_s=60))
    rig.script("first", ALIVE)
    rig.script("other", ALIVE)
    async with rig.running():
        await _watch(rig, "first", "images/generations")
        await _watch(rig, "other", "videos/text2video")
        await rig.clock.advance(60)
    again = rig.restarted()
    again.script("first", NO_ROUTE)
    async with again.running():
        await again.clock.advance(3600)
    assert rig.phase("first") == "running"


async def test_an_address_that_answered_before_is_reported_only_if_it_stays_unknown() -> None:
    rig = Rig(pacing=Pacing(min_interval_s=2, max_interval_s=60))
    rig.script("brief", ALIVE, NO_ROUTE, NO_ROUTE, ALIVE)
    async with rig.running():
        await _watch(rig, "brief", "videos/text2video")
        await rig.clock.advance(600)
        assert rig.topics() == []
        rig.script("gone", ALIVE, NO_ROUTE)
        await _watch(rig, "gone", "videos/text2video")
        await rig.clock.advance(150)
        assert rig.topics() == []
        await rig.clock.advance(300)
    assert rig.topics() == ["unknown_status"]
    assert rig.phase("gone") == "running"


VAGUE = NO_ROUTE._replace(is_vague=True)
EMPTY = Reading(kind=ReadingKind.TRANSIENT, detail="HTTP 404: an empty body", is_vague=True)


@pytest.mark.parametrize("answer", [VAGUE, EMPTY])
async def test_a_vague_404_is_about_the_task_if_its_action_was_answered(answer: Reading) -> None:
    rig = Rig(pacing=Pacing(min_interval_s=2, max_interval_s=60))
    rig.script("gone", answer)
    rig.script("good", ALIVE)
    async with rig.running():
        await _watch(rig, "good", "videos/text2video")
        await rig.clock.advance(30)
        await _watch(rig, "gone", "videos/text2video")
        await rig.clock.advance(600)
    assert rig.phase("gone") == "not_found"
    assert "task_not_found" in rig.topics()


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("answer", [VAGUE, EMPTY, NO_ROUTE])
async def test_an_unclear_404_does_not_finish_a_task_at_an_unanswered_address(answer: Reading) -> None:
    rig = Rig(pacing=Pacing(min_interval_s=2, max_interval_s=60))
    rig.script("gone", answer)
    async with rig.running():
        await _watch(rig, "gone", "videos/text2video")
        await rig.clock.advance(3600)
    assert rig.phase("gone") == "submitted"


async def test_a_web_page_is_reported_unless_the_address_has_worked_before() -> None:
    page = Reading(kind=ReadingKind.TRANSIENT, detail="HTTP 200: a web page", unread="web_page")
    rig = Rig(pacing=Pacing(min_interval_s=2, max_interval_s=60))
    rig.script("fine", ALIVE, page, ALIVE, page)
    rig.script("wrong", page)
    async with rig.running():
        await rig.watch("fine")
        await rig.clock.advance(60)
        assert rig.topics() == []
        await _watch(rig, "wrong", "wrong/action")
        await rig.clock.advance(600)
    assert rig.topics() == ["unknown_status"]


async def test_a_success_that_really_has_no_result_says_so_with_a_warning() -> None:
    for phase, topic in ((Phase.SUCCEEDED, "task_succeeded"), (Phase.FAILED, "task_failed")):
        rig = Rig(rules=Rules(no_result=phase))
        rig.script("a", LACKING)
        with structlog.testing.capture_logs() as logs:
            async with rig.running():
                await rig.watch("a")
                await rig.clock.advance(600)
        assert rig.topics() == [topic]
        assert [line["reason"] for line in logs if line["event"] == "watch.result_missing"] == ["no result: {}"]
        snapshot = rig.store.find("a", None)[0].snapshot
        assert snapshot is not None
        assert snapshot.result_missing
