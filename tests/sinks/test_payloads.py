"""The documented body, and the page that shows it."""

from __future__ import annotations

import json
import math
import re
from datetime import date
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.event import Event, Topic
from bridge.sinks.payloads import documented
from tests.sinks.samples import every_sample, task_sample

PAGE = (Path(__file__).parents[2] / "docs" / "payloads.md").read_text()
TASK_KEYS = (
    "task_id task_status task_status_msg created_at updated_at task_result urls expires_at reason provider account "
    "action label meta event_id watched_at ended_at"
).split()


def odd_event(data: dict[str, object]) -> Event:
    return Event(event_id="evt_x", topic=Topic.TASK_FAILED, account="a", subject="s", occurred_at=0.0, data=data)


def test_the_body_is_topic_then_data_with_every_key_in_the_documented_order() -> None:
    body = json.loads(documented(task_sample(snapshot=None, label=None, meta={})))
    assert list(body) == ["topic", "data"]
    assert list(body["data"]) == TASK_KEYS
    assert body["data"]["label"] is None
    assert body["data"]["task_result"] == {}


def test_the_page_shows_what_is_sent_for_every_topic() -> None:
    shown = dict(re.findall(r"^### `(\w+)`\n.*?^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    sent = {event.topic.value: documented(event) for event in every_sample()}
    assert list(shown) == [topic.value for topic in Topic] == list(sent)
    for topic, example in shown.items():
        # The same values, and the same keys in the same order.
        assert json.dumps(json.loads(example)) == json.dumps(json.loads(sent[topic])), topic


def test_strange_values_are_told_mended_not_withheld() -> None:
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    data = {"big": 2**70, "cut": "a\ud800b", 7: "key", "day": date(2026, 1, 1), "none": math.nan, "deep": deep}
    told = orjson.loads(documented(odd_event({**data, "set": {1}})))["data"]  # type: ignore[dict-item]
    assert told | {"deep": 0} == {
        "big": float(2**70),
        "cut": "a\ufffdb",
        "7": "key",
        "day": "2026-01-01",
        "none": None,
        "deep": 0,
        "set": [1],
    }


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), _values))
def test_every_event_gives_valid_json(data: dict[str, object]) -> None:
    told = orjson.loads(documented(odd_event(data)))
    assert told["topic"] == "task_failed"
    assert len(told["data"]) <= len(data)
