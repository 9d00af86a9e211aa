"""The operator's own body templates, and the built-in ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
import yaml
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import field_types
from bridge.config.field_types import FORMATS, SHIPPED_TEMPLATES
from bridge.domain.event import Event, Topic
from bridge.encoding import documented
from bridge.errors import ConfigError
from bridge.sinks.chat_services import ROBOTS
from bridge.sinks.payloads import PAYLOADS
from bridge.sinks.template_payloads import NAMES, SHIPPED, TemplatePayload, shipped, template_values
from bridge.sinks.templates import TemplateFault
from bridge.wiring.checking import check
from tests.config.settings_files import LEAST, resolved
from tests.sinks.samples import ENDED_AT, TASK_ID, URL, every_sample, task_sample

PAGE = (Path(__file__).parents[2] / "docs/payloads.md").read_text()
NOTIFY_HOOK = json.loads((Path(__file__).parents[1] / "data/notify/midjourney_notify_hook.json").read_text())


TRIED = "for the sample of `genbridge test`: "


def given_by(source: str, event: Event | None = None) -> Any:
    """The body that this template makes of an event, as the receiver parses it."""
    with structlog.testing.capture_logs() as logs:
        told = orjson.loads(TemplatePayload(endpoint="hook", source=source)(event or task_sample()))
    assert logs == []
    return told


def test_the_settings_allow_exactly_the_existing_formats() -> None:
    assert {*PAYLOADS, *ROBOTS, "template"} == set(FORMATS)
    assert set(ROBOTS) == set(field_types.ROBOT_NAMES)
    assert set(SHIPPED) == set(SHIPPED_TEMPLATES)
    folder = Path(__file__).parents[2] / "bridge/sinks/templates_shipped"
    assert {path.name for path in folder.iterdir()} == {f"{name}.json.j2" for name in SHIPPED}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('{"id": {{ task_id }}, "order": {{ meta.order }}}', {"id": TASK_ID, "order": 4711}),
        ('{"id": "{{ task_id }}", "order": "{{ meta.order }}"}', {"id": TASK_ID, "order": "4711"}),
        ('{"id": {{ task_id | tojson }}, "all": {{ urls | tojson(indent=2) }}}', {"id": TASK_ID, "all": [URL]}),
        ('{"text": "Task {{ task_id }}: \\"{{ label }}\\""}', {"text": f'Task {TASK_ID}: "trailer, take 3"'}),
        ('{"text": {{ "Task " ~ task_id }}}', {"text": f"Task {TASK_ID}"}),
        ('[{% for url in urls %}"{{ url }}"{% if not loop.last %},{% endif %}{% endfor %}]', [URL]),
        ('{"gone": {{ meta.customer.name }}, "text": "<{{ meta.customer.name }}>"}', {"gone": None, "text": "<>"}),
        ("{{ [meta.gone, urls | map('upper'), reason] }}", [None, [URL.upper()], None]),
        ('{"meta": "{{ meta }}"}', {"meta": '{"order":4711}'}),
        ('["{{ ended_at | rfc3339 }}", {{ ended_at }}]', ["2025-11-01T12:28:45.500Z", 1_762_000_125_500]),
        ('{"at": {{ expires_at | rfc3339 }}}', {"at": None}),
        ("{{ title }}", "🎬 trailer, take 3"),
        ('  {"topic": {{ topic }}, "type": {{ type }}}\n', {"topic": "task_succeeded", "type": "task.succeeded"}),
        ('{"n": {{ 2 ** 3 if false else 123456789012345678901234567890 }}}', {"n": 1.2345678901234568e29}),
    ],
)  # fmt: skip
def test_a_value_fits_into_its_surroundings(source: str, told: object) -> None:
    assert given_by(source) == told


HOSTILE = 'a", "admin": true, "b": "\\ \x00 \u2028 {{ 7 * 7 }} \ud800'


@pytest.mark.parametrize(
    "source", ['{"a": {{ label }}}', '{"a": "{{ label }}"}', '{"a": "x{{ label }}{{ label }}"}', '{"a": {{ meta }}}']
)
def test_no_value_can_end_its_string(source: str) -> None:
    event = task_sample(label=HOSTILE, meta={HOSTILE: HOSTILE})
    told = given_by(source, event)
    assert list(told) == ["a"]
    assert "{{ 7 * 7 }}" in json.dumps(told)


_texts = st.text() | st.sampled_from([HOSTILE, '"', "\\", "\x00", "null", '",'])


@pytest.mark.usefixtures("unmeasured")
@given(label=_texts, meta=st.dictionaries(_texts, st.none() | st.integers() | st.floats() | _texts | st.lists(_texts)))
def test_values_never_change_the_structure_of_the_output(label: str, meta: dict[str, object]) -> None:
    source = '{"a": {{ label }}, "b": "{{ label }} and {{ meta }}", "c": [{{ meta }}, "{{ label }}"], "d": "d"}'
    told = given_by(source, task_sample(label=label, meta=meta))
    assert list(told) == ["a", "b", "c", "d"]
    assert [type(value) for value in told.values()] == [str, str, list, str]
    assert told["d"] == "d"
    if label.isprintable():
        assert told["a"] == told["c"][1] == label


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ taskid }}", 'unknown name "taskid"; did you mean "task_id"?'),
        ("{% set x %}{{ label }}{% endset %}{{ x }}", "line 1: assignblock is not available here"),
        ("{% filter upper %}{{ label }}{% endfilter %}", "line 1: filterblock is not available here"),
        ("{% macro a() %}{% endmacro %}1", "line 1: macro is not available here"),
        ("", TRIED + "does not give JSON: Expecting value"),
        ("done", TRIED + "does not give JSON: Expecting value"),
        ('{"a": 1,}', TRIED + "does not give JSON: "),
        ("[NaN]", TRIED + "does not give JSON: NaN is not a JSON number"),
        ("[" * 100_000, TRIED + "does not give JSON: "),
        (
            '[{% for u in urls %}{{ u }}{{ "," if not loop.last }}{% endfor %}]',
            TRIED + "does not give JSON: Expecting ','",
        ),
        ("{{ meta.order + 1 }}", TRIED + "UndefinedError: "),
        ("{% for i in range(999) %}{% for j in range(99) %}{% endfor %}{% endfor %}", TRIED + "OverflowError: more"),
        ('"' + "x" * 4_200_000 + '"', TRIED + "gives more than 4194304 characters"),
    ],
)  # fmt: skip
def test_a_template_without_json_output_is_refused_when_the_settings_are_read(source: str, why: str) -> None:
    with pytest.raises(TemplateFault, match=f"^{re.escape(why)}"):
        TemplatePayload(endpoint="hook", source=source)


def test_a_body_without_json_is_reported_at_its_place_in_the_settings(tmp_path: Path) -> None:
    text = LEAST + "    format: template\n    body: |\n      {{ task_id }},\n"
    with pytest.raises(ConfigError) as caught:
        check(resolved(tmp_path, text))
    [line] = caught.value.problems
    assert line.startswith(
        f"{tmp_path}/genbridge.yaml:11:11: endpoints.automation.body: {TRIED}does not give JSON: Extra data"
    )


def test_a_failing_template_is_replaced_by_the_documented_body_and_logged_once() -> None:
    payload = TemplatePayload(endpoint="hook", source="{% if task_id %}{{ urls[0] }}{% else %}garbage{% endif %}")
    operator = every_sample()[-1]
    with structlog.testing.capture_logs() as logs:
        assert [payload(operator) for _ in range(3)] == [documented(operator)] * 3
    assert payload(task_sample()) == json.dumps(URL).encode()
    assert [(line["event"], line["endpoint"], line["part"]) for line in logs] == [("template.failed", "hook", "body")]


def test_the_template_in_the_docs_is_valid() -> None:
    [example] = re.findall(r"^```yaml\n(endpoints:\n  tracker:.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    endpoint = yaml.safe_load(example)["endpoints"]["tracker"]
    assert given_by(endpoint["body"]) == {
        "order": 4711,
        "state": "done",
        "text": f"Task {TASK_ID} of kling: ",
        "files": [URL],
        "ended": "2025-11-01T12:28:45.500Z",
    }


def test_the_docs_list_every_name_of_a_template() -> None:
    section = PAGE.partition("### Template")[2].partition("Two templates come along")[0]
    assert {"data", "topic", "type", "occurred_at", "title", "text"} <= set(re.findall(r"`(\w+)`", section))


def test_every_name_has_its_value_for_every_topic() -> None:
    told: set[str] = {"data", "text", "title", "topic", "type", "occurred_at"}
    for event in every_sample():
        assert set(template_values(event)) == set(NAMES)
        told |= set(event.data)
    assert told == set(NAMES)


def test_the_cloudevents_library_reads_every_event() -> None:
    payload = TemplatePayload(endpoint="hook", source=shipped("cloudevents"))
    for event in every_sample():
        read = from_http_event(HTTPMessage({"content-type": SHIPPED["cloudevents"]}, payload(event)))
        assert read.get_specversion() == "1.0"
        assert read.get_id() == event.event_id
        assert read.get_type() == "genbridge." + event.topic.replace("_", ".", 1)
        assert read.get_time() == datetime.fromtimestamp(event.occurred_at, UTC)
        assert read.get_datacontenttype() == "application/json"
        assert read.get_subject() == (event.data.get("task_id") or None)
        assert (
            read.get_source()
            == f"/genbridge/{'accounts/' + event.account if event.account else 'endpoints/' + event.subject}"
        )
        assert read.get_data() == json.loads(documented(event))["data"]
    assert from_http_event(
        HTTPMessage({"content-type": SHIPPED["cloudevents"]}, payload(task_sample()))
    ).get_source() == ("/genbridge/accounts/kling")


def test_the_midjourney_template_gives_a_midjourney_task() -> None:
    payload = TemplatePayload(endpoint="hook", source=shipped("midjourney"))
    told = {event.topic: json.loads(payload(event)) for event in every_sample()}
    own = {"customId", "botType", "maskBase64"}  # of new-api alone
    for topic in list(Topic)[:7]:
        assert told[topic].keys() == NOTIFY_HOOK.keys() - own
    done = told[Topic.TASK_SUCCEEDED]
    assert (done["id"], done["status"], done["progress"], done["videoUrl"]) == (TASK_ID, "SUCCESS", "100%", URL)
    assert (done["failReason"], done["finishTime"]) == (None, ENDED_AT * 1000)
    assert told[Topic.TASK_FAILED]["failReason"] == "The prompt was refused by content moderation"
    assert {told[topic]["status"] for topic in list(Topic)[1:5]} == {"FAILURE"}
    assert (told[Topic.TASK_PROGRESS]["status"], told[Topic.TASK_PROGRESS]["progress"]) == ("IN_PROGRESS", "45%")
    for event in every_sample()[-3:]:
        assert told[event.topic] == json.loads(documented(event))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
_RESULT: Mapping[str, st.SearchStrategy[object]] = {
    kind: st.lists(st.dictionaries(st.sampled_from(["id", "url", "text", "duration"]), _json, max_size=3), max_size=3)
    for kind in ("videos", "images", "texts")
}


@pytest.mark.usefixtures("unmeasured")
@given(result=st.fixed_dictionaries({}, optional=dict(_RESULT)), meta=_json, label=st.none() | st.text())
def test_shipped_templates_never_fail(result: dict[str, object], meta: object, label: str | None) -> None:
    event = task_sample()
    odd = Event(
        event_id=event.event_id,
        topic=event.topic,
        account=event.account,
        subject=event.subject,
        occurred_at=event.occurred_at,
        data={**event.data, "task_result": result, "meta": meta, "label": label},
    )
    for name in SHIPPED:
        assert given_by(shipped(name), odd)["id"] in {TASK_ID, event.event_id}
