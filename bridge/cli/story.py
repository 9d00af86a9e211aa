"""The story of one watch, told in order for people."""

from __future__ import annotations

from collections.abc import Iterator

import click

from bridge.cli.text import ago, rfc3339, safe, span
from bridge.domain.task import LIVE
from bridge.store.views import DeliveryView, Story


def print_story(story: Story, now: float) -> None:
    """Where it came from, what happened, what was answered, what is next, and what was delivered where."""
    for line in lines(story, now):
        click.echo(safe(line))


def lines(story: Story, now: float) -> Iterator[str]:
    """The story, line by line."""
    watch = story.watch
    state = watch.state
    yield f"{state.account}/{state.task_id}: {state.memory.phase}" + (f" ({watch.label})" if watch.label else "")
    yield f"  action {state.action or '-'}, generation {state.generation}, named by {', '.join(story.sources) or '-'}"
    yield ""
    yield "what happened"
    for fact in story.history:
        yield f"  {rfc3339(fact.at)}  {fact.what}" + (f": {fact.detail}" if fact.detail else "")
    yield from _answers(story, now)
    yield from _next(story, now)
    yield from _results(story)
    yield from _deliveries(story, now)


def _answers(story: Story, now: float) -> Iterator[str]:
    yield ""
    yield f"what was answered ({story.watch.state.memory.polls} polls)"
    for reading in story.readings:
        last = f"; the last: {reading.last_detail}" if reading.last_detail else ""
        yield f"  {reading.count:>5} x {reading.kind}, the last {ago(reading.last_at, now)}{last}"
    if not story.readings:
        yield "  nothing yet"


def _next(story: Story, now: float) -> Iterator[str]:
    state = story.watch.state
    if state.memory.phase not in LIVE:
        return
    yield ""
    when = ago(state.next_poll_at, now) if state.next_poll_at else "as soon as a daemon can"
    yield f"next poll {when}" + (f": {story.next_poll_why}" if story.next_poll_why else "")


def _results(story: Story) -> Iterator[str]:
    snapshot = story.watch.snapshot
    if snapshot is None or not (snapshot.urls or snapshot.refused or story.watch.reason):
        return
    yield ""
    yield "what came of it"
    if story.watch.reason:
        yield f"  {story.watch.reason}"
    for url in snapshot.urls:
        yield f"  {url}"
    for refused in snapshot.refused:
        yield f"  not handed on: {refused}"


def _deliveries(story: Story, now: float) -> Iterator[str]:
    for delivery in story.deliveries:
        yield ""
        place = f"{delivery.endpoint}[{delivery.target}]" if delivery.target else delivery.endpoint
        yield f"{delivery.topic} to {place}: {_stands(delivery, now)}"
        yield f"  {delivery.event_id}"
        for number, attempt in enumerate(delivery.made, 1):
            took = span(attempt.duration_s)
            yield f"  {rfc3339(attempt.at)}  attempt {number}: {attempt.outcome} after {took}: {attempt.detail}"


def _stands(delivery: DeliveryView, now: float) -> str:
    if delivery.state == "waiting":
        return f"waiting, next attempt {ago(delivery.next_attempt_at, now)}"
    return delivery.state
