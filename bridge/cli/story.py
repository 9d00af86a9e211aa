"""The story of one watch, told in order for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.cli.text import ago, count, due, rfc3339, span
from bridge.domain.change import AccountState
from bridge.domain.task import LIVE
from bridge.store.views import DeliveryView, Story

SOON_S: Final = 2.0  # what shows by then needs no word


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What decides a watch's fate beside the watch itself: who works on the store, and what is held back."""

    now: float
    notes_every_s: float  # how long it may take until a poll shows in the store
    eta: str  # `-` when nothing is foretold
    daemon: str | None
    accounts: Mapping[str, float]  # of the settings, with the requests per second that each may send
    due: int  # watches of this account that are to be asked about by now
    endpoints: Collection[str]  # of the settings
    account: AccountState | None  # of this watch


def lines(story: Story, around: Around) -> Iterator[str]:
    """Where it came from, what happened, what was answered, what came of it or is next, what was delivered where."""
    watch = story.watch
    state = watch.state
    yield f"{state.account}/{state.task_id}: {state.memory.phase}" + (f" ({watch.label})" if watch.label else "")
    yield f"  action {state.action or '-'}, generation {state.generation}, named by {', '.join(story.sources) or '-'}"
    yield ""
    yield "what happened"
    for fact in story.history:
        yield f"  {rfc3339(fact.at)}  {fact.what}" + (f": {fact.detail}" if fact.detail else "")
    yield from _answers(story, around.now)
    yield from _results(story)
    if state.memory.phase in LIVE:
        yield from _next(story, around)
    for delivery in story.deliveries:
        yield from _delivery(delivery, around, story.disabled)


def _answers(story: Story, now: float) -> Iterator[str]:
    yield ""
    yield f"what was answered ({count(story.watch.state.memory.polls, 'poll')})"
    for reading in story.readings:
        last = f"; the last: {reading.last_detail}" if reading.last_detail else ""
        yield f"  {reading.count:>5} x {reading.kind}, the last {ago(reading.last_at, now)}{last}"
    if not story.readings:
        yield "  nothing yet"


def _results(story: Story) -> Iterator[str]:
    snapshot = story.watch.snapshot
    reason = story.watch.reason
    urls, refused = (snapshot.urls, snapshot.refused) if snapshot else ((), ())
    if not (urls or refused or reason):
        return
    yield ""
    yield "what came of it"
    if reason:
        yield f"  {reason}"
    for url in urls:
        yield f"  {url}"
    for one in refused:
        yield f"  not handed on: {one}"


def _next(story: Story, around: Around) -> Iterator[str]:
    state = story.watch.state
    yield ""
    if state.account not in around.accounts:
        yield f"next poll never: the settings hold no account {state.account} (any more)"
        return
    account = around.account
    due_at = max(state.next_poll_at or 0.0, (account and account.paused_until) or 0.0)
    is_due = due_at <= around.now
    when = "as soon as a daemon can" if is_due else ago(due_at, around.now)
    late = f" (due {ago(state.next_poll_at, around.now)})" if is_due and state.next_poll_at else ""
    why = story.next_poll_why or ""
    if (state.next_poll_at or 0.0) <= around.now:
        why = why.partition("; asked again after ")[0]  # that time is over
    yield f"next poll {when}{late}" + (f": {why}" if why else "")
    if is_due and around.daemon is not None and around.notes_every_s > SOON_S:
        yield f"  it may have been asked meanwhile: on this store polls show within {span(around.notes_every_s)}"
    rate = around.accounts[state.account]
    if is_due and around.due - 1 > rate:
        others = count(around.due - 1, "other watch")
        yield f"  {others} of account {state.account} are due as well; it may send {rate:g} requests a second (limits)"
    if around.eta != "-":
        yield f"  four of five such tasks would end {around.eta}"
    if account and account.blocked_at is not None:
        yield f"  account {account.account} is blocked since {ago(account.blocked_at, around.now)}: {account.reason}"
    if account and account.paused_until is not None and account.paused_until > around.now:
        yield f"  account {account.account} is paused (Retry-After); it goes on {ago(account.paused_until, around.now)}"
    if around.daemon is None:
        yield "  no daemon runs on this store: `genbridge run` starts one"


def _delivery(delivery: DeliveryView, around: Around, disabled: Mapping[str, str]) -> Iterator[str]:
    yield ""
    yield f"{delivery.topic} to {delivery.place}: {_stands(delivery, around, disabled)}"
    yield f"  {delivery.event_id}"
    for number, attempt in enumerate(delivery.made, 1):
        detail = f": {attempt.detail}" if attempt.detail else ""
        yield f"  {rfc3339(attempt.at)}  attempt {number}: {attempt.outcome} after {span(attempt.duration_s)}{detail}"


def _stands(delivery: DeliveryView, around: Around, disabled: Mapping[str, str]) -> str:
    if delivery.state == "dead":
        return f"dead; `genbridge redeliver {delivery.event_id}` sends it again"
    if delivery.state != "waiting":
        return delivery.state
    if delivery.endpoint not in around.endpoints:
        return "waiting, for the settings hold no such endpoint (any more)"
    if delivery.endpoint in disabled:
        why = disabled[delivery.endpoint]
        return f"waiting, for the endpoint is disabled: {why}; `genbridge enable {delivery.endpoint}` sends again"
    return f"waiting, next attempt {due(delivery.next_attempt_at, around.now)}"
