from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path

import anyio
import pytest
import yaml

from bridge.clock import SystemClock
from bridge.simulator.demo import DemoPlan, DemoTask, Drop, Summary, Told
from bridge.simulator.provider import SimulatedProvider
from bridge.simulator.receiver import PATH, Webhook
from bridge.simulator.tasks import Ending
from tests.fakes import START, FakeClock

PLAN = DemoPlan()


def drop_of(task: DemoTask) -> Drop:
    return next(drop for drop in PLAN.drops if task in drop.tasks)


def endings(tasks: Iterable[DemoTask]) -> set[Ending]:
    return {task.script.ending for task in tasks}


def test_the_demo_shows_every_ending_and_one_task_that_was_over_when_added() -> None:
    assert len(PLAN.tasks) == 8
    assert len({task.task_id for task in PLAN.tasks}) == 8
    assert endings(PLAN.tasks) == {Ending.VIDEOS, Ending.IMAGES, Ending.AUDIOS, Ending.FAILURE}
    over = [task for task in PLAN.tasks if task.born_s + task.script.lasts_s < 0]
    assert len(over) == 1


def test_the_ends_are_spread_over_25_seconds_and_follow_the_files() -> None:
    ends = sorted(task.born_s + task.script.lasts_s for task in PLAN.tasks)
    assert ends[-1] == 25
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(ends))
    for task in PLAN.tasks:
        ends_s = task.born_s + task.script.lasts_s
        assert ends_s < 0 or ends_s > drop_of(task).at_s + 2


def test_each_form_of_queue_file_is_shown() -> None:
    texts = {Path(drop.name).suffix: drop for drop in PLAN.drops}
    assert set(texts) == {".yaml", ".txt", ".json"}
    assert yaml.safe_load(texts[".yaml"].text())["tasks"] == [task.form() for task in texts[".yaml"].tasks]
    assert json.loads(texts[".json"].text()) == [task.form() for task in texts[".json"].tasks]
    lines = [line for line in texts[".txt"].text().splitlines() if not line.startswith("#")]
    assert lines == [task.task_id for task in texts[".txt"].tasks]


def test_prepare_makes_a_queue_folder_and_settings_with_the_two_urls(tmp_path: Path) -> None:
    path = PLAN.prepare(tmp_path, provider_url="http://127.0.0.1:1111", receiver_url="http://127.0.0.1:2222")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert settings["accounts"]["demo"]["base_url"] == "http://127.0.0.1:1111"
    assert settings["endpoints"]["receiver"]["url"] == f"http://127.0.0.1:2222{PATH}"
    assert (path.parent / settings["sources"]["queue"]).is_dir()
    assert not Path(settings["store"]).is_absolute()


def test_played_tasks_end_at_the_provider_when_the_plan_says() -> None:
    clock = FakeClock(START + 25)
    provider = SimulatedProvider(clock)
    PLAN.play(provider, started_at=START)
    assert provider.ended_at == {task.task_id: START + task.born_s + task.script.lasts_s for task in PLAN.tasks}


async def test_files_appear_whole_one_after_the_other(tmp_path: Path) -> None:
    clock = FakeClock()
    dropped: list[tuple[float, str]] = []

    def on_drop(drop: Drop) -> None:
        dropped.append((clock.steady() - START, drop.name))
        assert (tmp_path / drop.name).read_text(encoding="utf-8") == drop.text()

    async def feed() -> None:
        await PLAN.feed(tmp_path, clock=clock, started_at=START, on_drop=on_drop)

    async with anyio.create_task_group() as group:
        group.start_soon(feed)
        await clock.advance(30)
    assert dropped == [(drop.at_s, drop.name) for drop in PLAN.drops]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(drop.name for drop in PLAN.drops)


async def test_a_file_whose_time_has_passed_is_dropped_at_once(tmp_path: Path) -> None:
    clock = SystemClock()
    dropped: list[Drop] = []
    with anyio.fail_after(2):
        await PLAN.feed(tmp_path, clock=clock, started_at=clock.steady() - 5.8, on_drop=dropped.append)
    assert dropped == list(PLAN.drops)


async def summary(*, told: Iterable[DemoTask], delay_s: float) -> Summary:
    """Of a demo in which these tasks were told so long after their ends, and each had been asked about twice."""
    clock = FakeClock()
    provider = SimulatedProvider(clock)
    PLAN.play(provider, started_at=START)
    await clock.advance(60)
    provider.polls.update(task.task_id for task in PLAN.tasks * 2)
    webhooks = [
        Webhook(
            webhook_id=f"evt_{task.task_id}",
            topic="task_failed" if task.script.ending is Ending.FAILURE else "task_succeeded",
            data={"task_id": task.task_id},
            arrived_at=START + max(drop_of(task).at_s, task.born_s + task.script.lasts_s) + delay_s,
        )
        for task in told
    ]
    return Summary.of(PLAN, provider, webhooks=webhooks, repeats=1, started_at=START)


async def test_a_whole_demo_is_complete_and_its_figures_are_named() -> None:
    whole = await summary(told=PLAN.tasks, delay_s=1.5)
    assert whole.is_complete
    assert (whole.ended, whole.told) == (8, 8)
    assert [row.after_s for row in whole.rows] == [pytest.approx(1.5)] * 8
    text = whole.text()
    assert "8 tasks: 8 ended, 8 told, 1 webhooks came twice" in text
    assert "polls per task: median 2, most 2, in 0 requests" in text
    assert "to the webhook: median 1.5 s, most 1.5 s" in text
    for task in PLAN.tasks:
        assert sum(line.startswith(task.task_id) for line in text.splitlines()) == 1
    assert max(map(len, text.splitlines())) <= 100


async def test_a_webhooks_line_fits_a_terminal_with_the_time_before_it() -> None:
    for task in PLAN.tasks:
        data = {"task_id": task.task_id}
        webhook = Webhook(webhook_id="evt_" + 32 * "a", topic="task_succeeded", data=data, arrived_at=START)
        assert len(f" 12.3 s  {webhook.line()}") <= 80


async def test_a_demo_cut_short_says_what_was_not_told() -> None:
    cut = await summary(told=PLAN.tasks[:3], delay_s=0.2)
    assert not cut.is_complete
    assert cut.told == 3
    assert sum("not told" in line for line in cut.text().splitlines()) == 5


def test_a_summary_of_nothing_told_has_no_delays() -> None:
    nothing = Summary(rows=(Told(task_id="a", polls=0),), ended=0, repeats=0, requests=0)
    assert nothing.text().endswith("to the webhook: none")
