"""A webhook URL with expressions: one address per task, fixed at the commit."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.domain.delivery import Accepted, Undeliverable
from bridge.domain.event import Event
from bridge.domain.sample import sample_event
from bridge.expressions.hook_url import plain_url
from bridge.sinks.hook_address import SAMPLE, HookAddress, Unaddressed, has_address_without_task
from tests.sinks.posting import deliver, sink_at
from tests.sinks.receivers import answer, http_receiver
from tests.sinks.samples import every_sample, task_sample

FLOW = "https://n8n.example.com/webhook-waiting/{{ meta.execution }}"


def _event(task_id: str = "t-1", label: str | None = None, **meta: Any) -> Event:
    return task_sample(task_id=task_id, label=label, meta=meta)


def _filled(url: str, event: Event, *, holds_secret: bool = False) -> str:
    address = HookAddress(url, endpoint="flow", holds_secret=holds_secret)
    return address.url(address.fill(event))


@pytest.mark.parametrize("holds_secret", [False, True])
@pytest.mark.parametrize(
    ("url", "filled"),
    [
        (FLOW, "https://n8n.example.com/webhook-waiting/12"),
        ("https://h/{{ task_id }}/{{account}}?l={{ label }}&k=v", "https://h/t-1/kling?l=A%20film%20%26%20more&k=v"),
        ("https://h/?t={{ topic }}", "https://h/?t=task_succeeded"),
        ("https://h?m={{ meta.none }}", "https://h?m="),
        ("https://h/{{ meta.none or 'no-flow' }}", "https://h/no-flow"),
        ("https://h/{{ meta['execution'] }}/resume", "https://h/12/resume"),
        ("https://h/{{ meta.zero }}/{{ meta.yes }}", "https://h/0/true"),
        ("https://h/fixed", "https://h/fixed"),
    ],
)
def test_expressions_are_filled_from_the_event(url: str, filled: str, holds_secret: bool) -> None:
    event = _event(label="A film & more", execution=12, zero=0, yes=True)

    assert _filled(url, event, holds_secret=holds_secret) == filled


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a/b", "a%2Fb"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("@evil.example", "%40evil.example"),
        ("x?y=1&z#w", "x%3Fy%3D1%26z%23w"),
        ("%2e%2e", "%252e%252e"),
        ("a\r\nHost: b", "a%0D%0AHost%3A%20b"),
        ("é🎬", "%C3%A9%F0%9F%8E%AC"),
        ("{{ account }}", "%7B%7B%20account%20%7D%7D"),
        ("${TOKEN}", "%24%7BTOKEN%7D"),
        (":8080", "%3A8080"),
        ("//evil.example", "%2F%2Fevil.example"),
    ],
)
def test_a_value_stays_within_its_path_segment(value: str, encoded: str) -> None:
    assert _filled(FLOW, _event(execution=value)) == f"https://n8n.example.com/webhook-waiting/{encoded}"


@pytest.mark.parametrize(
    ("url", "meta", "complaint"),
    [
        (FLOW, {}, "endpoints.flow.url: {{ meta.execution }} has no value"),
        (FLOW, {"execution": None}, "has no value"),
        (FLOW, {"execution": ""}, "has no value"),
        (FLOW, {"execution": ".."}, "would change the path"),
        (FLOW, {"execution": "."}, "would change the path"),
        (FLOW, {"execution": {"id": 1}}, "{{ meta.execution }}: the value is neither text nor a number"),
        ("https://h/?q={{ meta.a }}", {"a": [1]}, "neither text nor a number"),
        (FLOW, {"execution": "x" * 5000}, "more than 2048 characters"),
        ("https://h/{{ meta.a.b.c }}", {}, "has no value"),
        ("https://h/{{ meta.a }}{{ meta.a }}", {"a": "."}, "would change the path"),
    ],
)
async def test_without_an_address_the_delivery_is_dead_at_once_with_the_reason(
    url: str, meta: dict[str, Any], complaint: str
) -> None:
    async with sink_at(url) as sink:
        outcome = await deliver(sink, _event(**meta))

    assert isinstance(outcome, Undeliverable)
    assert complaint in outcome.reason.replace("automation", "flow")


def test_a_url_that_needs_a_task_has_no_address_for_other_events() -> None:
    operator = [event for event in every_sample() if "task_id" not in event.data]
    address = HookAddress(FLOW, endpoint="flow")

    assert len(operator) >= 3
    for event in operator:
        with pytest.raises(Unaddressed):
            address.url(address.fill(event))
    assert _filled("https://h/{{ topic }}", operator[0]) == f"https://h/{operator[0].topic}"


@pytest.mark.parametrize(
    ("url", "has"),
    [
        (FLOW, False),
        ("https://h/{{ account }}", True),
        ("https://h/{{ topic }}?t={{ task_id }}", True),
        ("https://h/x", True),
    ],
)
def test_check_knows_which_urls_have_an_address_without_a_task(url: str, has: bool) -> None:
    assert has_address_without_task(url) is has


def test_stored_addresses_stay_when_the_settings_change() -> None:
    stored = HookAddress(FLOW).fill(_event(execution="12"))

    assert (
        HookAddress("https://other.example/new/{{ task_id }}").url(stored) == "https://other.example/webhook-waiting/12"
    )
    assert HookAddress("https://other.example/new").url(stored) == "https://other.example/webhook-waiting/12"


def test_a_secret_in_the_url_is_never_stored() -> None:
    before = HookAddress("https://h/sesame/{{ meta.execution }}", holds_secret=True)
    stored = before.fill(_event(execution="12"))

    assert "sesame" not in stored
    assert (
        HookAddress("https://h/rotated/{{ meta.execution }}", holds_secret=True).url(stored) == "https://h/rotated/12"
    )
    with pytest.raises(Unaddressed, match="had other expressions"):
        HookAddress("https://h/{{ meta.other }}", holds_secret=True).url(stored)


def test_a_delivery_from_before_the_expressions_waits_for_no_value() -> None:
    assert HookAddress("https://h/plain").url("") == "https://h/plain"
    with pytest.raises(Unaddressed):
        HookAddress(FLOW).url("")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("https://{{ account }}.example.com/x", "scheme, host or port"),
        ("https://h:{{ meta.port }}/x", "scheme, host or port"),
        ("{{ meta.scheme }}://h/x", "scheme, host or port"),
        ("{{ meta.url }}", "scheme, host or port"),
        ("https://u:{{ meta.p }}@h/x", "scheme, host or port"),
        ("https://h/#{{ task_id }}", "fragment"),
        ("https://h/{% if label %}a{% endif %}", "statement"),
        ("https://h/{{ task_id", "{{ without }}"),
        ("https://h/{{ task_di }}", 'did you mean "task_id"'),
        ("https://h/{{ zzz }}", "there are: account, action, event_id, label, meta, provider, task_id, topic"),
        ("https://h/{{ meta.__class__ }}", '"__class__" is not available here'),
        ("https://h/../{{ task_id }}", ". or .."),
    ],
)
def test_a_url_that_cannot_be_filled_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        HookAddress(url)


async def test_an_endpoint_with_a_refused_url_is_not_made() -> None:
    with pytest.raises(ValueError, match=r"^unknown name"):
        async with sink_at("https://h/{{ nothing }}"):
            pass


def test_the_sample_has_an_address_for_every_url() -> None:
    assert _filled(FLOW, sample_event(1.7e9)) == "https://n8n.example.com/webhook-waiting/sample"
    assert plain_url("https://h/{{ task_id }}?l={{ label }}", SAMPLE) == "https://h/sample?l=sample"


async def test_the_filled_address_is_what_goes_over_the_wire() -> None:
    async with http_receiver(answer(200)) as receiver, sink_at(f"{receiver.url}/w/{{{{ task_id }}}}") as sink:
        outcome = await deliver(sink, _event("a/b c"))
    assert isinstance(outcome, Accepted)
    assert b"/w/a%2Fb%20c HTTP/1.1\r\n" in receiver.requests[0]
