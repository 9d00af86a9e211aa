from __future__ import annotations

from collections.abc import Iterable

import pytest

from bridge.cli.demo_progress import DemoSummary
from bridge.simulator.demo_plan import RECEIVER_KEY, SIGNING_KEY, DemoFile, DemoPlan, DemoTask
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.simulated_task import SimulatedResult
from bridge.simulator.webhook_receiver import ReceivedWebhook, Receiver
from tests.fakes import START, FakeClock

PLAN = DemoPlan()


def file_of(task: DemoTask) -> DemoFile:
    return next(file for file in PLAN.files if task in file.tasks)


def webhook_of(task: DemoTask, *, arrived_at: float) -> ReceivedWebhook:
    failed = task.script.result is SimulatedResult.FAILURE
    return ReceivedWebhook(
        webhook_id=f"evt_{task.task_id}",
        topic="task_failed" if failed else "task_succeeded",
        data={
            "task_id": task.task_id,
            "urls": [] if failed else [f"http://127.0.0.1:1/files/{task.task_id}/{number}.mp4" for number in range(2)],
            "reason": "risk control" if failed else None,
        },
        arrived_at=arrived_at,
    )


async def summary(*, notified: Iterable[DemoTask], delay_s: float, at_s: float = 60) -> DemoSummary:
    """The summary of a demo that notified these tasks after `delay_s` and polled every task twice. The first webhook
    was refused once."""
    clock = FakeClock()
    provider = SimulatedProvider(clock)
    PLAN.play(provider, started_at=START)
    await clock.advance(at_s)
    provider.polls.update(task.task_id for task in PLAN.tasks * 2)
    receiver = Receiver(clock, api_key=RECEIVER_KEY, secret=SIGNING_KEY, on_webhook=lambda webhook: None)
    for task in notified:
        arrived_at = START + max(file_of(task).at_s, task.created_s + task.script.lasts_s) + delay_s
        receiver.webhooks[f"evt_{task.task_id}"] = webhook_of(task, arrived_at=arrived_at)
    receiver.turned_away[PLAN.tasks[0].task_id] = receiver.repeats = 1
    return DemoSummary.of(PLAN, provider, receiver, started_at=START, now=clock.steady())


async def test_the_summary_of_a_complete_demo_has_its_figures() -> None:
    whole = await summary(notified=PLAN.tasks, delay_s=1.5)
    assert whole.is_complete
    assert (whole.finished, whole.notified, whole.retried) == (8, 8, 1)
    assert [row.delay_s for row in whole.rows] == [pytest.approx(1.5)] * 8
    assert [row.task_id for row in whole.rows] == [task.task_id for task in PLAN.tasks], "in the order of the demo"
    assert [row.answers for row in whole.rows] == ["503, then 200", *["200"] * 7]
    assert whole.rows[0].result == f"http://127.0.0.1:1/files/{PLAN.tasks[0].task_id}/0.mp4 (+1)"
    assert [row.result for row in whole.rows if row.topic == "task_failed"] == ["risk control"]


async def test_a_line_about_a_webhook_fits_80_columns() -> None:
    for task in PLAN.tasks:
        data = {"task_id": task.task_id}
        webhook = ReceivedWebhook(webhook_id="evt_" + 32 * "a", topic="task_succeeded", data=data, arrived_at=START)
        assert len(f" 12.3 s  {webhook.line()}") <= 80


async def test_the_summary_of_an_interrupted_demo_shows_how_far_each_task_was() -> None:
    cut = await summary(notified=PLAN.tasks[:1], delay_s=0.2, at_s=5.5)
    assert not cut.is_complete
    assert cut.notified == 1
    assert [row.is_added for row in cut.rows] == [file_of(task).at_s < 5.5 for task in PLAN.tasks]
    assert 0.4 < cut.rows[1].progress < 0.5
    assert (cut.rows[1].topic, cut.rows[1].result, cut.rows[1].answers) == (None, "running", "")
    early = next(row for row in cut.rows if row.progress == 1 and row.webhook is None)
    assert (early.result, cut.rows[-1].result) == ("finished, not notified yet", "not added yet")
