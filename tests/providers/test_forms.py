"""Forms in a description: conditions, empty objects, JSON inside text, files on the account's own server."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.domain.task import Json, Reading, ReadingKind
from bridge.providers.catalogue import load_descriptions
from bridge.providers.reading import read, second_value
from bridge.providers.results import PollContext
from bridge.providers.selector import Selector
from tests.providers.reading_of import answered, reading_of

A = "https://cdn.example.com/a.mp4"
JOB = {"task": "@", "id": "id", "status": "status", "words": {"running": ["r"], "succeeded": ["ok"]}}


def reading(forms: dict[str, Any], body: Json) -> Reading:
    ask = {"path": "/{id}"}
    own = load_descriptions({"own": {"title": "T", "ask": ask, "forms": forms}})["own"]
    asked = PollContext(task_id="1", action="a/b", base_url="https://own.example.com/x/")
    return read(own, answered(orjson.dumps(body)), asked)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"r": '{"urls": ["u"]}'}, ["u"]),
        ({"r": {"urls": ["u"]}}, ["u"]),  # some aggregators have parsed it already
        ({"r": "no JSON"}, None),
        ({"r": '{"urls": '}, None),
        ({"r": "[" * 5000}, None),
        ({"r": ""}, None),
        ({"r": None}, None),
        ({}, None),
    ],
)
def test_json_inside_a_text_is_read(value: Json, found: Json) -> None:
    assert Selector("from_json(r).urls")(value) == found


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, ReadingKind.RUNNING),
        ({"1": {"state": "ok", "u": A}}, ReadingKind.SUCCEEDED),
        ({"2": {"state": "ok", "u": A}}, ReadingKind.AMBIGUOUS),
        ({"error": "x"}, ReadingKind.AMBIGUOUS),
        ([], ReadingKind.AMBIGUOUS),
    ],
)
def test_an_empty_object_can_be_a_form_of_its_own(body: Json, kind: ReadingKind) -> None:
    forms = {
        "waiting": {
            "task": "@",
            "when": "length(keys(@)) == `0`",
            "status": "'waiting'",
            "words": {"running": ["waiting"]},
            "results": [],
        },
        "done": {
            "task": "merge(values(@)[0], {id: keys(@)[0]})",
            "id": "id",
            "status": "state",
            "words": {"succeeded": ["ok"]},
            "results": [{"url": "u"}],
        },
    }
    assert reading(forms, body).kind is kind


@pytest.mark.parametrize("status", ["length(keys(@)) == `0` && 'r'", "length(keys(@)) == `0` && 'r' || null"])
def test_a_status_that_is_false_is_in_no_form(status: str) -> None:
    forms = {"empty": {"task": "@", "status": status, "words": {"running": ["r"]}, "results": []}}
    assert reading(forms, {}).kind is ReadingKind.RUNNING
    assert reading(forms, {"error": "x"}).kind is ReadingKind.AMBIGUOUS
    assert reading(forms, {"error": "x"}).snapshot is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"status": "r", "position": 0}, ReadingKind.RUNNING),
        ({"status": "r", "position": 0, "id": "1"}, ReadingKind.RUNNING),
        ({"status": "r", "position": 0, "id": "2"}, ReadingKind.AMBIGUOUS),
        ({"status": "r"}, ReadingKind.AMBIGUOUS),
        ({"status": "r", "id": "1"}, ReadingKind.AMBIGUOUS),
    ],
)
def test_a_conditional_form_checks_the_id_only_if_there_is_one(body: Json, kind: ReadingKind) -> None:
    forms = {"job": {**JOB, "when": "type(position) == 'number'", "results": []}}
    assert reading(forms, body).kind is kind


def test_every_success_without_results_causes_a_second_request_without_a_value() -> None:
    ask = {"path": "/{id}", "second": {"path": "/{id}/result"}}
    form = {**JOB, "results": [{"url": "second.u"}]}
    own = load_descriptions({"own": {"title": "T", "ask": ask, "forms": {"job": form}}})["own"]
    asked = PollContext(task_id="1", action=None, base_url="https://own.example.com")

    answers = [answered(orjson.dumps({"id": "1", "status": word})) for word in ("r", "ok", "other")]

    assert [read(own, answer, asked).lacks_result for answer in answers] == [False, True, False]
    assert second_value(own, answers[1], asked) == ""


@pytest.mark.parametrize(
    ("means", "status", "kind"),
    [
        ("running", 200, ReadingKind.RUNNING),
        ("pending", 202, ReadingKind.PENDING),
        ("running", 204, ReadingKind.RUNNING),
        ("running", 500, ReadingKind.TRANSIENT),
        ("not_found", 200, ReadingKind.NOT_FOUND),
        ("not_found", 202, ReadingKind.TRANSIENT),
    ],
)
def test_an_empty_body_means_what_the_description_says(means: str, status: int, kind: ReadingKind) -> None:
    tree = {"title": "T", "ask": {"path": "/{id}"}, "empty_means": means, "forms": {"job": {**JOB, "results": []}}}
    own = load_descriptions({"own": tree})["own"]

    assert read(own, answered(b"", status=status), PollContext("1", None, "https://own.example.com")).kind is kind


def test_files_on_the_own_server_are_named_by_their_items() -> None:
    each = {"each": "files[?name]", "path": "/f/{id}/{name}?t={type}&n={n}&a={action}"}
    forms = {"job": {**JOB, "results": [{"content": {"any": each}}]}}
    files = [
        {"name": "a b/ü&.png", "type": "out", "n": 3},
        {"name": "clip.mp4"},
        {"name": "raw"},
        {"no": "name"},
        "text",
    ]

    seen = reading(forms, {"id": "1", "status": "ok", "files": files}).snapshot

    assert seen is not None
    at = "https://own.example.com/x/f/1"
    assert {kind: [item["url"] for item in items] for kind, items in seen.result.items()} == {
        "images": [f"{at}/a%20b%2F%C3%BC%26.png?t=out&n=3&a=a/b"],
        "videos": [f"{at}/clip.mp4?t=&n=&a=a/b"],
        "files": [f"{at}/raw?t=&n=&a=a/b"],
    }
    assert seen.result["images"][0]["type"] == "out"


def test_files_named_by_a_plain_text_are_found() -> None:
    forms = {"job": {**JOB, "results": [{"content": {"videos": {"each": "g[].id", "path": "/g/{value}/content"}}}]}}

    seen = reading(forms, {"id": "1", "status": "ok", "g": [{"id": "x/1"}, {"id": 2}, {}]}).snapshot
    none = reading(forms, {"id": "1", "status": "ok", "g": []})

    assert seen is not None
    assert seen.urls == ("https://own.example.com/x/g/x%2F1/content", "https://own.example.com/x/g/2/content")
    assert none.lacks_result


@pytest.mark.parametrize("status", [None, "", "waiting"])
def test_a_pollo_task_waits_for_generations_without_a_status(status: Json) -> None:
    generations = [
        {"id": "a", "status": "succeed", "url": "https://cdn.example.com/a.mp4"},
        {"id": "b", "status": status, "url": None},
    ]

    pending = reading_of({"taskId": "1", "generations": generations}, provider="pollo", task_id="1", action=None)

    assert pending.kind is ReadingKind.PENDING
