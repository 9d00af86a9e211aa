"""Answers that say nothing about the task: a wrong address, an unknown form, a body over the limit."""

from __future__ import annotations

import time

import orjson
import pytest

from bridge.domain.task import Json, ReadingKind
from bridge.providers.catalogue import load_descriptions
from bridge.providers.reading import read
from bridge.providers.results import PollContext
from tests.providers.reading_of import answered, reading_of

ROUTES: list[tuple[int, Json]] = [
    (404, {"error": {"message": "Invalid URL (GET /v1/v1/videos/T)", "type": "invalid_request_error"}}),
    (404, {"message": "Cannot GET /v1/v1/videos/T", "error": "Not Found", "statusCode": 404}),
    (404, {"detail": "Not Found"}),
    (404, {"message": "no Route matched with those values", "request_id": "9"}),
    (404, {"timestamp": "2026-01-01", "status": 404, "error": "Not Found", "path": "/v1/v1/videos/T"}),
    (404, {"status": 404, "error": "Not Found", "message": "No static resource v1/v1/videos/T."}),
    (404, {"message": "Route GET:/v1/v1/videos/T not found", "error": "Not Found", "statusCode": 404}),
    (404, {"error": "no such route"}),
    (404, {"error": {"message": "Unrecognized request URL (GET: /v1/v1/videos/T)"}}),
    (404, {"code": 404, "message": "请求的接口不存在"}),
    (404, {"error": {"code": 404, "message": "Method not found.", "status": "NOT_FOUND"}}),
    (404, {"message": "The requested URL was not found on the server."}),
    (404, "404 page not found"),
    (404, b"404 page not found"),
    (404, b"<html><head><title>404 Not Found</title></head><body><center>nginx</center></body></html>"),
    (404, b"<!DOCTYPE html><pre>Cannot GET /v1/v1/videos/T</pre>"),
    (405, {"detail": "Method Not Allowed"}),
    (405, {"error": {"message": "Invalid method for URL"}}),
    (405, b""),
]


@pytest.mark.parametrize(("status", "body"), ROUTES)
def test_a_404_or_405_about_the_address_says_nothing_about_the_task(status: int, body: Json) -> None:
    for provider in ("openai_video", "kling", "replicate", "ark"):
        reading = reading_of(body, provider=provider, status=status, task_id="T", action=None)

        assert (reading.kind, reading.unread) == (ReadingKind.NO_ROUTE, "unknown_route"), reading


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Video with id 'video_x' not found."}},
        {"error": "Task not found"},
        {"error": {"code": "ResourceNotFound", "message": "The requested resource was not found."}},
        {"title": "Not found", "detail": "The requested resource could not be found."},
        {"error": "Not Found", "message": "task T does not exist", "path": "/v1/videos/T"},
        {"message": "task not found: GET /v1/videos/T"},
        {"detail": "Generation not found"},
        {"code": "task_not_exist"},
        {"error": {"code": 404, "message": "Requested entity was not found."}},
        {"message": "任务不存在"},
        {},
        {"error": "not found"},
        {"error": "Not Found"},
        {"message": "Not Found"},
        {"detail": "Not found."},
        {"code": 404, "msg": "not found"},
        {"code": 404, "msg": "资源不存在"},
        {"error": {"message": "Not Found", "type": "invalid_request_error"}},
        {"statusCode": 404, "message": "Not Found"},
        {"error": "model not found"},
        {"detail": "Resource not found"},
        b"task T not found",
    ],
)
def test_a_404_about_the_task_is_not_found(body: Json) -> None:
    assert reading_of(body, provider="openai_video", status=404, task_id="T").kind is ReadingKind.NOT_FOUND


@pytest.mark.parametrize(
    "text",
    [
        *("任务不存在", "任务不存在或已过期", "未找到该任务", "task_not_exist", "Task not found", "record not found"),
        *("Task 'a-1' not found", "video with id vid_1 was not found", "the job does not exist", "task doesn't exist"),
        *("task id 17 could not be found", "failed to find task", "no such task", "prediction no longer exists"),
    ],
)
def test_a_refusal_that_names_an_unknown_task_is_not_found(text: str) -> None:
    for status, body in (
        (200, {"code": -22, "msg": text, "data": None}),
        (200, {"code": 500, "message": text}),
        (200, {"error": {"message": text, "type": "error"}}),
        (400, {"error": text}),
    ):
        reading = reading_of(body, provider="openai_video", status=status, task_id="T")

        assert (reading.kind, reading.unread) == (ReadingKind.NOT_FOUND, ""), body
        assert reading.snapshot is not None
        assert reading.snapshot.message == text
    assert reading_of({"error": text}, provider="openai_video", status=500, task_id="T").kind is ReadingKind.TRANSIENT


@pytest.mark.parametrize(
    ("provider", "status", "body"),
    [
        ("minimax", 200, {"task_id": "", "base_resp": {"status_code": 2013, "status_msg": "source task not found"}}),
        ("kling", 400, {"code": 1201, "message": "Task not found"}),
        ("kie", 200, {"code": 422, "msg": "The task does not exist"}),
    ],
)
def test_a_code_for_bad_parameters_may_be_about_an_unknown_task(provider: str, status: int, body: Json) -> None:
    assert reading_of(body, provider=provider, status=status, task_id="T").kind is ReadingKind.NOT_FOUND


@pytest.mark.parametrize(
    "text",
    [
        *("video model not found", "the task type does not exist", "image not found in the task", "task failed"),
        *("generation channel not found", "record limit not reached", "task is not finished", "模型不存在", "任务失败"),
    ],
)
def test_a_refusal_about_something_else_is_not_about_an_unknown_task(text: str) -> None:
    for body in ({"code": -1, "msg": text}, {"error": {"message": text}}):
        assert reading_of(body, provider="openai_video", task_id="T").kind is ReadingKind.AMBIGUOUS, body


@pytest.mark.parametrize("text", ["task not found", "too many requests", "insufficient_quota"])
@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("kling", {"code": 77, "message": "?", "data": {"task_id": "T", "task_status": "processing"}}),
        ("kling", {"code": 77, "message": "?", "data": {"task_id": "another", "task_status": "failed"}}),
        ("kling", {"code": 77, "message": "?", "data": [{"id": "another", "status": "queued"}]}),
        ("openai_video", [{"id": "another", "title": "?"}]),
        ("openai_video", [{"uid": "another", "title": "?"}]),
        ("openai_video", {"generationId": "T", "phase": "weird", "description": "?"}),
    ],
)
def test_the_texts_of_an_answer_about_tasks_refuse_nothing(provider: str, body: Json, text: str) -> None:
    told = orjson.dumps(body).replace(b'"?"', orjson.dumps(text))

    assert reading_of(told, provider=provider, task_id="T").kind is ReadingKind.AMBIGUOUS


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("text", ["task" + " " * 996, "task" + "_" * 996, "task id" + "1" * 993, "the job " * 125])
def test_no_text_of_a_refusal_takes_long_to_judge(text: str) -> None:
    began = time.process_time()
    reading = reading_of({"code": -1, "msg": text}, provider="openai_video", task_id="T")

    assert reading.kind is ReadingKind.AMBIGUOUS
    assert time.process_time() - began < 1  # seconds


@pytest.mark.parametrize(
    ("body", "is_vague"),
    [
        ({"detail": "Not Found"}, True),
        ({"timestamp": 1, "status": 404, "error": "Not Found", "path": "/v1/videos/T"}, True),
        (b"Not Found", True),
        (b"", True),
        ({"message": "Not Found"}, True),
        ({"error": "Task not found"}, False),
        ({"message": "Cannot GET /v1/v1/videos/T"}, False),
        (b"<html>404 Not Found</html>", False),
    ],
)
def test_a_404_that_may_concern_the_task_or_the_address_is_marked(body: Json, is_vague: bool) -> None:
    assert reading_of(body, provider="openai_video", status=404, task_id="T").is_vague is is_vague


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (200, {"task": {"state": "ok"}, "ts": 1}, "keys task ts"),
        (200, {"k" * 80: 1}, "keys " + "k" * 58 + "…"),
        (200, [1, 2], "(no keys)"),
        (200, {"code": 77, "message": "odd"}, "code 77"),
        (200, b"<!doctype html><html></html>", "web_page"),
        (302, b"", "redirect"),
        (200, {"id": "another", "status": "succeeded"}, ""),
        (502, b"<html></html>", ""),
        (200, b"", ""),
    ],
)
def test_an_answer_in_an_unknown_form_gets_a_word_for_the_event(status: int, body: Json, word: str) -> None:
    reading = reading_of(body, provider="openai_video", status=status, task_id="T")

    assert reading.unread == word, reading
    assert reading.kind in {ReadingKind.AMBIGUOUS, ReadingKind.TRANSIENT}


@pytest.mark.parametrize("status", [409, 425])
def test_409_and_425_are_transient(status: int) -> None:
    for body in ({"error": {"message": "task is not completed yet"}}, b"", b"<html></html>"):
        assert reading_of(body, provider="openai_video", status=status, task_id="T").kind is ReadingKind.PENDING


def test_unknown_words_and_oversized_bodies_are_reported_as_unreadable() -> None:
    word = reading_of({"id": "T", "status": "moderating " + "x" * 99}, provider="openai_video", task_id="T")
    big = answered(b"x")._replace(complete=False, trouble="body over 1048576 bytes", is_over_cap=True)
    too_large = read(load_descriptions({})["veo"], big, PollContext(task_id="T", action=None, base_url="https://x"))

    assert (word.kind, word.unread[:10], len(word.unread)) == (ReadingKind.AMBIGUOUS, "moderating", 64)
    assert (too_large.kind, too_large.unread) == (ReadingKind.AMBIGUOUS, "too_large")
    assert "providers.veo.most_bytes" in too_large.detail
