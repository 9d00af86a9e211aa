from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path

import anyio
import yaml

from bridge.clock import SystemClock
from bridge.simulator.demo_plan import OUTAGE, DemoFile, DemoPlan, DemoTask
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.simulated_task import SimulatedResult
from bridge.simulator.webhook_receiver import PATH
from tests.fakes import START, FakeClock

PLAN = DemoPlan()


def file_of(task: DemoTask) -> DemoFile:
    return next(file for file in PLAN.files if task in file.tasks)


def results_of(tasks: Iterable[DemoTask]) -> set[SimulatedResult]:
    return {task.script.result for task in tasks}


def test_the_demo_shows_every_result_also_of_an_already_finished_task() -> None:
    assert len(PLAN.tasks) == 8
    assert len({task.task_id for task in PLAN.tasks}) == 8
    assert results_of(PLAN.tasks) == {
        SimulatedResult.VIDEOS,
        SimulatedResult.IMAGES,
        SimulatedResult.AUDIOS,
        SimulatedResult.FAILURE,
    }
    early = [task for task in PLAN.tasks if task.created_s + task.script.lasts_s < 0]
    assert len(early) == 1


def test_tasks_finish_over_25_seconds_and_after_their_files() -> None:
    finishes = sorted(task.created_s + task.script.lasts_s for task in PLAN.tasks)
    assert finishes[-1] == 25
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(finishes))
    for task in PLAN.tasks:
        finished_s = task.created_s + task.script.lasts_s
        assert finished_s < 0 or finished_s > file_of(task).at_s + 2


def test_each_syntax_of_queue_files_is_shown() -> None:
    texts = {Path(file.name).suffix: file for file in PLAN.files}
    assert set(texts) == {".yaml", ".txt", ".json"}
    assert yaml.safe_load(texts[".yaml"].text())["tasks"] == [task.entry() for task in texts[".yaml"].tasks]
    assert json.loads(texts[".json"].text()) == [task.entry() for task in texts[".json"].tasks]
    lines = [line for line in texts[".txt"].text().splitlines() if not line.startswith("#")]
    assert lines == [task.task_id for task in texts[".txt"].tasks]


def test_prepare_creates_a_queue_folder_and_settings_with_the_two_urls(tmp_path: Path) -> None:
    path = PLAN.prepare(tmp_path, provider_url="http://127.0.0.1:1111", receiver_url="http://127.0.0.1:2222")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert settings["accounts"]["demo"]["base_url"] == "http://127.0.0.1:1111"
    assert settings["endpoints"]["receiver"]["url"] == f"http://127.0.0.1:2222{PATH}"
    assert (path.parent / settings["sources"]["queue"]).is_dir()
    assert not Path(settings["store"]).is_absolute()


def test_played_tasks_finish_at_the_provider_when_the_plan_says() -> None:
    clock = FakeClock(START + 25)
    provider = SimulatedProvider(clock)
    PLAN.play(provider, started_at=START)
    assert provider.finished_at == {task.task_id: START + task.created_s + task.script.lasts_s for task in PLAN.tasks}


async def test_files_appear_complete_one_after_the_other(tmp_path: Path) -> None:
    clock = FakeClock()
    added: list[tuple[float, str]] = []

    def on_file(file: DemoFile) -> None:
        added.append((clock.steady() - START, file.name))
        assert (tmp_path / file.name).read_text(encoding="utf-8") == file.text()

    async def feed() -> None:
        await PLAN.add_files(tmp_path, clock=clock, started_at=START, on_file=on_file)

    async with anyio.create_task_group() as group:
        group.start_soon(feed)
        await clock.advance(30)
    assert added == [(file.at_s, file.name) for file in PLAN.files]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(file.name for file in PLAN.files)


async def test_a_file_whose_time_has_passed_is_added_at_once(tmp_path: Path) -> None:
    clock = SystemClock()
    added: list[DemoFile] = []
    with anyio.fail_after(5):  # from the start, it would take 6 s
        await PLAN.add_files(tmp_path, clock=clock, started_at=clock.steady() - 5.8, on_file=added.append)
    assert added == list(PLAN.files)


def test_the_receiver_is_down_for_less_time_than_the_first_retry_waits() -> None:
    settings = yaml.safe_load(PLAN.settings(provider_url="http://a", receiver_url="http://b"))
    assert settings["delivery"]["retries"][0] == "2s"
    assert OUTAGE.lasts_s < 2
    assert OUTAGE.after < len(PLAN.tasks) - 3
