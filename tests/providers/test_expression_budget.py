"""A slow expression in a description from the settings makes only its own answer unreadable."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import orjson
import pytest

from bridge.domain.task import Reading, ReadingKind
from bridge.providers.catalogue import BUILT_IN, load_descriptions
from bridge.providers.description import Description
from bridge.providers.new_tasks import created, created_by_any
from bridge.providers.reading import read, read_together
from bridge.providers.results import PollContext
from tests.providers.reading_of import answered
from tests.stopwatch import within_cpu_s

OWN: dict[str, Any] = {
    "title": "A studio",
    "ask": {"path": "/jobs/{id}", "batch": {"path": "/jobs?ids={ids}"}},
    "forms": {
        "job": {
            "task": ["job", "jobs"],
            "id": "id",
            "status": "state",
            "words": {"running": ["busy"], "succeeded": ["done"]},
            "message": "note",
            "results": [{"url": "u"}],
        }
    },
}
SLOW = "items[*].[@, @]" + " | [@, @]" * 40


def _own(**changes: Any) -> Description:
    tree = deepcopy(OWN)
    tree["forms"]["job"] |= {
        key: value for key, value in changes.items() if key in {"message", "id", "status", "results"}
    }
    tree |= {key: value for key, value in changes.items() if key not in tree["forms"]["job"]}
    return load_descriptions({"mine": tree})["mine"]


def _read(description: Description, body: Any, task_id: str = "7") -> Reading:
    asked = PollContext(task_id=task_id, action=None, base_url="https://api.example.com")
    answer = answered(orjson.dumps(body))
    return within_cpu_s(0.25, lambda: read(description, answer, asked))


def _job(state: str = "done", **fields: Any) -> dict[str, Any]:
    return {"id": "7", "state": state, "u": "https://cdn.example.com/a.mp4", **fields}


def test_an_expression_over_its_budget_makes_the_answer_unreadable() -> None:
    description = _own(message=SLOW)

    reading = _read(description, {"job": _job(items=list(range(20_000)))})

    assert reading.kind is ReadingKind.AMBIGUOUS
    assert reading.detail.startswith('the answer cannot be read: providers.mine.forms.job.message: "items[*].[@, @]')
    assert _read(description, {"job": _job()}).kind is ReadingKind.SUCCEEDED


@pytest.mark.parametrize("key", ["codes", "error_message", "retry_after"])
def test_an_expression_outside_the_forms_is_limited_too(key: str) -> None:
    value = {"at": SLOW, "good": [0]} if key == "codes" else [SLOW, "note"]
    body = {"items": list(range(20_000))}
    description = _own(**{key: value})

    asked = PollContext(task_id="7", action=None, base_url="https://api.example.com")
    reading = read(description, answered(orjson.dumps(body), status=429), asked)

    assert reading.kind is ReadingKind.AMBIGUOUS
    assert f"providers.mine.{key}" in reading.detail


def test_a_pattern_that_python_would_take_hours_for_takes_no_time() -> None:
    description = _own(needs_key="(a+)+$")

    reading = _read(description, {"job": _job(u=f"https://cdn.example.com/{'a' * 4000}!")})

    assert reading.kind is ReadingKind.SUCCEEDED


def test_many_slow_patterns_and_expressions_on_one_answer_share_one_budget() -> None:
    description = _own(needs_key="a(a|b){300}c", results=[{"url": "u[]"}])
    text = bin(0x9E3779B97F4A7C15**100)[2:6000].translate({48: "a", 49: "b"})

    reading = _read(description, {"job": _job(u=[f"https://cdn.example.com/{at}/{text}" for at in range(150)])})

    assert reading.kind is ReadingKind.AMBIGUOUS
    assert "providers.mine.needs_key" in reading.detail


def test_one_slow_item_of_a_list_does_not_affect_the_others() -> None:
    description = _own(message=SLOW)
    jobs = [_job() | {"id": "1"}, _job(items=list(range(20_000))) | {"id": "2"}, _job("busy") | {"id": "3"}]

    found = _together(description, jobs, "1", "2", "3", "4")

    assert [found[each].kind for each in "1234"] == [
        ReadingKind.SUCCEEDED,
        ReadingKind.AMBIGUOUS,
        ReadingKind.RUNNING,
        ReadingKind.NOT_FOUND,
    ]
    assert "providers.mine.forms.job.message" in found["2"].detail


def test_an_item_with_an_unreadable_id_does_not_mean_not_found() -> None:
    description = _own(id=[SLOW + " | `null`", "id"])
    jobs = [_job() | {"id": "1"}, _job(items=list(range(20_000))) | {"id": "2"}]

    found = _together(description, jobs, "1", "2")

    assert [found[each].kind for each in "12"] == [ReadingKind.SUCCEEDED, ReadingKind.AMBIGUOUS]
    assert "providers.mine.forms.job.id.0" in found["2"].detail


def test_a_large_list_is_read_whole() -> None:
    description = _own(id="id || task_id", message="note || error")
    jobs = [{"task_id": str(at), "state": "busy", "error": "e"} for at in range(1000)]

    found = _together(description, jobs, *[str(at) for at in range(1000)])

    assert {reading.kind for reading in found.values()} == {ReadingKind.RUNNING}


def test_a_slow_create_answer_of_one_description_does_not_hide_anothers() -> None:
    when = {"when": f"({SLOW}) && id", "id": "id"}
    user = {
        "mine": deepcopy(OWN) | {"created": when},
        "other": deepcopy(OWN) | {"created": {"when": "job", "id": "job"}},
    }
    known = load_descriptions(user)
    answer = {"items": list(range(20_000)), "job": "j-1"}

    assert created_by_any({name: known[name] for name in user}, answer) == {"other": ("j-1", None)}
    with pytest.raises(Exception, match=r"providers\.mine\.created\.when"):
        created_by_any({"mine": known["mine"]}, answer)


def test_every_pattern_of_a_built_in_is_taken(subtests: pytest.Subtests) -> None:
    for name in BUILT_IN:
        with subtests.test(name):
            description = BUILT_IN[name]

            assert description.action is None or description.action.pattern.is_whole(description.action.example)
            assert description.needs_key is None or not description.needs_key.is_in("https://elsewhere.example/x.mp4")
            created(description, {})


def _together(description: Description, jobs: list[Any], *task_ids: str) -> dict[str, Reading]:
    asked = [PollContext(task_id=each, action=None, base_url="https://api.example.com") for each in task_ids]
    answer = answered(orjson.dumps({"jobs": jobs}))
    found = within_cpu_s(0.25, lambda: read_together(description, answer, asked))
    assert not isinstance(found, Reading), found
    return dict(found)
