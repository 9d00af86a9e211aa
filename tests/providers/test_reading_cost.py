"""The time to read an answer, whatever texts it contains."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from bridge.domain.task import Json, ReadingKind
from bridge.providers import json_values
from bridge.providers.aggregators import result_candidates
from tests.providers.reading_of import newapi, reading_of

REASONS = ("fail_reason", "error", "error_message", "failure_reason", "fail_msg", "failure", "message", "detail")
TASK_KEYS = ("message", "msg", "detail", "error", "title", "description", "reason", "code", "type")

pytestmark = pytest.mark.usefixtures("unmeasured")  # the time without coverage counts


def read_in(most_s: float, body: Json, **asked: str | int) -> ReadingKind:
    began = time.process_time()
    kind = reading_of(body, **asked).kind  # type: ignore[arg-type]
    assert time.process_time() - began < most_s
    return kind


@pytest.mark.parametrize(
    "text", ["done " * 200 + " " * 995 + ",", "failed" + " " * 1990 + "x", "task " * 399 + "x", " done" * 399 + ".;"]
)
def test_no_message_of_a_failure_takes_long_to_judge(text: str) -> None:
    body = newapi("FAILURE", **dict.fromkeys(REASONS, text))

    assert read_in(0.5, body, provider="newapi") is ReadingKind.FAILED


@pytest.mark.parametrize("text", ["url " * 250, "a " * 500, "task 1" + "x_" * 490])
def test_many_texts_of_a_refusal_take_no_longer_than_a_few(text: str) -> None:
    body: Json = {key: [[text] * 10] * 10 for key in TASK_KEYS}

    assert read_in(0.2, body, provider="openai_video", status=404) is ReadingKind.NOT_FOUND


@pytest.mark.parametrize("key", ["data", "resultJson", "result"])
@pytest.mark.parametrize("provider", ["kling", "newapi", "openai_video", "replicate"])
def test_a_json_text_inside_an_answer_is_parsed_once(provider: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(json_values, "check_json", parsed.append)
    text = json.dumps({"x": [{"a": 1}]})

    reading_of(
        {"id": "T", "task_id": "T", "status": "SUCCESS", "progress": 1, key: text}, provider=provider, task_id="T"
    )

    assert parsed == [text]


class Looked(list[Json]):
    """A list that counts how often somebody goes through it."""

    looks = 0

    def __iter__(self) -> Iterator[Json]:
        self.looks += 1
        return super().__iter__()


def test_a_list_without_results_is_gone_through_a_few_times() -> None:
    items = Looked([{"a": 1}])

    assert list(result_candidates({"result": items}, makes="images")) == []
    assert items.looks < 10


class LookedInto(dict[str, Json]):
    """An object that counts how often somebody looks for a key."""

    looks = 0

    def get(self, key: str, default: Json = None) -> Json:
        self.looks += 1
        return super().get(key, default)


def test_an_object_is_searched_only_for_the_keys_that_it_has() -> None:
    item = LookedInto(url="")

    assert list(result_candidates({"videos": [item]}, makes="videos")) == []
    assert item.looks < 10
