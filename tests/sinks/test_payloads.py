"""Every format fits its protocol and the page that documents it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicate.prediction import Prediction

from bridge.control.formats import rfc3339
from bridge.domain.event import OPERATOR_TOPICS, Event, Topic
from bridge.domain.task import Json, Snapshot
from bridge.encoding import documented, rfc3339_of_ms
from bridge.sinks.payloads import PAYLOADS, Payload, kling, newapi, replicate, standard
from bridge.sinks.template_payloads import SHIPPED, TemplatePayload, shipped
from tests.providers.reading_of import reading_of
from tests.sinks.samples import FAILED, TASK_ID, URL, every_sample, task_sample

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
PAGE = (ROOT / "docs" / "payloads.md").read_text()
TASK_KEYS = (
    "task_id task_status task_status_msg created_at updated_at task_result urls expires_at reason provider account "
    "action label meta event_id watched_at ended_at result_missing error_code archive"
).split()


def task_samples() -> list[Event]:
    return [event for event in every_sample() if event.topic not in OPERATOR_TOPICS]


def odd_event(data: dict[str, object]) -> Event:
    return Event(event_id="evt_x", topic=Topic.TASK_FAILED, account="a", subject="s", occurred_at=0.0, data=data)


def test_the_body_has_topic_then_data_in_the_documented_order() -> None:
    body = json.loads(documented(task_sample(snapshot=None, label=None, meta={})))
    assert list(body) == ["topic", "data"]
    assert list(body["data"]) == TASK_KEYS
    assert body["data"]["label"] is None
    assert body["data"]["task_result"] == {}


def test_the_docs_show_the_payload_of_every_topic() -> None:
    shown = dict(re.findall(r"^### `(\w+)`\n.*?^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    sent = {event.topic.value: documented(event) for event in every_sample()}
    assert list(shown) == [topic.value for topic in Topic] == list(sent)
    for topic, example in shown.items():
        # The same values, and the same keys in the same order.
        assert json.dumps(json.loads(example)) == json.dumps(json.loads(sent[topic])), topic


def test_the_docs_show_a_payload_of_every_other_format() -> None:
    events = {event.topic.value: event for event in every_sample()}
    shown = re.findall(r"^#### `(\w+)`: `(\w+)`\n.*?^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert {form for form, _, _ in shown} == {*PAYLOADS, *SHIPPED} - {"documented"}
    for form, topic, example in shown:
        sent = payload_of(form)(events[topic])
        assert json.dumps(json.loads(example)) == json.dumps(json.loads(sent)), (form, topic)


def test_the_docs_list_the_status_word_of_every_format() -> None:
    head, table = re.findall(r"^\| (topic \| .*) \|\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)[0]
    rows = [row.strip("| ") for row in table.splitlines()]
    forms = [cell.strip("` ") for cell in head.split("|")][1:]
    for row, event in zip(rows, every_sample(), strict=True):
        topic, *words = [cell.strip("` ") for cell in row.split("|")]
        assert topic == event.topic.value
        for form, word in zip(forms, words, strict=True):
            told = json.loads(payload_of(form)(event))
            key = next(key for key in ("task_status", "status", "type", "topic") if key in told)
            assert word in {told[key], "as documented" if key == "topic" else None}, (form, topic)


def payload_of(form: str) -> Payload:
    return PAYLOADS[form] if form in PAYLOADS else TemplatePayload(endpoint="hook", source=shipped(form))


def test_the_kling_format_is_klings_own_callback() -> None:
    callback = json.loads((DATA / "kling" / "callback_legacy.json").read_text())
    told = json.loads(kling(task_sample()))
    unknown = {"final_unit_deduction"}
    assert list(told) == [key for key in callback if key not in unknown]
    assert list(told["task_info"]) == list(callback["task_info"])
    assert list(told["task_result"]) == list(callback["task_result"])
    assert list(told["task_result"]["videos"][0]) == list(callback["task_result"]["videos"][0])
    assert told["task_info"]["external_task_id"] == "trailer, take 3"


def test_the_kling_format_has_only_words_and_nulls_that_kling_sends() -> None:
    for event in task_samples():
        told = json.loads(kling(event))
        assert told["task_status"] in {"submitted", "processing", "succeed", "failed"}
        assert None not in told.values()
        assert isinstance(told["created_at"], int)
        assert isinstance(told["updated_at"], int)
        if told["task_status"] == "failed":
            assert told["task_status_msg"]


def test_our_reason_comes_first_only_for_states_that_we_decide() -> None:
    said = FAILED._replace(message="theirs")
    for topic in (Topic.TASK_FAILED, Topic.TASK_SUCCEEDED):
        assert json.loads(kling(task_sample(topic, said, reason="ours")))["task_status_msg"] == "theirs"
    assert json.loads(kling(task_sample(Topic.TASK_TIMED_OUT, said, reason="ours")))["task_status_msg"] == "ours"
    silent = task_sample(Topic.TASK_TIMED_OUT, None)
    assert json.loads(kling(silent))["task_status_msg"] == json.loads(replicate(silent))["error"] == "timed_out"


def test_replicates_client_reads_every_prediction() -> None:
    recorded = json.loads((DATA / "notify" / "replicate_webhook.json").read_text())
    for event in task_samples():
        told = json.loads(replicate(event))
        assert told.keys() == recorded.keys() - {"webhook", "webhook_events_filter"}
        prediction = Prediction(**told)
        assert prediction.id == TASK_ID
        assert prediction.status in {"processing", "succeeded", "failed", "canceled"}
        assert bool(prediction.error) == (prediction.status == "failed")
        assert (prediction.completed_at is None) == (prediction.status == "processing")
        assert prediction.output == ([URL] if prediction.status == "succeeded" else None)
    progress = Prediction(**json.loads(replicate(task_samples()[-1]))).progress
    assert progress is not None
    assert progress.percentage == 0.45


def test_the_replicate_format_matches_replicates_own_webhooks() -> None:
    recorded = json.loads((DATA / "notify" / "replicate_webhook.json").read_text())
    reading = reading_of(recorded, provider="replicate", task_id=recorded["id"], action=None)
    told = json.loads(replicate(task_sample(snapshot=reading.snapshot, task_id=recorded["id"])))

    own = {"output": [recorded["output"]], "completed_at": told["completed_at"]}
    assert told == {name: own.get(name, recorded[name]) for name in told}
    prediction = Prediction(**told)
    assert (prediction.input, prediction.metrics) == (recorded["input"], recorded["metrics"])


def test_kept_fields_are_sent_if_replicates_clients_can_read_them() -> None:
    odd: dict[str, Json] = {"model": 7, "version": None, "input": "a fox", "metrics": [], "logs": " 40%|##"}
    odd["urls"] = {"get": URL, "n": 1}
    told = json.loads(replicate(task_sample(snapshot=FAILED._replace(kept=odd))))

    assert (told["model"], told["version"]) == ("kling/videos/text2video", "hidden")
    assert (told["input"], told["metrics"], told["urls"], told["logs"]) == ({}, {}, {"get": URL}, " 40%|##")
    Prediction(**told)


def test_texts_become_output_and_a_missing_result_is_marked_as_removed() -> None:
    lyrics = Snapshot(result={"texts": [{"text": "La la"}, {"id": "no text"}]})
    assert json.loads(replicate(task_sample(snapshot=lyrics)))["output"] == ["La la"]
    gone = json.loads(replicate(task_sample(snapshot=Snapshot(result_missing=True), reason="already deleted")))
    assert (gone["status"], gone["output"], gone["data_removed"]) == ("succeeded", None, True)
    assert gone["logs"] == "already deleted"


@pytest.mark.parametrize("fraction", ["0004", "0006", "0015"])
def test_an_instant_is_rounded_the_same_way_everywhere(fraction: str) -> None:
    at = float(f"1762000125.{fraction}")
    event = replace(task_sample(), occurred_at=at)
    assert json.loads(standard(event))["timestamp"] == rfc3339_of_ms(round(at * 1000)) == rfc3339(at)


def test_standard_types_have_a_dot_and_the_instant_is_the_events() -> None:
    for event in every_sample():
        told = json.loads(standard(event))
        assert list(told) == ["type", "timestamp", "data"]
        assert re.fullmatch(r"(task|account|endpoint|unknown)\.[a-z_]+", told["type"])
        assert datetime.fromisoformat(told["timestamp"]).timestamp() == event.occurred_at
        assert told["data"] == json.loads(documented(event))["data"]
    assert json.loads(standard(every_sample()[4]))["type"] == "task.timed_out"


def test_the_newapi_format_is_new_apis_own_notification() -> None:
    recorded = json.loads((DATA / "notify" / "newapi_notify.json").read_text())
    for event in every_sample():
        told = json.loads(newapi(event))
        assert list(told) == list(recorded)
        assert {key: type(value) for key, value in told.items()} == {key: type(recorded[key]) for key in recorded}
        assert told["title"]
        assert told["content"]
        assert told["values"][0] == (event.subject or event.account)
        for url in told["values"][1:] if event.topic is not Topic.TASK_ARCHIVED else ():
            assert url in told["content"]


def test_operator_topics_use_the_documented_format_in_task_only_protocols() -> None:
    operators = every_sample()[-3:]
    for event in operators:
        assert kling(event) == replicate(event) == documented(event)


def test_invalid_values_are_repaired_and_sent() -> None:
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


_kinds = st.sampled_from(["videos", "images", "audios", "texts", "files"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@pytest.mark.usefixtures("unmeasured")
@given(
    topic=st.sampled_from(list(Topic)),
    data=st.dictionaries(st.sampled_from([*TASK_KEYS, "progress"]), _values | st.dictionaries(_kinds, _values)),
    occurred_at=st.floats(allow_nan=False, allow_infinity=False),
)
def test_no_event_makes_a_format_fail(topic: Topic, data: dict[str, object], occurred_at: float) -> None:
    event = Event(event_id="evt_x", topic=topic, account="a", subject="s", occurred_at=occurred_at, data=data)
    for payload in PAYLOADS.values():
        assert orjson.loads(payload(event))


@pytest.mark.usefixtures("unmeasured")
@given(st.dictionaries(st.text(), _values))
def test_every_event_gives_valid_json(data: dict[str, object]) -> None:
    told = orjson.loads(documented(odd_event(data)))
    assert told["topic"] == "task_failed"
    assert len(told["data"]) <= len(data)
