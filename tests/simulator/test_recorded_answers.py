"""Recorded answers: their placeholders, and that the files of every vendor are complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.simulator import vendor
from bridge.simulator.recorded_answers import fill, values_of
from bridge.simulator.simulated_task import Script, SimulatedResult, SimulatedTask, Stage
from bridge.simulator.vendor import Purpose, Vendor, load_vendor, vendor_names

CREATED_AT = 1_762_000_000.0
UNFILLED = re.compile(r"\{\w[\w.]*(:[^}]*)?\}")
REFUSALS = {"unauthorized", "not_found", "bad_request"}
KLING: list[tuple[SimulatedResult, str, dict[str, Any]]] = [
    (
        SimulatedResult.VIDEOS,
        "",
        {"videos": [{"id": "id/101", "url": "http://h/files/id%2F1/video.mp4", "duration": "5.1"}]},
    ),
    (
        SimulatedResult.IMAGES,
        "",
        {"images": [{"index": index, "url": f"http://h/files/id%2F1/{index}.png"} for index in range(4)]},
    ),
    (
        SimulatedResult.AUDIOS,
        "speech",
        {"audios": [{"id": "id/101", "url": "http://h/files/id%2F1/audio.mp3", "duration": "3.2"}]},
    ),
    (
        SimulatedResult.AUDIOS,
        "",
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
]


def body_of(simulated: Vendor, result: SimulatedResult, *, age_s: float, answer: str = "") -> Any:
    """The body about a task that lasts 10 s."""
    script = Script(result=result, lasts_s=10.0, message="why")
    task = SimulatedTask(task_id="id/1", script=script, created_at=CREATED_AT)
    now = CREATED_AT + age_s
    name = simulated.answers.name_for(answer, task.stage_at(now), result)
    values = values_of(task, now=now, base_url="http://h", action=simulated.action, request=simulated.request)
    return simulated.answers.filled(name, {"number": 7, **values})[1]


def files_of(name: str) -> set[str]:
    folder = Path(vendor.__file__).with_name("vendors") / name
    return {path.stem for path in folder.glob("*.json")}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{percent}", 61),
        ("{percent}%", "61%"),
        ("{number:05d}", "00007"),
        ("no placeholder", "no placeholder"),
        ('{"a": 1}', '{"a": 1}'),
        ("{}", "{}"),
        ({"{id}": ["{id}-{percent}", None, 1.5, True]}, {"{other}": ["{other}-61", None, 1.5, True]}),
    ],
)
def test_placeholders_are_filled_once_and_keep_their_type_when_alone(template: Any, filled: Any) -> None:
    assert fill(template, {"percent": 61, "number": 7, "id": "{other}"}) == filled


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        fill({"url": "{nowhere}/x"}, {})


@pytest.mark.parametrize(("result", "answer", "expected"), KLING)
def test_results_come_only_with_success(result: SimulatedResult, answer: str, expected: dict[str, Any]) -> None:
    simulated = load_vendor("kling")
    assert "task_result" not in body_of(simulated, result, age_s=9.0, answer=answer)["data"]
    finished = body_of(simulated, result, age_s=10.0, answer=answer)["data"]
    assert finished["task_result"] == expected
    assert finished["task_status_msg"] == ""


def test_a_failure_has_its_message_and_no_result() -> None:
    failed = body_of(load_vendor("kling"), SimulatedResult.FAILURE, age_s=10.0)["data"]
    assert failed["task_status_msg"] == "why"
    assert "task_result" not in failed


def test_a_vendor_has_answers_for_all_stages_and_refusals_and_nothing_else(subtests: pytest.Subtests) -> None:
    for name in vendor_names():
        with subtests.test(name):
            simulated = load_vendor(name)
            files = files_of(name)
            used = {*REFUSALS, *(files & {"unknown_method"})}
            for route in simulated.routes:
                match route.purpose:
                    case Purpose.CONTENT:
                        continue
                    case Purpose.STATIC:
                        used.add(route.answer)
                        continue
                    case Purpose.BATCH | Purpose.LIST:
                        used |= {route.whole, *([route.none] if route.none else [])}
                stages = [Stage.SUBMITTED] if route.purpose is Purpose.CREATE and route.lasts_s is None else list(Stage)
                used |= {
                    simulated.answers.name_for(route.answer, stage, result)
                    for stage in stages
                    for result in (*simulated.results, SimulatedResult.FAILURE)
                    if (stage is Stage.FAILED) == (result is SimulatedResult.FAILURE) or stage is Stage.RUNNING
                }
            assert used == files


def test_a_vendor_has_only_documented_keys(subtests: pytest.Subtests) -> None:
    for name in vendor_names():
        with subtests.test(name):
            path = Path(vendor.__file__).with_name("vendors") / name / "vendor.yaml"
            documented = re.findall(r"^    (\w+) ", vendor.__doc__ or "", re.MULTILINE)
            assert yaml.safe_load(path.read_text()).keys() <= {*documented}


def test_every_placeholder_of_a_vendor_has_a_value(subtests: pytest.Subtests) -> None:
    for name in vendor_names():
        with subtests.test(name):
            simulated = load_vendor(name)
            task = SimulatedTask(task_id="id/1", script=Script(), created_at=CREATED_AT, action="a/b/c")
            values = values_of(
                task, now=CREATED_AT, base_url="http://h", action=simulated.action, request=simulated.request
            )
            values |= {"number": 7, "reason": "r", "tasks": [], "path.version": "v"}
            values |= {"more": False, "last": None, "next": None, "next_url": None}
            for file in files_of(name):
                _, body = simulated.answers.filled(file, values)
                assert UNFILLED.search(str(body)) is None
