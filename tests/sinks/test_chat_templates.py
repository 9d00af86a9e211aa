"""Templates of chat texts: allowed names, refused syntax, and the text that replaces a failing template."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import structlog

from bridge.sinks.message_values import NAMES, ChatStyle, template_values
from bridge.sinks.templates import TemplateFault, TextTemplate
from bridge.sinks.texts import MOST_TITLE, ChatTexts, chat_template
from tests.sinks.samples import URL, every_sample, task_sample
from tests.sinks.writing import write
from tests.stopwatch import within_cpu_s

PAGE = (Path(__file__).parents[2] / "docs" / "payloads.md").read_text()


def test_the_filter_time_shows_an_instant_in_the_zone_of_the_endpoint() -> None:
    style = ChatStyle(timezone="Asia/Shanghai")
    source = (
        "{{ data.ended_at | time }} / {{ data.ended_at | time('%H:%M') }} / {{ meta.none | time }} / {{ ended_at }}"
    )
    texts = ChatTexts(endpoint="chat", title=source, body=None, style=style)
    assert write(task_sample(), texts)[0] == "2025-11-01 20:28 UTC+8 / 20:28 /  / 2025-11-01 20:28 UTC+8"
    names = ChatTexts(
        endpoint="chat", title="{{ ended_at | time }} / {{ ended_at | time('%H:%M:%S') }}", body=None, style=style
    )
    assert write(task_sample(), names)[0] == "2025-11-01 20:28 UTC+8 / 20:28:45"
    wide = ChatTexts(endpoint="chat", title="{{ data.ended_at | time('%9999999999Y') }}", body=None)
    assert write(task_sample(), wide)[0] == "🎬 trailer, take 3"


def test_names_of_earlier_versions_keep_their_meaning() -> None:
    source = (
        "{{ label }} {{ outcome }} {{ duration }} {{ account }} {{ action }} {{ urls[0] }} {{ status }} {{ ended_at }}"
    )
    texts = ChatTexts(endpoint="chat", title=source, body=None, style=ChatStyle(timezone="UTC"))
    expected = f"trailer, take 3 succeeded 2 min 6 s kling videos/text2video {URL} succeed 2025-11-01 12:28 UTC"
    assert write(task_sample(), texts)[0] == expected
    named = ChatTexts(endpoint="chat", title="{{ name }}: {{ outcome }}", body=None)
    assert write(task_sample(label=None), named)[0] == "CjgHs2a8AAAAAAAAEx0sKQ: succeeded"
    assert write(every_sample()[8], named)[0] == "account kling: blocked"


def test_a_name_without_a_value_is_empty_in_a_text() -> None:
    texts = ChatTexts(endpoint="chat", title="{{ label }}{{ reason }}{{ data.expires_at }}done", body=None)
    assert write(task_sample(label=None), texts)[0] == "done"
    nested = ChatTexts(
        endpoint="chat", title="for {{ meta.customer.name or 'all' }}{{ result.images[5].url }}", body=None
    )
    assert write(task_sample(meta=None), nested)[0] == "for all"


def test_the_templates_of_the_docs_give_the_default_texts() -> None:
    title, body = re.findall(r"^```jinja\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    written = ChatTexts(endpoint="chat", title=title, body=body)
    for event in every_sample():
        assert write(event, written) == write(event)


def test_a_template_may_be_written_with_the_data_of_the_webhook() -> None:
    source = "{{ topic }}: {{ data.task_status }} {{ data.urls | join(' ') }} {{ data.meta.order }}"
    texts = ChatTexts(endpoint="chat", title=source, body=None)
    event = task_sample(label="**x**", meta={"order": "_7_"})
    urls = template_values(event)["urls"]
    assert isinstance(urls, list)
    assert write(event, texts)[0] == f"task_succeeded: succeed {' '.join(urls)} \uff3f7_"
    for event in every_sample():
        assert write(event, texts)[0].startswith(f"{event.topic}:"), "no key of it is missing for any topic"


def test_the_docs_show_every_name() -> None:
    table = PAGE.partition("## Chat texts")[2].partition("All names are always there")[0]
    shown = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert shown == set(NAMES)


def test_own_templates_get_harmless_strings_and_exact_urls() -> None:
    texts = ChatTexts(
        endpoint="chat",
        title="{{ label or task_id }} {{ outcome|upper }}",
        body="**{{ name }}** {{ meta.order }}: {% for url in urls %}{{ loop.index }}. {{ url }}{% endfor %}",
    )
    assert write(task_sample(), texts) == (
        "trailer, take 3 SUCCEEDED",
        f"**trailer, take 3** 4711: 1. {URL}",
    )


def test_a_failing_template_is_replaced_by_the_default_and_logged_once() -> None:
    texts = ChatTexts(endpoint="chat", title="{{ meta.customer + 1 }}", body="{{ meta.order }}")
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert texts.write(task_sample()).title == "🎬 trailer, take 3"
    assert [(line["event"], line["endpoint"], line["part"]) for line in logs] == [("template.failed", "chat", "title")]
    assert "customer" in logs[0]["reason"]


def test_an_empty_text_is_never_sent() -> None:
    texts = ChatTexts(endpoint="chat", title=" ", body="{{ reason or '' }}")
    assert write(task_sample(), texts) == ("🎬 trailer, take 3", "🎬 trailer, take 3")


def test_wrong_templates_are_found_when_the_endpoint_is_made() -> None:
    with pytest.raises(TemplateFault, match=r'^unknown name "lable"; did you mean "label"\?$'):
        ChatTexts(endpoint="chat", title="{{ lable }}", body=None)
    with pytest.raises(TemplateFault, match=r"^is not a Jinja template: .* \(line 1\)$"):
        ChatTexts(endpoint="chat", title=None, body="{% for %}")


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
        "{{ name.__class__ }}",
        "{{ meta['__class__'] }}",
        "{{ meta|attr('__class__') }}",
        "{{ " + "(" * 9000 + " }}",
        "{% for x in urls %}" * 25 + "{% endfor %}" * 25,
        "{{ " + "not " * 3000 + "name }}",
    ],
)
def test_unavailable_features_are_refused_with_a_reason(source: str) -> None:
    with pytest.raises(TemplateFault, match=r"."):
        chat_template(source)


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


def test_an_own_title_is_cut_to_size_and_kept_on_one_line() -> None:
    texts = ChatTexts(endpoint="chat", title="{{ name }}\n{{ name * 50 }}", body=None)
    title, _ = write(task_sample(), texts)
    assert title.startswith("trailer, take 3 trailer, take 3trailer")
    assert len(title) == MOST_TITLE
