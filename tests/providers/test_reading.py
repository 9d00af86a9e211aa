"""What answers mean, beyond the recorded ones: codes, statuses, envelopes, ids, words."""

from __future__ import annotations

import sys

import orjson
import pytest

from bridge.domain.task import Json, ReadingKind
from bridge.net.client import Unanswered
from bridge.net.failure_kinds import Failure
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.reading import read
from bridge.providers.results import PollContext
from tests.providers.reading_of import TASK_ID, answered, kling, newapi, reading_of, videos

VIDEO = "https://cdn.example.com/v.mp4"
ERROR = {"error": {"message": "no", "type": "new_api_error", "code": ""}}
HTML = b"<html>502 Bad Gateway</html>"


@pytest.mark.parametrize("code", [0, 200, 0.0, "0", " 200 ", "success", " Success ", None])
def test_with_a_success_code_the_status_of_the_task_decides(code: Json) -> None:
    assert reading_of(kling("processing", code=code)).kind is ReadingKind.RUNNING


@pytest.mark.parametrize("code", [7, 1999, -1, 1.5, True, False, "fail", "1999", "0.5", "", [0], {"a": 1}])
def test_an_unknown_code_is_ambiguous_on_2xx_otherwise_the_status_decides(code: Json) -> None:
    body = {**videos(VIDEO), "code": code}

    assert reading_of(body).kind is ReadingKind.AMBIGUOUS
    assert reading_of(body, status=500).kind is ReadingKind.TRANSIENT
    assert reading_of(body, status=404).kind is ReadingKind.NOT_FOUND


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1000, ReadingKind.AUTH_ERROR),
        (1101, ReadingKind.ACCOUNT_ERROR),
        (1304, ReadingKind.ACCOUNT_ERROR),
        ("1304", ReadingKind.ACCOUNT_ERROR),
        (" 1203 ", ReadingKind.NOT_FOUND),
        (1302, ReadingKind.RATE_LIMITED),
        (1202, ReadingKind.BAD_REQUEST),
        (1203, ReadingKind.NOT_FOUND),
        (5002, ReadingKind.TRANSIENT),
        ("task_not_exist", ReadingKind.NOT_FOUND),
    ],
)
def test_a_known_code_counts_whatever_the_http_status(code: Json, kind: ReadingKind, status: int) -> None:
    assert reading_of({"code": code, "message": "so it is"}, status=status).kind is kind


@pytest.mark.parametrize(
    ("status", "as_json", "as_empty", "as_html"),
    [
        (200, ReadingKind.AMBIGUOUS, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT),
        (204, ReadingKind.AMBIGUOUS, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT),
        (302, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT),
        (400, ReadingKind.BAD_REQUEST, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT),
        (401, ReadingKind.AUTH_ERROR, ReadingKind.AUTH_ERROR, ReadingKind.AUTH_ERROR),
        (402, ReadingKind.ACCOUNT_ERROR, ReadingKind.ACCOUNT_ERROR, ReadingKind.TRANSIENT),
        (403, ReadingKind.ACCOUNT_ERROR, ReadingKind.ACCOUNT_ERROR, ReadingKind.TRANSIENT),
        (404, ReadingKind.NOT_FOUND, ReadingKind.TRANSIENT, ReadingKind.NO_ROUTE),
        (405, ReadingKind.NO_ROUTE, ReadingKind.NO_ROUTE, ReadingKind.NO_ROUTE),
        (408, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT),
        (409, ReadingKind.PENDING, ReadingKind.PENDING, ReadingKind.PENDING),
        (418, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT),
        (422, ReadingKind.BAD_REQUEST, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT),
        (425, ReadingKind.PENDING, ReadingKind.PENDING, ReadingKind.PENDING),
        (429, ReadingKind.RATE_LIMITED, ReadingKind.RATE_LIMITED, ReadingKind.RATE_LIMITED),
        (500, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT),
        (503, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT, ReadingKind.TRANSIENT),
    ],
)
def test_without_a_code_http_status_and_body_type_decide(
    status: int, as_json: ReadingKind, as_empty: ReadingKind, as_html: ReadingKind
) -> None:
    readings = [reading_of(body, status=status) for body in (ERROR, b"  ", HTML)]

    assert [reading.kind for reading in readings] == [as_json, as_empty, as_html]
    assert {reading.server_trouble for reading in readings} == {status >= 500}


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_task_in_the_body_of_an_error_status_does_not_finish(status: int) -> None:
    assert reading_of(videos(VIDEO), status=status).kind not in {
        ReadingKind.SUCCEEDED,
        ReadingKind.FAILED,
        ReadingKind.CANCELED,
    }


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_date_is_relative_to_the_answers_own_date(status: int) -> None:
    headers = {"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}

    assert reading_of(HTML, status=status, headers=headers).retry_after_s == 30
    assert reading_of(HTML, status=status, headers={"retry-after": "-5"}).retry_after_s is None


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.example.net/sso?token=abc", "https://login.example.net"),
        ("http://me:word@login.example.net:8080/sso", "http://login.example.net:8080"),
        ("//login.example.net/sso", "login.example.net"),
        ("/login?token=abc", "another path"),
        ("https://[", "an invalid address"),
    ],
)
def test_a_redirect_names_its_origin_and_nothing_more(location: str, shown: str) -> None:
    reading = reading_of(b"", status=302, headers={"location": location})

    assert reading.detail == f"HTTP 302: redirected to {shown}; redirects are not followed"


WRONG_PAGE = "instead of an answer; it may be a login page, or base_url is wrong"
TITLED = b"<html><head><title>\n Scheduled\n maintenance</title></head></html>"


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (503, TITLED, 'a web page with the title "Scheduled maintenance"'),
        (500, b"<html>", "a web page"),
        (502, b"<title>502 Bad Gateway</title>", ""),
        (
            403,
            TITLED,
            f'a web page with the title "Scheduled maintenance" {WRONG_PAGE}',
        ),
        (
            404,
            b"<title>404 Not Found</title>",
            f"a web page {WRONG_PAGE}",
        ),
    ],
)
def test_a_web_page_is_described_by_its_title(status: int, body: bytes, detail: str) -> None:
    assert reading_of(body, status=status).detail == (f"HTTP {status}: {detail}" if detail else f"HTTP {status}")


def test_an_answer_without_location_names_no_path() -> None:
    reading = reading_of(b"", status=304)

    assert reading.detail == "HTTP 304: a redirect without a Location; redirects are not followed"


@pytest.mark.parametrize("location", ["", "/login", "https://[", "//\x00"])
def test_a_redirect_to_anywhere_is_a_reading(location: str) -> None:
    assert reading_of(b"", status=301, headers={"location": location}).kind is ReadingKind.TRANSIENT


BROKEN = {
    "cut": b'{"code":0,"data":{"task_id"',
    "BOM": b'\xef\xbb\xbf{"code":0}',
    "bad UTF-8": b'{"code":0,"message":"\xff"}',
    "depth": b"[" * 100_000 + b"]" * 100_000,
    "huge number": b'{"code":' + b"9" * 5000 + b"}",
    "UTF-16": "{}".encode("utf-16"),
    "NUL": b"\x00",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_broken_json_is_transient(body: bytes) -> None:
    assert reading_of(body).kind is ReadingKind.TRANSIENT


@pytest.mark.parametrize("value", [b"NaN", b"-Infinity", b"[Infinity]", b'"cut \\ud83d"'])
def test_what_only_lenient_parsers_read_does_not_hide_a_result(value: bytes) -> None:
    body = orjson.dumps({**videos(VIDEO), "is_changed": 1}).replace(b'"is_changed":1', b'"is_changed":' + value)

    assert reading_of(body).kind is ReadingKind.SUCCEEDED


@pytest.mark.parametrize("body", [b"null", b"[]", b'"succeed"', b"3", b"true"])
def test_json_that_is_no_object_is_ambiguous(body: bytes) -> None:
    assert reading_of(body).kind is ReadingKind.AMBIGUOUS


@pytest.mark.parametrize("body", [videos(VIDEO), kling("failed"), newapi("FAILURE")])
def test_an_answer_with_a_repeated_key_finishes_no_task(body: Json) -> None:
    raw = orjson.dumps(body).replace(b'"task_id"', b'"task_id":"other","task_id"')

    assert reading_of(raw).kind is ReadingKind.AMBIGUOUS
    assert reading_of(orjson.dumps(body)).kind is not ReadingKind.AMBIGUOUS


@pytest.mark.parametrize("levels", [70, 500, 1015])
def test_a_finished_answer_nested_too_deeply_to_be_stored_is_ambiguous(levels: int) -> None:
    deep = b"[" * levels + b"]" * levels
    raw = orjson.dumps(videos(VIDEO)).replace(b'"id":"0"', b'"id":' + deep)

    assert reading_of(raw).kind is ReadingKind.AMBIGUOUS


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="json reads every depth there that orjson reads")
def test_deep_nesting_next_to_the_task_is_ambiguous_too() -> None:
    raw = orjson.dumps(videos(VIDEO)).replace(b'"message":"SUCCEED"', b'"message":' + b"[" * 1015 + b"]" * 1015)

    reading = reading_of(raw)

    assert (reading.kind, reading.detail) == (ReadingKind.AMBIGUOUS, '"succeed", but the answer is nested too deeply')


def test_a_missing_answer_is_transient_and_a_server_failure() -> None:
    gone = Unanswered(kind=Failure.DNS, reason="the name of x does not resolve")
    reading = read(BUILT_IN["kling"], gone, PollContext(task_id=TASK_ID, action=None, base_url=""))

    assert (reading.kind, reading.detail, reading.server_trouble) == (ReadingKind.TRANSIENT, gone.reason, True)


@pytest.mark.parametrize(
    ("status", "is_over_cap", "kind"),
    [
        (200, False, ReadingKind.TRANSIENT),
        (200, True, ReadingKind.AMBIGUOUS),
        (401, False, ReadingKind.TRANSIENT),
        (429, False, ReadingKind.RATE_LIMITED),
        (500, True, ReadingKind.AMBIGUOUS),
    ],
)
def test_a_truncated_answer_finishes_nothing(status: int, is_over_cap: bool, kind: ReadingKind) -> None:
    whole = answered(orjson.dumps(videos(VIDEO)), status=status, headers={"retry-after": "9"})
    part = whole._replace(complete=False, trouble="cut", is_over_cap=is_over_cap)
    reading = read(BUILT_IN["kling"], part, PollContext(task_id=TASK_ID, action=None, base_url=""))

    assert reading.kind is kind
    assert reading.retry_after_s == (None if is_over_cap else 9)


@pytest.mark.parametrize("word", ["succeed", " SUCCEED\n", "Succeeded"])
def test_words_are_compared_trimmed_and_without_case(word: str) -> None:
    assert (
        reading_of({**videos(VIDEO), "data": {**videos(VIDEO)["data"], "task_status": word}}).kind
        is ReadingKind.SUCCEEDED
    )


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("NOT_START", ReadingKind.PENDING),
        ("queued", ReadingKind.PENDING),
        ("in_progress", ReadingKind.RUNNING),
        ("processing", ReadingKind.RUNNING),
        ("completed", ReadingKind.SUCCEEDED),
        ("succeeded", ReadingKind.SUCCEEDED),
        ("failed", ReadingKind.FAILED),
        ("cancelled", ReadingKind.CANCELED),
        ("In-Progress", ReadingKind.RUNNING),
        ("in progress", ReadingKind.RUNNING),
        ("InQueue", ReadingKind.PENDING),
        ("Finished", ReadingKind.SUCCEEDED),
        ("DONE", ReadingKind.SUCCEEDED),
        ("Error", ReadingKind.FAILED),
        ("UNKNOWN", ReadingKind.AMBIGUOUS),
        ("Task not found", ReadingKind.AMBIGUOUS),
        ("done-ish", ReadingKind.AMBIGUOUS),
    ],
)
def test_status_words_of_both_manuals_are_known_with_or_without_envelope(word: str, kind: ReadingKind) -> None:
    task = {"task_id": TASK_ID, "status": word, "url": VIDEO, "format": "mp4", "error": None, "metadata": None}

    for body in ({"code": "success", "data": task}, {"code": 0, "data": task}, task):
        assert reading_of(body).kind is kind


@pytest.mark.parametrize(("word", "shown"), [("x" * 99, "x" * 63 + "…"), ("a\x1b[31m\nb", "a\\x1b[31m b"), ("", "")])
def test_an_unknown_status_word_is_shown_short_and_escaped(word: str, shown: str) -> None:
    reading = reading_of(kling(word))

    assert reading.kind is ReadingKind.AMBIGUOUS
    assert reading.detail == f'unknown status "{shown}"'
    assert reading.snapshot is not None


@pytest.mark.parametrize("word", [1, True, ["succeed"], {"a": "succeed"}])
def test_a_status_that_is_not_text_is_ambiguous(word: Json) -> None:
    body = kling()
    body["data"]["task_status"] = word

    assert reading_of(body).kind is ReadingKind.AMBIGUOUS


@pytest.mark.parametrize("make", [videos(VIDEO), kling("failed"), newapi("FAILURE"), newapi("IN_PROGRESS")])
def test_an_answer_about_another_task_is_refused(make: Json) -> None:
    reading = reading_of(make, task_id="mine")

    assert (reading.kind, reading.snapshot) == (ReadingKind.AMBIGUOUS, None)
    assert reading.detail.startswith("the answer is about another task")


def test_a_task_can_be_polled_by_the_callers_own_id() -> None:
    body = kling("failed", task_info={"external_task_id": "order-1001"})

    assert reading_of(body, task_id="order-1001").kind is ReadingKind.FAILED
    assert reading_of({"code": 0, "data": [body["data"]]}, task_id="order-1001").kind is ReadingKind.FAILED


def test_an_id_that_an_aggregator_turned_into_a_number_still_matches() -> None:
    body = kling("failed")
    body["data"]["task_id"] = int(TASK_ID)

    assert reading_of(body).kind is ReadingKind.FAILED


@pytest.mark.parametrize("task_id", [{}, [], False, 0.5, float(TASK_ID)])
def test_an_id_of_a_wrong_type_does_not_match(task_id: Json) -> None:
    body = videos(VIDEO)
    body["data"]["task_id"] = task_id

    assert reading_of(body).kind is ReadingKind.AMBIGUOUS


def test_in_a_list_only_our_own_item_counts() -> None:
    other, mine = {"task_id": "x", "task_status": "failed"}, {"task_id": TASK_ID, "task_status": "processing"}

    assert reading_of({"code": 0, "data": [other, 3, mine]}).kind is ReadingKind.RUNNING
    assert reading_of({"code": 0, "data": [other]}).kind is ReadingKind.AMBIGUOUS
    assert reading_of({"code": 0, "data": []}).kind is ReadingKind.AMBIGUOUS


@pytest.mark.parametrize(
    "body",
    [
        {"code": "success", "message": "", "data": None},
        {"code": 0},
        {"status": "failed", "message": "gateway trouble"},
        {"task_status": "failed"},
        {"status": 404, "error": "Not Found", "path": "/kling"},
        ERROR,
        {},
    ],
)
def test_a_2xx_without_a_task_is_ambiguous(body: Json) -> None:
    assert reading_of(body).kind is ReadingKind.AMBIGUOUS


def test_the_providers_status_is_translated() -> None:
    seen = reading_of(
        newapi("FAILURE", fail_reason=" a\nb ", progress="40%", submit_time=1762000000, updated_at="1762000090")
    ).snapshot

    assert seen is not None
    assert (seen.status, seen.message, seen.progress) == ("FAILURE", "a\nb", 40.0)
    assert (seen.created_ms, seen.updated_ms) == (1_762_000_000_000, 1_762_000_090_000)


def test_a_long_message_is_cut() -> None:
    reading = reading_of(kling("failed", task_status_msg="x" * 5000))

    assert reading.snapshot is not None
    assert len(reading.snapshot.message) == 2000
    assert len(reading.detail) == 400


def test_results_live_thirty_days_from_the_creation_of_the_task() -> None:
    body = videos(VIDEO)
    body["data"] |= {"created_at": 1_762_000_000_000, "updated_at": 1_762_000_060_000}
    seen = reading_of(body).snapshot

    assert seen is not None
    assert seen.expires_ms == 1_762_000_000_000 + 30 * 86_400_000
