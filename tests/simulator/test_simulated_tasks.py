from __future__ import annotations

import pytest

from bridge.simulator.tasks import LASTS_S, REFUSED, Ending, Script, SimulatedTask, script_of

BORN_AT = 1_762_000_000.0


@pytest.mark.parametrize(
    ("task_id", "ending", "lasts_s"),
    [
        ("demo-video-20s", Ending.VIDEOS, 20.0),
        ("demo-images-5s", Ending.IMAGES, 5.0),
        ("demo-fail-8s", Ending.FAILURE, 8.0),
        ("demo-audio-3s-again", Ending.AUDIOS, 3.0),
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
    assert script.message == (REFUSED if ending is Ending.FAILURE else "")


@pytest.mark.parametrize("task_id", ["", "demo", "demos-5s", "Demo-5s", "a-demo-5s", "857000000000000001"])
def test_any_other_id_says_nothing(task_id: str) -> None:
    assert script_of(task_id) is None


def make(ending: Ending, *, action: str = "videos/text2video") -> SimulatedTask:
    return SimulatedTask(
        task_id="id/1", action=action, script=Script(ending=ending, lasts_s=10.0, message="why"), born_at=BORN_AT
    )


@pytest.mark.parametrize(
    ("ending", "statuses"),
    [
        (Ending.VIDEOS, ["submitted", "submitted", "processing", "processing", "succeed", "succeed"]),
        (Ending.FAILURE, ["submitted", "submitted", "processing", "processing", "failed", "failed"]),
        (Ending.NEVER, ["submitted", "submitted", "processing", "processing", "processing", "processing"]),
    ],
)
def test_a_task_is_submitted_then_processing_then_over(ending: Ending, statuses: list[str]) -> None:
    ages = [0.0, 1.9, 2.0, 9.9, 10.0, 1e6]
    assert [make(ending).status(BORN_AT + age_s) for age_s in ages] == statuses


def test_a_task_is_updated_when_its_status_changes() -> None:
    task = make(Ending.VIDEOS)
    updated = [task.data(BORN_AT + age_s, files_url="")["updated_at"] for age_s in (1.0, 5.0, 99.0)]
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
    task = make(ending, action=action)
    assert "task_result" not in task.data(BORN_AT + 9, files_url="http://h/files")
    data = task.data(BORN_AT + 10, files_url="http://h/files")
    assert data["task_result"] == result
    assert data["task_status_msg"] == ""


def test_a_failure_has_its_message_and_no_result() -> None:
    data = make(Ending.FAILURE).data(BORN_AT + 10, files_url="http://h/files")
    assert data["task_status_msg"] == "why"
    assert "task_result" not in data
