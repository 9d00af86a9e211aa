"""What people read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.event import Event, Topic
from bridge.domain.task import Snapshot
from bridge.errors import ConfigError
from bridge.sinks.payloads import newapi
from bridge.sinks.templates import MOST_OUTPUT, TemplateFault, TextTemplate
from bridge.sinks.texts import (
    DEFAULT_BODY,
    DEFAULT_TITLE,
    MOST_BODY,
    MOST_TITLE,
    NAMES,
    OUTCOMES,
    ChatTexts,
    check_template,
    human_duration,
    human_instant,
    template_values,
)
from tests.sinks.samples import FAILED, SUCCEEDED, URL, every_sample, task_sample
from tests.stopwatch import within_cpu_s

PLAIN = ChatTexts(endpoint="chat", title=None, body=None)


def test_a_success_names_the_task_its_duration_and_its_results_one_a_line() -> None:
    title, body = PLAIN.write(task_sample())
    assert title == "trailer, take 3: succeeded"
    assert body.splitlines() == [
        URL,
        "Task CjgHs2a8AAAAAAAAEx0sKQ of account kling (videos/text2video): succeeded after 2 min 6 s.",
    ]


def test_a_failure_says_why_once() -> None:
    event = task_sample(Topic.TASK_FAILED, FAILED, reason=FAILED.message, label=None)
    title, body = PLAIN.write(event)
    assert title == "CjgHs2a8AAAAAAAAEx0sKQ: failed"
    assert body.splitlines()[:-1] == ["Reason: The prompt was refused by content moderation"]


def test_a_message_that_differs_from_the_reason_is_shown_too() -> None:
    _, body = PLAIN.write(task_sample(Topic.TASK_FAILED, FAILED, reason="code 1301"))
    assert body.splitlines()[:-1] == ["Reason: code 1301", "Message: The prompt was refused by content moderation"]


def test_results_that_expire_say_when() -> None:
    _, body = PLAIN.write(task_sample(snapshot=SUCCEEDED._replace(expires_ms=1_762_003_600_000)))
    assert body.endswith("\nFetch it before 2025-11-01 13:26 UTC.")


def test_text_results_are_shown_line_by_line_and_harmless() -> None:
    song = {"text": "[Verse]\nla *la*\n\n# no heading\n", "title": "Song"}
    seen = Snapshot(status="SUCCESS", result={"texts": [song, {"text": "  "}, {"text": 3}, {"text": "w" * 5000}]})
    event = task_sample(Topic.TASK_SUCCEEDED, seen)

    body = PLAIN.write(event)[1]

    assert body.splitlines()[:-1] == ["(Verse)", "la \u2217la\u2217", "", "\u200b# no heading", "w" * 1499 + "…"]
    assert json.loads(newapi(event))["content"] == body
    assert template_values(task_sample(Topic.TASK_FAILED, FAILED))["texts"] == []


def test_operator_topics_say_what_stopped_and_what_to_do() -> None:
    titles = {event.topic: PLAIN.write(event) for event in every_sample()}
    assert titles[Topic.ACCOUNT_BLOCKED][0] == "account kling: blocked"
    assert "HTTP 401" in titles[Topic.ACCOUNT_BLOCKED][1]
    assert "Check its key" in titles[Topic.ACCOUNT_BLOCKED][1]
    assert titles[Topic.ACCOUNT_RESTORED][0] == "account kling: restored"
    assert titles[Topic.ENDPOINT_DISABLED][0] == "endpoint automation: disabled"
    assert "genbridge enable" in titles[Topic.ENDPOINT_DISABLED][1]
    assert titles[Topic.TASK_PROGRESS][0] == "trailer, take 3: 45 %"


def test_every_topic_has_its_word_and_every_name_its_value() -> None:
    assert set(OUTCOMES) == set(Topic)
    for event in every_sample():
        assert set(template_values(event)) == set(NAMES)


def test_the_defaults_are_templates_an_operator_could_write() -> None:
    written = ChatTexts(endpoint="chat", title=DEFAULT_TITLE, body=DEFAULT_BODY)
    for event in every_sample():
        assert written.write(event) == PLAIN.write(event)


def test_a_template_may_be_written_with_the_data_of_the_webhook() -> None:
    source = "{{ topic }}: {{ data.task_status }} {{ data.urls | join(' ') }} {{ data.meta.order }}"
    texts = ChatTexts(endpoint="chat", title=source, body=None)
    event = task_sample(label="**x**", meta={"order": "_7_"})
    urls = template_values(event)["urls"]
    assert isinstance(urls, list)
    assert texts.write(event)[0] == f"task_succeeded: succeed {' '.join(urls)} \uff3f7_"
    for event in every_sample():
        assert texts.write(event)[0].startswith(f"{event.topic}:"), "no key of it is missing for any topic"


def test_the_docs_show_the_defaults_and_every_name() -> None:
    page = (Path(__file__).parents[2] / "docs" / "payloads.md").read_text()
    assert re.findall(r"^```jinja\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL) == [DEFAULT_TITLE, DEFAULT_BODY]
    table = page.partition("## Chat texts")[2].partition("All names are always there")[0]
    shown = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert shown == set(NAMES)


def test_hostile_strings_never_become_markup() -> None:
    hostile = "@everyone <!channel> **x** [y](https://evil.example)\u202e\n# z"
    event = task_sample(
        Topic.TASK_FAILED,
        Snapshot(message=hostile),
        reason=hostile,
        label=hostile,
        meta={"k": hostile},
        task_id="`@here`",
    )
    own = ChatTexts(endpoint="chat", title="{{ meta.k }}", body="{{ label }}{{ meta }}{{ reason }}{{ result }}")
    for title, body in (PLAIN.write(event), own.write(event)):
        for bad in ("@everyone", "@here", "<", "**", "](", "\u202e", "\n#"):
            assert bad not in title + body


def test_own_templates_get_harmless_strings_and_exact_urls() -> None:
    texts = ChatTexts(
        endpoint="chat",
        title="{{ label or task_id }} {{ outcome|upper }}",
        body="**{{ name }}** {{ meta.order }}: {% for url in urls %}{{ loop.index }}. {{ url }}{% endfor %}",
    )
    assert texts.write(task_sample()) == (
        "trailer, take 3 SUCCEEDED",
        f"**trailer, take 3** 4711: 1. {URL}",
    )


def test_a_failing_template_is_replaced_by_the_default_and_logged_once() -> None:
    texts = ChatTexts(endpoint="chat", title="{{ meta.customer.name }}", body="{{ meta.order }}")
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert texts.write(task_sample())[0] == "trailer, take 3: succeeded"
    assert [(line["event"], line["endpoint"], line["part"]) for line in logs] == [("template.failed", "chat", "title")]
    assert "customer" in logs[0]["reason"]


def test_an_empty_text_is_never_sent() -> None:
    assert ChatTexts(endpoint="chat", title=" ", body="{{ reason or '' }}").write(task_sample()) == (
        "trailer, take 3: succeeded",
        "trailer, take 3: succeeded",
    )


def test_wrong_templates_are_found_together_when_the_endpoint_is_made() -> None:
    with pytest.raises(ConfigError) as caught:
        ChatTexts(endpoint="chat", title="{{ lable }}", body="{% for %}")
    assert caught.value.problems[0] == 'endpoints.chat.title: unknown name "lable"; did you mean "label"?'
    assert caught.value.problems[1].startswith("endpoints.chat.body: line 1: ")


@pytest.mark.parametrize(
    "source",
    [
        "{{",
        "{% macro a() %}{{ a() }}{% endmacro %}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% block a %}{{ self.a() }}{% endblock %}",
        "{% for x in meta recursive %}{{ loop(x) }}{% endfor %}",
        "{{ 'a'|center(10) }}",
        "{{ lipsum() }}",
        "{% for x in urls %}" * 25 + "{% endfor %}" * 25,
        "{{ " + "not " * 3000 + "name }}",
    ],
)
def test_unavailable_features_are_refused_with_a_reason(source: str) -> None:
    assert check_template(source)
    assert check_template("{{ name }}") is None


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% for a in range(999) %}{% for b in range(999) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ 1 / 0 }}",
    ],
)
def test_no_template_runs_without_limit(source: str) -> None:
    def render() -> None:
        with pytest.raises(TemplateFault):
            TextTemplate(source, names=NAMES).render(template_values(task_sample()))

    within_cpu_s(2.0, render)


def test_arithmetic_that_people_need_works() -> None:
    template = TextTemplate("{{ 7 % 4 }} {{ 6 * 7 }} {{ 'ab' * 2 }} {{ urls|length + 1 }}", names=NAMES)
    assert template.render(template_values(task_sample())) == "3 42 abab 2"


def test_output_is_bounded_and_no_url_is_ever_halved() -> None:
    urls = tuple(f"https://cdn.example.com/{number:01000}" for number in range(200))
    title, body = PLAIN.write(task_sample(snapshot=SUCCEEDED._replace(urls=urls), label="x" * 1000))
    assert len(title) <= MOST_TITLE
    assert len(body) <= MOST_BODY
    *lines, last = body.splitlines()
    assert lines == list(urls[: len(lines)])
    assert last == f"{200 - len(lines)} more results: genbridge show CjgHs2a8AAAAAAAAEx0sKQ"
    text = TextTemplate("{% for i in range(999) %}{{ label }}\n{% endfor %}", names=NAMES)
    written = text.render({"label": "x" * 9999})
    assert MOST_OUTPUT - 10_000 <= len(written) <= MOST_OUTPUT
    assert set(written.splitlines()) == {"x" * 9999}


def test_ten_results_with_long_signed_urls_are_all_in_the_text() -> None:
    urls = tuple(f"https://cdn.example.com/{number}?sign={'s' * 4300}" for number in range(10))
    _, body = PLAIN.write(task_sample(snapshot=SUCCEEDED._replace(urls=urls)))
    assert body.splitlines()[:-1] == list(urls)


def test_an_own_title_is_cut_to_size_and_kept_on_one_line() -> None:
    title, _ = ChatTexts(endpoint="chat", title="{{ name }}\n{{ name * 50 }}", body=None).write(task_sample())
    assert title.startswith("trailer, take 3 trailer, take 3trailer")
    assert len(title) == MOST_TITLE


def test_huge_numbers_and_lists_are_left_out() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    odd = {
        "task_id": "t",
        "progress": 10**400,
        "watched_at": 10**400,
        "ended_at": True,
        "expires_at": -(10**20),
        "label": deep,
        "reason": {"deep": deep},
        "meta": {"deep": deep},
        "urls": [f"https://x.example/{number}" for number in range(20_000)],
    }
    for topic in Topic:
        event = Event(event_id="evt_x", topic=topic, account="a", subject="t", occurred_at=1e300, data=odd)
        title, body = PLAIN.write(event)
        assert title == f"t: {OUTCOMES[topic]}"
        assert len(body) <= MOST_BODY


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3780, "1 h 3 min"),
        (187_200, "2 d 4 h"),
        (-1, None),
        (None, None),
    ],
)
def test_durations_are_written_for_people(seconds: float | None, text: str | None) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize("odd", [None, 1e300, -1e18, float("nan")])
def test_an_invalid_instant_is_left_out(odd: float | None) -> None:
    assert human_instant(odd) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(
    topic=st.sampled_from(list(Topic)),
    data=st.dictionaries(st.sampled_from([*NAMES, "task_status_msg", "task_result"]) | st.text(max_size=8), _json),
)
def test_no_event_makes_the_texts_fail(topic: Topic, data: dict[str, object]) -> None:
    event = Event(event_id="evt_x", topic=topic, account="a", subject="s", occurred_at=0.0, data=data)
    own = ChatTexts(endpoint="chat", title="{{ meta.a }}{{ label }}", body="{{ urls[0] }}{{ result }}{{ progress }}")
    for title, body in (PLAIN.write(event), own.write(event)):
        assert title
        assert body
        assert len(title) <= MOST_TITLE
        assert len(body) <= MOST_BODY
        (title + body).encode()
