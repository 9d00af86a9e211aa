"""The times in an answer: their time zone, and times in the future."""

from __future__ import annotations

import math

import orjson
import pytest

from bridge.providers.catalogue import load_descriptions
from bridge.providers.reading import read
from bridge.providers.results import PollContext
from tests.providers.reading_of import TASK_ID, answered, newapi
from tests.providers.recorded import DATA

A = "https://cdn.example.com/a.mp4"


def test_a_time_without_a_zone_is_in_the_zone_of_the_description() -> None:
    tree = {
        "title": "t",
        "ask": {"path": "/{id}"},
        "times": {"zone": "Asia/Shanghai"},
        "result_life": {"lasts": "24h"},
        "forms": {
            "job": {
                "task": "@",
                "id": "id",
                "status": "status",
                "words": {"succeeded": ["done"]},
                "updated": "end_time",
                "results": [{"videos": "url"}],
            }
        },
    }
    body = b'{"id":"T","status":"done","url":"https://cdn.example.com/a.mp4","end_time":"2025-02-21 17:56:42.530"}'
    asked = PollContext(task_id="T", action=None, base_url="https://x")
    beijing = read(load_descriptions({"own": tree})["own"], answered(body), asked).snapshot
    utc = read(load_descriptions({"own": {**tree, "times": {}}})["own"], answered(body), asked).snapshot

    assert beijing is not None
    assert utc is not None
    assert beijing.updated_ms == 1_740_131_802_530  # 09:56:42.530 UTC
    assert utc.updated_ms == beijing.updated_ms + 8 * 3_600_000


def test_an_instant_ahead_of_our_clock_is_not_believed() -> None:
    body = newapi(result_url=A, created_at=1_762_000_000, finish_time=1_762_028_800)
    for now, finished in ((1_762_000_100.0, None), (1_762_028_700.0, 1_762_028_800_000)):
        asked = PollContext(task_id=TASK_ID, action=None, base_url="https://x", now=now)
        seen = read(load_descriptions({})["newapi"], answered(orjson.dumps(body)), asked).snapshot

        assert seen is not None
        assert (seen.created_ms, seen.updated_ms) == (1_762_000_000_000, finished)


@pytest.mark.parametrize(("now", "expires_ms"), [(1_762_000_000.5, 1_762_000_300_500), (math.inf, None)])
def test_results_of_tripo_expire_five_minutes_after_the_poll(now: float, expires_ms: int | None) -> None:
    body = (DATA / "tripo/success.json").read_bytes()
    asked = PollContext(task_id="ef731ad6-aeb0-4950-9a2e-2298359dfaf8", action=None, base_url="https://x", now=now)
    seen = read(load_descriptions({})["tripo"], answered(body), asked).snapshot
    assert seen is not None
    assert seen.expires_ms == expires_ms


@pytest.mark.parametrize(
    ("created", "updated"),
    [
        ("created_at", "finished_at"),
        ("created", "completed"),
        ("createdAt", "completedAt"),
        ("createTime", "updated_at"),
    ],
)
def test_the_times_of_a_task_are_found_under_the_names_of_resellers(created: str, updated: str) -> None:
    body = {"task_id": TASK_ID, "status": "running", created: 1_762_000_000, updated: "2025-11-01T12:27:00Z"}
    asked = PollContext(task_id=TASK_ID, action=None, base_url="https://x")
    for name in ("newapi", "unified_v2"):
        seen = read(load_descriptions({})[name], answered(orjson.dumps(body)), asked).snapshot

        assert seen is not None
        assert (seen.created_ms, seen.updated_ms) == (1_762_000_000_000, 1_762_000_020_000)


def test_a_small_number_is_no_time() -> None:
    body = {"task_id": TASK_ID, "status": "running", "created": 3, "completed": True, "updated_at": 12.5}
    asked = PollContext(task_id=TASK_ID, action=None, base_url="https://x")
    seen = read(load_descriptions({})["newapi"], answered(orjson.dumps(body)), asked).snapshot

    assert seen is not None
    assert (seen.created_ms, seen.updated_ms) == (None, None)
