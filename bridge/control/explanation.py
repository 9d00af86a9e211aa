"""Explains one task: where it came from, what the provider answered, what is next and why, and its deliveries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from bridge.control.account_waits import opens_at, wait_line, waits_on
from bridge.control.delivery_list import attempts_json, delivery_json
from bridge.control.delivery_waits import DeliveryWait, DeliveryWaits, WaitCause, delivery_waits, why_queue_waits
from bridge.control.estimates import LATE, estimates, eta
from bridge.control.formats import ago, due, rfc3339, span
from bridge.control.pausing import how_long
from bridge.control.store_now import StoreNow
from bridge.domain.account_state import AccountState
from bridge.domain.cadence import INTERVAL
from bridge.domain.ids import ARCHIVE, WatchKey
from bridge.domain.plurals import count
from bridge.domain.source import DISCOVER, SourceKind
from bridge.domain.task import LIVE, Phase
from bridge.domain.views import BY_PERSON, DeliveryView, ReadingCount, WatchDetails

if TYPE_CHECKING:
    from bridge.config.load import Loaded
    from bridge.config.model import Account

ADDED: Final[Mapping[str, str]] = {
    "cli": "on the command line",
    "http": "over HTTP",
    "gateway": "through the gateway",
    SourceKind.WATCHLIST: "from the watchlist",
    SourceKind.QUEUE: "from the queue folder",
    SourceKind.LINES: "from the lines file",
    BY_PERSON: "by a person",
}
HAPPENED: Final = {  # for people, if the stored word is not plain
    "named": "also added",
    "revived": "watched again",
    "again": "watched again",
    "poll asked": "poll requested",
}
SOON_S: Final = 2.0  # polls that become visible in the store within this time need no remark


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExplanation:
    """Everything known about one watch at one instant."""

    now: float
    story: WatchDetails
    eta: str  # `-` when nothing is known
    daemon: str | None  # the daemons that work on the store, in words
    notes_every_s: float  # after how long polls become visible in the store
    due: int  # watches of this account that should be polled now
    rate: Callable[[], float] | None  # requests per second that the account may send; None: it is not in the settings
    account: AccountState | None  # the account of this watch
    waits: DeliveryWaits

    def lines(self) -> Iterator[str]:
        """For people: the task, its history, the answers, the result, the next poll, and each delivery."""
        watch, state = self.story.watch, self.story.watch.state
        yield f"{state.account}/{state.task_id}: {state.memory.phase}" + (f" ({watch.label})" if watch.label else "")
        added = f", added {', '.join(map(_from, self.story.sources))}" if self.story.sources else ""
        yield f"  action {state.action or '-'}, generation {state.generation}{added}"
        yield ""
        yield "history"
        for fact in self.story.history:
            detail = "found in the provider's list" if fact.detail.startswith(DISCOVER) else _from(fact.detail)
            yield f"  {rfc3339(fact.at)}  {HAPPENED.get(fact.what, fact.what)}" + (f": {detail}" if detail else "")
        yield from self._answers()
        yield from self._result()
        if state.memory.phase in LIVE:
            yield ""
            when, *more = self._next_poll()
            yield f"next poll: {when}"
            yield from (f"  {line}" for line in more)
        elif not self.story.deliveries and state.memory.phase is not Phase.WITHDRAWN:
            yield ""
            yield "no notifications: no route sends this to an endpoint, or `retention.delivered` has removed them"
        for delivery in self.story.deliveries:
            yield from self._delivery(delivery)

    def json(self) -> dict[str, Any]:
        """The same for programs. `next_poll` has the sentences about it; null once the task has finished."""
        watch, state = self.story.watch, self.story.watch.state
        return {
            "account": state.account,
            "id": state.task_id,
            "phase": state.memory.phase,
            "generation": state.generation,
            "added_by": list(self.story.sources),
            "history": [
                {"at": rfc3339(one.at), "what": one.what, "detail": one.detail or None} for one in self.story.history
            ],
            "answers": [_answer_json(one) for one in self.story.readings],
            "urls_not_delivered": list(watch.snapshot.refused if watch.snapshot else ()),
            "next_poll": list(self._next_poll()) if state.memory.phase in LIVE else None,
            "deliveries": [self._delivery_json(one) for one in self.story.deliveries],
        }

    def _delivery_json(self, view: DeliveryView) -> dict[str, Any]:
        [shown] = self.waits.shown([view])
        return {**delivery_json(shown), "summary": self._delivery_state(view), "attempts_made": attempts_json(view)}

    def _answers(self) -> Iterator[str]:
        yield ""
        yield f"answers ({count(self.story.watch.state.memory.polls, 'poll')})"
        for reading in self.story.readings:
            last = f"; the last: {reading.last_detail}" if reading.last_detail else ""
            yield f"  {reading.times:>5} x {reading.kind}, the last {ago(reading.last_at, self.now)}{last}"
        if not self.story.readings:
            yield "  none yet"

    def _result(self) -> Iterator[str]:
        snapshot, reason = self.story.watch.snapshot, self.story.watch.reason
        urls, refused = (snapshot.urls, snapshot.refused) if snapshot else ((), ())
        if not (urls or refused or reason):
            return
        yield ""
        yield "result"
        if reason:
            yield f"  {reason}"
        for url in urls:
            yield f"  {url}"
        for one in refused:
            yield f"  not delivered: {one}"

    def _next_poll(self) -> Iterator[str]:
        """When the next poll is, and what delays it."""
        state, account = self.story.watch.state, self.account
        if self.rate is None:
            yield f"never; the settings have no account {state.account}"
            return
        if account is not None and (pause := account.current_pause(self.now)) is not None:
            yield f"after the pause of account {state.account}: paused {how_long(pause, self.now)}"
            return
        waits = waits_on(account, state.action, self.now)
        due_at = max(state.next_poll_at or 0.0, opens_at(waits))
        is_due = due_at <= self.now
        yield self._when(due_at, is_due=is_due)
        if is_due and self.daemon is not None and self.notes_every_s > SOON_S:
            yield f"it may have been polled already: this store shows polls within {span(self.notes_every_s)}"
        if is_due and self.due > 1 and self.due - 1 > (rate := self.rate()):
            others = count(self.due - 1, "other task")
            limit = "" if waits else f"; its limit is {rate:g} requests a second, and less for a minute after a 429"
            yield f"{others} of account {state.account} are due, too{limit}"
        if self.eta == LATE:
            yield f"it runs {LATE}: 90 % of similar tasks have finished at this age"
        elif self.eta != "-":
            yield f"80 % of similar tasks would finish {self.eta}"
        if account is not None and account.blocked_at is not None:
            lasts = span(max(0.0, self.now - account.blocked_at))
            yield f"account {account.account} has been blocked for {lasts}: {account.reason}"
        for wait in waits:
            yield wait_line(state.account, wait, self.now)
        if self.daemon is None:
            yield "no daemon is running on this store: `genbridge run` starts one"

    def _when(self, due_at: float, *, is_due: bool) -> str:
        next_poll_at = self.story.watch.state.next_poll_at
        when = "as soon as possible" if is_due else ago(due_at, self.now)
        late = f" (due {ago(next_poll_at, self.now)})" if is_due and next_poll_at else ""
        why = self.story.next_poll_why or ""
        if (next_poll_at or 0.0) <= self.now:
            why = why.partition(INTERVAL)[0]  # the time of that poll has already passed
        return f"{when}{late}" + (f"; {why}" if why else "")

    def _delivery(self, delivery: DeliveryView) -> Iterator[str]:
        yield ""
        yield f"{delivery.topic} to {delivery.place}: {self._delivery_state(delivery)}"
        yield f"  {delivery.event_id}"
        for number, attempt in enumerate(delivery.made, 1):
            detail = f": {attempt.detail}" if attempt.detail else ""
            took = span(attempt.duration_s)
            yield f"  {rfc3339(attempt.at)}  attempt {number}: {attempt.outcome} after {took}{detail}"

    def _delivery_state(self, delivery: DeliveryView) -> str:
        endpoint = delivery.endpoint
        if delivery.state == "dead":
            return f"dead; `genbridge redeliver {delivery.event_id} --endpoint {endpoint}` sends it again"
        if delivery.state != "waiting":
            return delivery.state
        if off := self.waits.why_off(endpoint):
            return f"waiting: {off}"
        wait = self.waits.of(delivery)
        if copies := self._waits_for_copies(delivery):
            return copies
        due_at = delivery.next_attempt_at or 0.0
        if wait is None and due_at > self.now and self._is_behind(delivery):
            wait = DeliveryWait(WaitCause.ORDER, until_at=due_at)
        why = "" if wait is None else f": {why_queue_waits(wait)}"
        return f"waiting, next attempt {due(delivery.next_attempt_at, self.now)}{why}"

    def _is_behind(self, delivery: DeliveryView) -> bool:
        """Whether an earlier notification about the task must be sent to the same target first."""
        earlier = takewhile(lambda one: one is not delivery, self.story.deliveries)
        return any((one.place, one.state) == (delivery.place, delivery.state) for one in earlier)

    def _waits_for_copies(self, delivery: DeliveryView) -> str | None:
        """What the copies of a task, or a notification that waits for them, wait for; None for any other delivery."""
        due_at = delivery.next_attempt_at or 0.0
        if delivery.endpoint == ARCHIVE:
            is_made = due_at <= self.now and self.daemon is not None
            return "waiting: its results are being copied, or wait for other copies" if is_made else None
        is_copied = any(
            one.endpoint == ARCHIVE and one.event_id == delivery.event_id and one.state == "waiting"
            for one in self.story.deliveries
        )
        if not is_copied or delivery.attempts or due_at <= self.now:
            return None
        return f"waiting for the copies of its results until {rfc3339(due_at)} ({ago(due_at, self.now)})"


def _from(source: str) -> str:
    """Where a task came from: `on the command line`, `from the queue folder`. Other details are unchanged."""
    return "from the provider's list" if source.startswith(DISCOVER) else ADDED.get(source, source)


def _answer_json(one: ReadingCount) -> dict[str, Any]:
    return {
        "outcome": one.kind,
        "count": one.times,
        "first_at": rfc3339(one.first_at),
        "last_at": rfc3339(one.last_at),
        "last_reason": one.last_detail or None,
    }


def _rate(account: Account, loaded: Loaded) -> float:
    from bridge.wiring.account_catalogue import known_providers, limits_of  # here, because few explanations need them

    return limits_of(account, known_providers(loaded)[account.provider]).rate


def explain(at: StoreNow, key: WatchKey, loaded: Loaded, *, daemon: str | None) -> TaskExplanation:
    """Explain one watch. `daemon` names the daemons that work on the store. UnknownError if the task is not watched."""
    store, now, account = at.store, at.now, loaded.settings.accounts.get(key.account)
    return TaskExplanation(
        now=now,
        story=store.details(key),
        eta=eta(estimates(at).of(store.view(key), now), now),
        daemon=daemon,
        notes_every_s=store.notes_every_s,
        due=store.count_due(key.account, now),
        rate=None if account is None else partial(_rate, account, loaded),
        account=store.accounts().get(key.account),
        waits=delivery_waits(at),
    )
