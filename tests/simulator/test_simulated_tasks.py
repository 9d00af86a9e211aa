from __future__ import annotations

import pytest

from bridge.simulator.forms.kling import data
from bridge.simulator.tasks import LASTS_S, Ending, Script, SimulatedTask, View, script_of

BORN_AT = 1_762_000_000.0


@pytest.mark.parametrize(
    ("task_id", "ending", "lasts_s"),
    [
        ("demo-video-20s", Ending.VIDEOS, 20.0),
        ("demo-images-5s", Ending.IMAGES, 5.0),
        ("demo-fail-8s", Ending.FAILURE, 8.0),
        ("demo-audio-3s-again", Ending.AUDIOS, 3.0),
        ("demo-text-3s", Ending.TEXTS, 3.0),
        ("demo-never", Ending.NEVER, LASTS_S),
        ("demo-video", Ending.VIDEOS, LASTS_S),
        ("demo-0s", Ending.VIDEOS, 0.0),
        ("demo-0.5s-x", Ending.VIDEOS, 0.5),
        ("demo-", Ending.VIDEOS, LASTS_S),
        ("demo-my-own-name", Ending.VIDEOS, LASTS_S),
        ("demo-videos", Ending.VIDEOS, LASTS_S),
        ("demo-failure-5s", Ending.VIDEOS, LASTS_S),
        ("demo-fail-5sheep", Ending.FAILURE, LASTS_S),
        ("demo-images-\n-猫/..", Ending.IMAGES, LASTS_S),
    ],
)
def test_an_id_of_the_grammar_says_how_its_task_goes(task_id: str, ending: Ending, lasts_s: float) -> None:
    script = script_of(task_id)
    assert script is not None
    assert (script.ending, script.lasts_s) == (ending, lasts_s)


@pytest.mark.parametrize("task_id", ["", "demo", "demos-5s", "Demo-5s", "a-demo-5s", "857000000000000001"])
def test_any_other_id_says_nothing(task_id: str) -> None:
    assert script_of(task_id) is None


def view(ending: Ending, *, age_s: float, action: str = "videos/text2video") -> View:
    script = Script(ending=ending, lasts_s=10.0, message="why")
    task = SimulatedTask(task_id="id/1", action=action, script=script, born_at=BORN_AT)
    return View(task=task, now=BORN_AT + age_s, base_url="http://h", ending=ending)


@pytest.mark.parametrize(
    ("ending", "statuses"),
    [
        (Ending.VIDEOS, ["waiting", "waiting", "working", "working", "done", "done"]),
        (Ending.FAILURE, ["waiting", "waiting", "working", "working", "failed", "failed"]),
        (Ending.NEVER, ["waiting", "waiting", "working", "working", "working", "working"]),
    ],
)
def test_a_task_waits_then_works_then_is_over(ending: Ending, statuses: list[str]) -> None:
    ages = [0.0, 1.9, 2.0, 9.9, 10.0, 1e6]
    assert [view(ending, age_s=age_s).stage for age_s in ages] == statuses


@pytest.mark.parametrize("ending", list(Ending))
def test_progress_grows_and_is_whole_at_the_end_alone(ending: Ending) -> None:
    seen = [view(ending, age_s=age_s).progress for age_s in (0.0, 1.9, 2.0, 5.0, 9.99, 10.0, 1e6)]
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert all(0 < progress < 1 for progress in seen[2:5])
    assert seen[-1] == (0.99 if ending is Ending.NEVER else 1)


def test_a_task_is_updated_when_its_stage_changes() -> None:
    updated = [data(view(Ending.VIDEOS, age_s=age_s))["updated_at"] for age_s in (1.0, 5.0, 99.0)]
    assert updated == [1_762_000_000_000, 1_762_000_002_000, 1_762_000_010_000]


@pytest.mark.parametrize(
    ("ending", "action", "result"),
    [
        (
            Ending.VIDEOS,
            "videos/text2video",
            {"videos": [{"id": "id/101", "url": "http://h/files/id%2F1/video.mp4", "duration": "5.1"}]},
        ),
        (
            Ending.IMAGES,
            "images/generations",
            {"images": [{"index": index, "url": f"http://h/files/id%2F1/{index}.png"} for index in range(4)]},
        ),
        (
            Ending.AUDIOS,
            "audio/tts",
            {"audios": [{"id": "id/101", "url": "http://h/files/id%2F1/audio.mp3", "duration": "3.2"}]},
        ),
        (
            Ending.AUDIOS,
            "audio/text-to-audio",
            {
                "audios": [
                    {
                        "id": "id/101",
                        "url_mp3": "http://h/files/id%2F1/audio.mp3",
                        "url_wav": "http://h/files/id%2F1/audio.wav",
                        "duration_mp3": "3.2",
                        "duration_wav": "3.2",
                    }
                ]
            },
        ),
    ],
)
def test_results_come_with_success_alone(ending: Ending, action: str, result: dict[str, object]) -> None:
    assert "task_result" not in data(view(ending, age_s=9.0, action=action))
    ended = data(view(ending, age_s=10.0, action=action))
    assert ended["task_result"] == result
    assert ended["task_status_msg"] == ""


def test_a_failure_has_its_message_and_no_result() -> None:
    ended = data(view(Ending.FAILURE, age_s=10.0))
    assert ended["task_status_msg"] == "why"
    assert "task_result" not in ended
