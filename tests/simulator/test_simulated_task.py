from __future__ import annotations

import pytest

from bridge.simulator.simulated_task import DEFAULT_LASTS_S, Script, SimulatedResult, SimulatedTask, script_of

CREATED_AT = 1_762_000_000.0


@pytest.mark.parametrize(
    ("task_id", "result", "lasts_s"),
    [
        ("demo-video-20s", SimulatedResult.VIDEOS, 20.0),
        ("demo-images-5s", SimulatedResult.IMAGES, 5.0),
        ("demo-fail-8s", SimulatedResult.FAILURE, 8.0),
        ("demo-audio-3s-again", SimulatedResult.AUDIOS, 3.0),
        ("demo-text-3s", SimulatedResult.TEXTS, 3.0),
        ("demo-never", SimulatedResult.NEVER, DEFAULT_LASTS_S),
        ("demo-video", SimulatedResult.VIDEOS, DEFAULT_LASTS_S),
        ("demo-0s", SimulatedResult.VIDEOS, 0.0),
        ("demo-0.5s-x", SimulatedResult.VIDEOS, 0.5),
        ("demo-", SimulatedResult.VIDEOS, DEFAULT_LASTS_S),
        ("demo-my-own-name", SimulatedResult.VIDEOS, DEFAULT_LASTS_S),
        ("demo-videos", SimulatedResult.VIDEOS, DEFAULT_LASTS_S),
        ("demo-failure-5s", SimulatedResult.VIDEOS, DEFAULT_LASTS_S),
        ("demo-fail-5sheep", SimulatedResult.FAILURE, DEFAULT_LASTS_S),
        ("demo-images-\n-猫/..", SimulatedResult.IMAGES, DEFAULT_LASTS_S),
    ],
)
def test_a_demo_id_describes_how_its_task_goes(task_id: str, result: SimulatedResult, lasts_s: float) -> None:
    script = script_of(task_id)
    assert script is not None
    assert (script.result, script.lasts_s) == (result, lasts_s)


@pytest.mark.parametrize("task_id", ["", "demo", "demos-5s", "Demo-5s", "a-demo-5s", "857000000000000001"])
def test_any_other_id_has_no_script(task_id: str) -> None:
    assert script_of(task_id) is None


def task(result: SimulatedResult) -> SimulatedTask:
    script = Script(result=result, lasts_s=10.0, message="why")
    return SimulatedTask(task_id="id/1", script=script, created_at=CREATED_AT)


@pytest.mark.parametrize(
    ("result", "stages"),
    [
        (SimulatedResult.VIDEOS, ["submitted", "submitted", "running", "running", "succeeded", "succeeded"]),
        (SimulatedResult.FAILURE, ["submitted", "submitted", "running", "running", "failed", "failed"]),
        (SimulatedResult.NEVER, ["submitted", "submitted", "running", "running", "running", "running"]),
    ],
)
def test_a_task_waits_then_runs_then_finishes(result: SimulatedResult, stages: list[str]) -> None:
    ages = [0.0, 1.9, 2.0, 9.9, 10.0, 1e6]
    assert [task(result).stage_at(CREATED_AT + age_s) for age_s in ages] == stages


@pytest.mark.parametrize("result", list(SimulatedResult))
def test_progress_grows_and_reaches_1_only_at_the_finish(result: SimulatedResult) -> None:
    seen = [task(result).progress_at(CREATED_AT + age_s) for age_s in (0.0, 1.9, 2.0, 5.0, 9.99, 10.0, 1e6)]
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert all(0 < progress < 1 for progress in seen[2:5])
    assert seen[-1] == (0.99 if result is SimulatedResult.NEVER else 1)


def test_a_task_is_updated_when_its_stage_changes() -> None:
    updated = [task(SimulatedResult.VIDEOS).updated_at(CREATED_AT + age_s) for age_s in (1.0, 5.0, 99.0)]
    assert updated == [CREATED_AT, CREATED_AT + 2, CREATED_AT + 10]
