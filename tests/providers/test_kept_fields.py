"""Further fields of a task that its description keeps."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.providers.catalogue import DescriptionsRefused, load_descriptions
from bridge.providers.reading import read
from bridge.providers.results import PollContext
from tests.providers.reading_of import answered


def _kept(form: dict[str, Any], **task: Any) -> Any:
    made = load_descriptions({"own": {"extends": "replicate", "forms": {"prediction": form}}})["own"]
    asked = PollContext(task_id="1", action=None, base_url="https://api.example.com")
    reading = read(made, answered(orjson.dumps({"id": "1", "status": "processing", **task})), asked)
    assert reading.snapshot is not None
    return reading.snapshot.kept


def test_a_description_keeps_further_fields_by_name_or_by_path() -> None:
    task = {"model": "a/b", "version": "", "request": {"seed": 3}, "started_at": None}

    assert _kept({"keep": ["model", "version", "started_at"]}, **task) == {"model": "a/b", "version": ""}
    assert _kept({"keep": {"input": ["asked", "request"], "model": "model"}}, **task) == {
        "input": {"seed": 3},
        "model": "a/b",
    }
    assert _kept({"keep": None}, **task) == {}


def test_kept_fields_are_limited_and_the_first_ones_take_precedence() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    task = {
        "model": "a/b",
        "input": {"image": "x" * 16_384},
        "logs": "y" * 16_000,
        "metrics": deep,
        "version": "z" * 400,
    }

    assert _kept({}, **task).keys() == {"model", "version"}
    assert _kept({"keep": ["logs", "input", "version", "model"]}, **task).keys() == {"logs", "model"}


def test_only_fields_of_the_replicate_format_can_be_kept() -> None:
    with pytest.raises(DescriptionsRefused) as refused:
        load_descriptions({"own": {"extends": "replicate", "forms": {"prediction": {"keep": ["verison"]}}}})

    [problem] = refused.value.found
    assert problem.path == ("own", "forms", "prediction", "keep")
    assert problem.message == 'unknown key "verison"; did you mean "version"?'
