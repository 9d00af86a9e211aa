"""Decides what to do after an answer about a watch: what to store, and when to poll next."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, NamedTuple

from bridge.domain.cadence import next_poll_in_s
from bridge.domain.callback import CallbackHeard
from bridge.domain.change import OTHER_WORDS, AnswerUnread, Note, TaskChange
from bridge.domain.event import ON_REQUEST
from bridge.domain.ids import WatchKey
from bridge.domain.task import ENDING, UNDER_WAY, Reading, ReadingKind, Snapshot
from bridge.domain.watch import Doubt, Memory, Rules, Spacing, Step, advance, give_up
from bridge.engine.account_callbacks import AccountCallbacks
from bridge.engine.learned_cadence import FINISHED, LearnedCadence
from bridge.engine.plans import AccountPlan
from bridge.engine.poll_queue import PollEntry
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.metrics import AccountMetrics
from bridge.ports import Clock, Provider

log = get_logger()

MISSING_HERE: Final = "HTTP 404; the same address works for other tasks, so this task is unknown"
ABOUT_TASK: Final = UNDER_WAY | ENDING | {ReadingKind.NEEDS_INPUT}
UNREADABLE_EVERY_S: Final = 60.0  # how often the count of an unknown word is stored
TROUBLE_S: Final = 600.0  # after the start, how long a server in trouble times out no watch: the network may be late
MAX_WORDS: Final = 200  # words that are counted separately; the store has its own limit
NEVER_AGAIN: Final = (math.inf, "never: the task has finished")
GIVEN_UP: Final = Reading(kind=ReadingKind.TRANSIENT, detail="given up")


class KnownRoutes:
    """The actions of one account for which the provider has answered. `read_stored` returns the actions that earlier
    processes recorded; it is called at most once, when first needed."""

    def __init__(self, read_stored: Callable[[], Awaitable[frozenset[str | None]]]) -> None:
        self._read_stored = read_stored
        self._answered: set[str | None] = set()
        self._is_complete = False
        self._provider: Provider | None = None
        self._answered_here: set[str | None] = set()  # by `_provider`; changes with the settings

    def record(self, reading: Reading, action: str | None, provider: Provider) -> None:
        """Record that this provider has answered about a task with this action, if the reading shows that."""
        if provider is self._provider and action in self._answered_here:
            return
        if reading.snapshot is not None and reading.kind in ABOUT_TASK:
            self._answered.add(action)
            if provider is not self._provider:  # new settings: the address may be different
                self._provider, self._answered_here = provider, set()
            self._answered_here.add(action)

    def knows(self, action: str | None, provider: Provider) -> bool:
        """Whether this provider has answered about this action since the settings were loaded."""
        return provider is self._provider and action in self._answered_here

    async def resolve(self, reading: Reading, action: str | None, provider: Provider) -> Reading:
        """Interpret a 404 that does not say what is missing. It is about the task if the address has answered
        before."""
        if reading.is_vague and self.knows(action, provider):
            return reading._replace(kind=ReadingKind.NOT_FOUND, detail=MISSING_HERE, unread="")
        if reading.kind is ReadingKind.NO_ROUTE and not self._is_complete:
            try:
                self._answered |= await self._read_stored()
                self._is_complete = True
            except StoreError:
                pass  # the next such answer reads the store again; until then no task fails because of a 404
        return reading

    def is_wrong(self, action: str | None) -> bool:
        """Whether the provider has answered about other actions but never about this one."""
        return self._is_complete and bool(self._answered) and action not in self._answered


class NextStep(NamedTuple):
    """What to do after one answer about a watch."""

    step: Step
    write: Note | TaskChange  # a note unless the phase changes or an event is due
    next_poll_at: float  # steady time; infinity: never
    unreadable: AnswerUnread | None = None  # a change to store in addition to `write`

    def log_transition(self, account: str, task_id: str) -> None:
        """Log the transition once it is on disk."""
        step, about = self.step, {"reason": self.step.reason} if self.step.reason else {}
        event = "watch.finished" if step.ends else "watch.running"
        log.info(event, account=account, task_id=task_id, phase=step.memory.phase, **about)
        if step.snapshot is not None and step.snapshot.result_missing:
            log.warning("watch.result_missing", account=account, task_id=task_id, **about)

    def log_unreadable(self, is_new: bool) -> None:
        """Log the unknown word once it is on disk, if it is new."""
        if is_new and (unread := self.unreadable) is not None:
            log.warning("answer.unreadable", account=unread.account, word=unread.word, reason=unread.reason)


class StepPlanner:
    """Plans the steps of one account's watches. It only returns values: the account stores and schedules them.

    Assign `plan` to change the settings.
    """

    def __init__(
        self,
        account: str,
        *,
        plan: AccountPlan,
        cadence: LearnedCadence,
        callbacks: AccountCallbacks,
        routes: KnownRoutes,
        clock: Clock,
        metrics: AccountMetrics,
    ) -> None:
        self.plan = plan
        # By word: the number of answers that are not stored yet, and when it was last stored.
        self._unreadable: dict[str, tuple[int, float]] = {}
        self._account = account
        self._cadence = cadence
        self._callbacks = callbacks
        self._routes = routes
        self._clock = clock
        self._started_at = clock.steady()
        self._metrics = metrics

    def next_step(
        self,
        entry: PollEntry,
        reading: Reading,
        *,
        memory: Memory,
        age_s: float,
        now: float,
        shared: tuple[float, str] | None = None,
    ) -> NextStep:
        """The step for a reading taken at `now`. `memory` and `age_s` belong to the watch and exclude the time in which
        its account was paused. `shared`: when the watch is polled next, and why, if its batch decides that."""
        rules = self._rules_for(reading, entry)
        step = advance(memory, reading, now=now, age_s=age_s, rules=rules)
        unreadable = self._count_unreadable(reading, entry, now, step.memory.doubt) if reading.unread else None
        if reading.kind in UNDER_WAY:
            self._cadence.record_running(entry, reading.snapshot, now)
        elif reading.kind in FINISHED:
            self._cadence.record_finish(entry, reading.snapshot, now, succeeded=reading.kind is ReadingKind.SUCCEEDED)
            if step.ends:
                self._count_detection(entry, reading.snapshot, now)
        wait_s, why = NEVER_AGAIN
        if step.spacing is not Spacing.OVER:
            wait_s, why = self._wait(entry, step, rules=rules, age_s=age_s, now=now, shared=shared)
            if reading.retry_after_s and step.spacing is not Spacing.ACCOUNT:
                wait_s = max(wait_s, reading.retry_after_s)
        heard = self._callbacks.answered(entry.task_id, reading, now) if self._callbacks.is_active else None
        return self._planned(entry, step, reading, now, wait_s, why, unreadable, heard)

    def _wait(
        self, entry: PollEntry, step: Step, *, rules: Rules, age_s: float, now: float, shared: tuple[float, str] | None
    ) -> tuple[float, str]:
        """How long to wait before the next poll of a live watch, and why."""
        pacing, is_steady, learned = self.plan.pacing, step.spacing is Spacing.STEADY, None
        if is_steady and pacing.learned:
            learned = shared or self._cadence.next_in_s(entry, now)
        wait_s, why = next_poll_in_s(
            step.memory,
            step.spacing,
            now=now,
            age_s=age_s,
            pacing=pacing,
            rules=rules,
            chance=self._clock.chance(),
            learned=learned,
        )
        if is_steady and self._callbacks.is_active:
            return self._callbacks.thinned(wait_s, why, now, most_s=rules.give_up_after_s - age_s)
        return wait_s, why

    def give_up(self, entry: PollEntry) -> NextStep:
        """The last step of a watch that times out."""
        reason = f"not finished after {self._rules(entry).give_up_after_s:.0f} s (give_up_after); no recent answers"
        step = give_up(entry.memory, reason=reason)
        return self._planned(entry, step, GIVEN_UP, self._clock.steady(), *NEVER_AGAIN)

    def is_overdue(self, entry: PollEntry, age_s: float) -> bool:
        """Whether a watch times out although its provider does not answer."""
        return age_s >= self._rules(entry).give_up_after_s and not self._is_early(self._rules(entry))

    def _is_early(self, rules: Rules) -> bool:
        """Whether this process may not have been able to reach the provider yet."""
        return self._clock.steady() - self._started_at < min(TROUBLE_S, rules.give_up_after_s)

    def _rules(self, entry: PollEntry) -> Rules:
        """The account's rules, with the task's own `give_up_after`."""
        if entry.give_up_after_s is None:
            return self.plan.rules
        return replace(self.plan.rules, give_up_after_s=entry.give_up_after_s)

    def _rules_for(self, reading: Reading, entry: PollEntry) -> Rules:
        """The rules for this answer. Also records what the answer shows about the account's routes."""
        if reading.kind is ReadingKind.NO_ROUTE:
            return replace(self._rules(entry), no_route_fails=self._routes.is_wrong(entry.action))
        self._routes.record(reading, entry.action, self.plan.provider)
        rules = self._rules(entry)
        is_spared = reading.server_trouble and self._is_early(rules)
        return replace(rules, give_up_after_s=math.inf) if is_spared else rules

    def _count_detection(self, entry: PollEntry, snapshot: Snapshot | None, now: float) -> None:
        """Measure how late the finish was noticed, if the provider reports its time. For a task that was added later,
        the measurement starts at its addition."""
        if snapshot is not None and snapshot.updated_ms is not None:
            self._metrics.detection_s.observe(now - max(snapshot.updated_ms / 1000, entry.added_at))

    def _count_unreadable(
        self, reading: Reading, entry: PollEntry, now: float, doubt: Doubt | None
    ) -> AnswerUnread | None:
        """Count an answer with an unknown word. Returns the change to store: for each word at once, then once a
        minute."""
        is_brief = doubt is None or now - doubt.since_at < self.plan.rules.not_found_over_s
        is_passing = reading.kind is ReadingKind.TRANSIENT or (reading.kind is ReadingKind.NO_ROUTE and is_brief)
        if is_passing and self._routes.knows(entry.action, self.plan.provider):
            return None  # a temporary fault of an address that is known to be right
        word = reading.unread
        if word not in self._unreadable and len(self._unreadable) >= MAX_WORDS:
            word = OTHER_WORDS
        waiting, stored_at = self._unreadable.get(word, (0, -math.inf))
        if now - stored_at < UNREADABLE_EVERY_S:
            self._unreadable[word] = waiting + 1, stored_at
            return None
        self._unreadable[word] = 0, now
        said = reading.detail if reading.unread in reading.detail else f"{reading.unread}: {reading.detail}"
        reason = f"{said} (task {entry.task_id}); polling continues"
        return AnswerUnread(account=self._account, word=word, reason=reason, answers=waiting + 1, at=self._clock.now())

    def _planned(
        self,
        entry: PollEntry,
        step: Step,
        reading: Reading,
        now: float,
        wait_s: float,
        why: str,
        unreadable: AnswerUnread | None = None,
        heard: CallbackHeard | None = None,
    ) -> NextStep:
        ends, topic = step.ends, step.topic
        if topic in ON_REQUEST and topic not in self.plan.requested_topics:
            topic = None
        wall = self._clock.now()
        note = Note(
            WatchKey(self._account, entry.task_id),
            entry.generation,
            step.memory,
            reading.kind,
            reading.detail,
            wall,
            None if ends else wall + wait_s,
            why,
            heard,
            entry.revision if entry.again_at is None else 0,
        )
        if topic is None and step.memory.phase is entry.memory.phase:
            return NextStep(step, note, now + wait_s, unreadable)
        change = TaskChange(
            note=note,
            ends=ends,
            topic=topic,
            topic_part=step.topic_part,
            reason=step.reason,
            snapshot=step.snapshot,
            provider=self.plan.provider_name,
            at=note.at,
        )
        return NextStep(step, change, now + wait_s, unreadable)
