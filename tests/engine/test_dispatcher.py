from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome, Refused
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.filters import EVERY_DELIVERY, DeliveryFilter
from bridge.domain.ids import ARCHIVE
from bridge.domain.task import Reading, ReadingKind, Snapshot
from bridge.engine.plans import EndpointPlan
from bridge.ports import MOST_BYTES
from bridge.store import Store
from tests.engine.rig import REVOKED, RUNNING, SUCCEEDED, Rig

pytestmark = pytest.mark.usefixtures("unmeasured")


async def ended(rig: Rig, *ids: str) -> None:
    """Watch tasks that have already finished."""
    for task_id in ids:
        rig.script(task_id, SUCCEEDED)
    await rig.watch(*ids)
    await rig.clock.advance(0)


async def test_retries_follow_the_plan_with_the_same_id_and_bytes_until_accepted() -> None:
    rig = Rig(retries=(5, 300, 1800))
    rig.sink.script = [Deferred(reason="503"), Deferred(reason="503"), Accepted(detail="200")]
    async with rig.running():
        await ended(rig, "a")
        await rig.clock.advance(4000)
        times = [at - rig.sink.handed[0][0] for at, _ in rig.sink.handed]
        assert times == [0, 5, 305]
        assert len({delivery.body for _, delivery in rig.sink.handed}) == 1
        assert len(set(rig.sink.ids())) == 1
        assert rig.store.list_deliveries(DeliveryFilter(states=(DeliveryState.ACCEPTED,)))[0].attempts == 3


async def test_after_the_last_retry_a_delivery_is_dead_kept_and_redeliverable() -> None:
    rig = Rig(retries=(5, 10))
    rig.sink.script = [Deferred(reason="500")] * 3
    async with rig.running():
        await ended(rig, "a")
        await rig.clock.advance(10_000)
        assert len(rig.sink.handed) == 3
        [dead] = rig.store.list_deliveries(DeliveryFilter(states=(DeliveryState.DEAD,)))
        count = rig.store.redeliver(DeliveryFilter(event_ids=(dead.event_id,)))
        assert count == 1
        await rig.dispatcher.refresh()
        await rig.clock.advance(0)
        assert rig.sink.ids() == [dead.event_id] * 4
        assert rig.store.list_deliveries(DeliveryFilter(states=(DeliveryState.DEAD,))) == []


async def test_a_retry_after_replaces_an_earlier_step_up_to_the_longest() -> None:
    rig = Rig(retries=(5, 300))
    rig.sink.script = [Deferred(reason="429", retry_after_s=60), Deferred(reason="429", retry_after_s=9e9)]
    async with rig.running():
        await ended(rig, "a")
        await rig.clock.advance(1000)
        times = [at - rig.sink.handed[0][0] for at, _ in rig.sink.handed]
        assert times == [0, 60, 360]


async def test_a_410_disables_the_endpoint_and_its_deliveries_wait_without_aging() -> None:
    rig = Rig(retries=(5,))
    rig.sink.script = [Refused(reason="410")]
    async with rig.running():
        await ended(rig, "a", "b")
        await rig.clock.advance(86_400)
        handed = len(rig.sink.handed)
        assert handed <= 2
        await ended(rig, "c")
        await rig.clock.advance(86_400)
        assert len(rig.sink.handed) == handed
        assert rig.store.enable("hook")
        await rig.dispatcher.refresh()
        await rig.clock.advance(1)
        assert {delivery.subject for _, delivery in rig.sink.handed} >= {"a", "b", "c"}
        assert rig.store.list_deliveries(DeliveryFilter(states=(DeliveryState.WAITING,))) == []


async def test_the_log_names_no_task_for_an_event_about_an_endpoint() -> None:
    rig = Rig()
    rig.elsewhere = "hook"
    rig.sink.script = [Refused(reason="410")]
    with capture_logs() as logged:
        async with rig.running():
            await ended(rig, "a")
            assert rig.store.enable("hook")
            await rig.dispatcher.refresh()
            await rig.clock.advance(1)
    accepted = {line["topic"]: line["task_id"] for line in logged if line["event"] == "delivery.accepted"}
    assert accepted == {"task_succeeded": "a", "endpoint_disabled": ""}


async def test_the_log_of_a_dead_receiver_gets_quieter_until_it_recovers() -> None:
    rig = Rig(retries=(5,) * 40)
    failure = Deferred(reason="503")
    rig.sink.script = [*[failure] * 40, Accepted(detail="200"), failure]
    with capture_logs() as logged:
        async with rig.running():
            await ended(rig, "a")
            await rig.clock.advance(1000)
            await ended(rig, "b")
    deferred = [line["failures"] for line in logged if line["event"] == "delivery.deferred"]
    assert deferred == [1, 2, 3, 4, 5, 8, 16, 32, 1]


async def test_after_a_410_no_more_deliveries_of_a_burst_are_attempted() -> None:
    rig = Rig(concurrency=2)
    rig.sink.script = [Refused(reason="410")] * 20
    ids = [f"t{number}" for number in range(20)]
    async with rig.running():
        await ended(rig, *ids)
        rig.torn.failures = 3  # the outcome's commit is slow
        await rig.clock.advance(60)
        assert len(rig.sink.handed) <= 2
        assert len(rig.store.list_deliveries(DeliveryFilter(states=(DeliveryState.WAITING,)))) == 20


async def test_a_410_that_cannot_be_stored_does_not_disable_the_endpoint_permanently() -> None:
    rig = Rig(concurrency=1)
    rig.sink.script = [Refused(reason="410")]

    def parcels_for(event: Event) -> Sequence[Parcel]:
        if event.topic is Topic.ENDPOINT_DISABLED:
            raise RuntimeError("a bug of ours")
        return rig.sink.parcels(event)

    rig.writes.parcels_for = parcels_for
    async with rig.running():
        await ended(rig, "a", "b")
        await rig.clock.advance(120)
        assert sorted(delivery.subject for _, delivery in rig.sink.handed) in (["a", "a", "b"], ["a", "b", "b"])
        assert not rig.store.list_deliveries(DeliveryFilter(states=(DeliveryState.WAITING,)))


async def test_changed_settings_enable_an_endpoint_that_answered_410() -> None:
    rig = Rig()
    rig.sink.script = [Refused(reason="410")]
    async with rig.running():
        await ended(rig, "a")
        await rig.clock.advance(100)
        rig.fingerprint = "a new address"
        await rig.configure()
        await rig.clock.advance(1)
        assert [delivery.subject for _, delivery in rig.sink.handed] == ["a", "a"]


async def test_a_hanging_destination_does_not_delay_others() -> None:
    rig = Rig(targets=("1:slow", "2:quick"), concurrency=1)
    rig.sink.hang_s["1:slow"] = 1e6
    async with rig.running():
        await ended(rig, *[f"t{number}" for number in range(20)])
        await rig.clock.advance(1)
        await rig.clock.advance(1)
        quick = [delivery for _, delivery in rig.sink.handed if delivery.target == "2:quick"]
        assert len(quick) == 20


async def test_the_order_of_one_tasks_events_is_kept_through_retries() -> None:
    rig = Rig(requested_topics=frozenset({Topic.TASK_RUNNING}), retries=(5, 5, 5))
    rig.sink.script = [Deferred(reason="503")]
    rig.script("a", RUNNING, RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(60)
        assert rig.topics() == ["task_running", "task_succeeded"]
        assert len(rig.sink.handed) == 2


@pytest.mark.parametrize("answer", [Accepted(detail="200"), Deferred(reason="503")])
async def test_a_finish_does_not_overtake_an_event_in_flight(answer: Outcome) -> None:
    rig = Rig(requested_topics=frozenset({Topic.TASK_RUNNING}), retries=(3600, 3600))
    rig.sink.script = [answer]
    rig.sink.hang_s[""] = 30.0
    rig.script("a", RUNNING, RUNNING, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(29)
        assert rig.phase("a") == "succeeded"
        assert [delivery.topic for _, delivery in rig.sink.handed] == ["task_running"]
        await rig.clock.advance(5)
        assert [delivery.topic for _, delivery in rig.sink.handed] == ["task_running", "task_succeeded"]


async def test_a_finished_task_cancels_its_waiting_progress_events() -> None:
    rig = Rig(requested_topics=frozenset({Topic.TASK_RUNNING, Topic.TASK_PROGRESS}), retries=(3600, 3600))
    rig.sink.script = [Deferred(reason="503")]
    progress = Reading(kind=ReadingKind.RUNNING, snapshot=Snapshot(status="p", progress=50.0))
    rig.script("a", RUNNING, progress, SUCCEEDED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(7200)
        assert rig.topics() == ["task_running", "task_succeeded"]
        assert [view.topic for view in rig.store.list_deliveries(DeliveryFilter(states=(DeliveryState.CANCELED,)))] == [
            "task_running"
        ]


async def test_a_burst_is_delivered_completely_within_the_endpoints_concurrency() -> None:
    rig = Rig(concurrency=3)
    rig.sink.hang_s[""] = 1.0
    async with rig.running():
        await ended(rig, *[f"t{number}" for number in range(20)])
        await rig.clock.advance(0.5)
        assert len(rig.sink.handed) == 3
        await rig.clock.advance(10)
        assert len(rig.sink.handed) == 20
        assert len(set(rig.sink.ids())) == 20


async def test_deliveries_with_large_bodies_are_fetched_a_few_at_a_time() -> None:
    rig = Rig(concurrency=1)
    rig.sink.hang_s[""] = 1.0
    picture, most = bytes(MOST_BYTES // 4), 0

    def parcels_for(event: Event) -> list[Parcel]:
        return [Parcel(endpoint="hook", target="", body=picture + event.subject.encode())]

    def due(*key: str, **how: Any) -> tuple[list[Delivery], float | None]:
        nonlocal most
        found, next_at = Store.due(rig.store, *key, **how)
        most = max(most, len(found) + len(how["apart_from"]))
        return found, next_at

    rig.writes.parcels_for = parcels_for
    rig.store.due = due  # type: ignore[method-assign]
    ids = [f"t{number}" for number in range(12)]
    async with rig.running():
        await ended(rig, *ids)
        await rig.clock.advance(30)
    assert {delivery.subject for _, delivery in rig.sink.handed} == set(ids)
    assert all(delivery.body == picture + delivery.subject.encode() for _, delivery in rig.sink.handed)
    assert len(rig.sink.handed) == len(ids)
    assert 3 < most <= 6


async def test_stop_lets_attempts_in_flight_finish_and_starts_no_more() -> None:
    rig = Rig(concurrency=1)
    rig.sink.hang_s[""] = 5.0
    async with rig.running():
        await ended(rig, "a", "b")
        await rig.clock.advance(1)
        rig.dispatcher.stop()
        await rig.clock.advance(60)
        assert rig.dispatcher.finished.is_set()
        assert len(rig.sink.handed) == 1
        assert len(rig.store.list_deliveries(DeliveryFilter(states=(DeliveryState.WAITING,)))) == 1


async def test_stop_interrupts_resumable_attempts() -> None:
    rig = Rig()
    rig.sink.hang_s[""] = 5.0
    rig.writes.parcels_for = lambda event: [Parcel(endpoint=ARCHIVE, target="", body=b"x")]
    async with rig.running():
        plan = EndpointPlan(sink=rig.sink, concurrency=1, retries=rig.retries, fingerprint="", is_resumable=True)
        await rig.dispatcher.configure({ARCHIVE: plan})
        await ended(rig, "a")
        await rig.clock.advance(1)
        assert len(rig.sink.handed) == 1
        rig.dispatcher.stop()
        await rig.clock.advance(0)
        assert rig.dispatcher.finished.is_set()
        [copy] = rig.store.list_deliveries()
        assert (copy.state, copy.attempts) == (DeliveryState.WAITING, 0)


@pytest.mark.parametrize("is_waited_for", [True, False])
async def test_events_wait_for_copies_until_that_is_turned_off(is_waited_for: bool) -> None:
    rig = Rig()
    async with rig.running():
        rig.writes.parcels_for = lambda event: [
            Parcel(endpoint="hook", target="", body=b"x", due_at=rig.clock.steady() + 120)
        ]
        await ended(rig, "a")
        assert rig.sink.handed == []
        plan = EndpointPlan(sink=rig.sink, concurrency=1, retries=rig.retries, fingerprint="")
        await rig.dispatcher.configure({"hook": plan, ARCHIVE: replace(plan, is_waited_for=is_waited_for)})
        await rig.clock.advance(1)
        assert len(rig.sink.handed) == (0 if is_waited_for else 1)


async def test_after_a_crash_unaccepted_deliveries_repeat_with_the_same_id_and_bytes() -> None:
    rig = Rig()
    rig.sink.hang_s[""] = 60.0
    async with rig.running():
        await ended(rig, "a")
        await rig.clock.advance(1)
    second = rig.restarted()
    async with second.running():
        await second.clock.advance(61)
        assert len(set(rig.sink.ids())) == 1
        assert len({delivery.body for _, delivery in rig.sink.handed}) == 1
        assert len(rig.sink.handed) == 2


async def test_a_clock_set_ahead_does_not_delay_new_or_redelivered_events() -> None:
    rig = Rig(retries=())
    rig.clock.wall_offset = 365 * 86_400.0
    rig.sink.script = [Deferred(reason="500")]
    async with rig.running():
        await ended(rig, "a")
        assert len(rig.sink.handed) == 1
        assert rig.store.redeliver(DeliveryFilter(states=(DeliveryState.DEAD,))) == 1
        await rig.dispatcher.refresh()
        await rig.clock.advance(0)
        assert len(rig.sink.handed) == 2


async def test_an_attempt_has_the_time_of_a_corrected_clock() -> None:
    rig = Rig()
    rig.clock.wall_offset = 7200.0
    async with rig.running():
        await ended(rig, "a")
    [delivery] = rig.store.list_deliveries(EVERY_DELIVERY, attempts=True)
    assert [one.at for one in delivery.made] == [rig.clock.now()]


async def test_a_dead_delivery_is_kept_if_the_clock_was_behind_before() -> None:
    rig = Rig(retries=())
    rig.clock.wall_offset = 365 * 86_400.0
    rig.sink.script = [Deferred(reason="500")]
    async with rig.running():
        await ended(rig, "a")
    day_s = 86_400.0
    kept = {"ended_s": 30 * day_s, "delivered_s": 7 * day_s, "dead_s": 90 * day_s}
    rig.store.prune(now=rig.clock.now(), **kept, limit=10)
    assert [one.state for one in rig.store.list_deliveries(EVERY_DELIVERY)] == ["dead"]


async def test_a_blocked_account_is_reported_at_the_time_of_a_corrected_clock() -> None:
    rig = Rig()
    rig.clock.wall_offset = 7200.0
    rig.script("a", REVOKED)
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(0)
    [(_, blocked)] = rig.sink.handed
    assert (blocked.topic, blocked.created_at) == ("account_blocked", rig.clock.now())


async def test_a_retry_stored_by_a_wrong_clock_does_not_wait_a_year() -> None:
    rig = Rig(retries=(300,))
    rig.sink.script = [Deferred(reason="503")]
    async with rig.running():
        await ended(rig, "a")
        await rig.clock.advance(1)
    rig.clock.rewind(365 * 86_400.0)
    second = rig.restarted()
    async with second.running():
        await second.clock.advance(301)
        assert len(rig.sink.handed) == 2
