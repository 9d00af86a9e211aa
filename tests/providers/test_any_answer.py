"""Nothing but a Reading comes out of any bytes, any JSON value, any status; and no end out of what is not one."""

from __future__ import annotations

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.task import Json, Kind, Reading
from tests.providers.reading_of import TASK_ID, reading_of

ENDS = {Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELED}
KEYS = [
    *("code", "message", "data", "error", "detail", "task_id", "task_status", "task_status_msg", "task_info"),
    *("task_result", "created_at", "updated_at", "status", "progress", "fail_reason", "result_url", "url", "url_mp3"),
    *("url_wav", "videos", "images", "audios", "external_task_id", "submit_time", "finish_time"),
]
WORDS = [
    *("succeed", "SUCCESS", "failed", "FAILURE", "processing", "queued", "canceled", "success", "task_not_exist"),
    *(TASK_ID, "30%", "https://cdn.example.com/a.mp4", "javascript:1", "https://[", "http://[::1", ""),
]
scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 200, 1000, 1102, 1203, 1302, 5000, 1_762_000_000, 1_762_000_000_000, 1e308])
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=12,
)
tasks = st.fixed_dictionaries(
    {"task_id": st.just(TASK_ID) | scalars},
    optional={key: values for key in KEYS if key not in {"task_id", "task_status", "status"}}
    | {"task_status": st.sampled_from(WORDS), "status": st.sampled_from(WORDS)},
)
answers = values | tasks | st.builds(lambda code, data: {"code": code, "data": data}, scalars, tasks | st.lists(tasks))
statuses = st.sampled_from([200, 201, 204, 302, 400, 401, 402, 404, 410, 429, 500, 503]) | st.integers(100, 999)


def _sound(reading: Reading) -> None:
    assert type(reading) is Reading
    assert reading.detail.isprintable()
    assert len(reading.detail) <= 500
    if (seen := reading.snapshot) is not None:
        orjson.dumps({kind: list(items) for kind, items in seen.result.items()})
        assert len(set(seen.urls)) == len(seen.urls)
        assert len(seen.message) <= 2000


@given(body=answers, status=statuses)
@settings(max_examples=200, deadline=None)
def test_any_json_gives_a_reading_and_ends_come_from_answers_about_our_task_alone(body: Json, status: int) -> None:
    reading = reading_of(orjson.dumps(body), status=status)

    _sound(reading)
    if reading.kind in ENDS:
        assert 200 <= status < 300
        assert reading.snapshot is not None
        assert reading.snapshot.status.strip()


@given(
    body=st.binary(max_size=300),
    status=statuses,
    headers=st.dictionaries(st.sampled_from(["retry-after", "date", "location"]), st.text()),
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_reading_and_no_end(body: bytes, status: int, headers: dict[str, str]) -> None:
    reading = reading_of(body, status=status, headers=headers)

    _sound(reading)
    assert reading.kind not in ENDS
