"""A watch, which is what genbridge stores about one task, and the function that applies an answer to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, NamedTuple

from bridge.domain.event import Topic
from bridge.domain.ids import WatchKey
from bridge.domain.task import (
    ABOUT_ACCOUNT,
    FOLLOWS,
    LIVE,
    RESULT_GONE,
    UNDER_WAY,
    Json,
    Phase,
    Reading,
    ReadingKind,
    Snapshot,
)

LACKING_ANSWERS: Final = 5  # a success without a result is believed after this many answers ...
LACKING_OVER_S: Final = 120.0  # ... over this time
PROGRESS_EVERY_S: Final = 30.0  # `task_progress` at most this often
ALIVE: Final = UNDER_WAY | {ReadingKind.NEEDS_INPUT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A task that a source wants watched."""

    account: str
    task_id: str
    action: str | None = None
    label: str | None = None
    meta: Mapping[str, Json] | None = None
    endpoints: tuple[str, ...] | None = None  # None: the routes decide
    give_up_after_s: float | None = None  # None: the setting decides

    @property
    def key(self) -> WatchKey:
        return WatchKey(self.account, self.task_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An answer that must repeat before it is believed: its kind, how often in a row, and since when."""

    kind: ReadingKind
    answers: int
    since_at: float


class Memory(NamedTuple):
    """What `advance` must know about earlier polls."""

    phase: Phase = Phase.SUBMITTED
    polls: int = 0
    failures: int = 0  # unusable answers since the last usable one
    doubt: Doubt | None = None
    progress: float | None = None  # the latest
    progress_told: float | None = None  # the value in the last event, or when the task started to run
    progress_told_at: float | None = None
    is_input_told: bool = False  # whether an event has said that the task waits for a person


class WatchState(NamedTuple):
    """The part of a watch that polling needs. Label and meta stay in the store. A tuple, because a daemon may read
    100,000 of them at start."""

    account: str
    task_id: str
    generation: int
    action: str | None
    give_up_after_s: float | None
    added_at: float
    blocked_before_s: float = 0.0  # the account's total blocked time when the watch was added
    next_poll_at: float | None = None  # None: at once
    asked_at: float | None = None  # when the last stored poll was answered
    revision: int = 0  # the store's revision at the last change that was not a poll
    memory: Memory = Memory()

    @property
    def key(self) -> WatchKey:
        return WatchKey(self.account, self.task_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A complete watch, as it is stored and as commands show it."""

    state: WatchState
    label: str | None = None
    meta: Mapping[str, Json] = field(default_factory=dict)
    endpoints: tuple[str, ...] | None = None
    source: str = ""
    ended_at: float | None = None
    reason: str | None = None
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a doubtful answer is believed, and when a task times out."""

    not_found_answers: int = 4
    not_found_over_s: float = 180.0
    give_up_after_s: float = 86_400.0
    no_result: Phase = Phase.SUCCEEDED  # the phase of a success without result: succeeded or failed
    no_route_fails: bool = False  # the provider has answered for other actions, but never for this one


class Spacing(Enum):
    """How long to wait for the next poll."""

    STEADY = "steady"  # by the cadence
    BACKOFF = "backoff"  # growing with `Memory.failures`
    TROUBLE = "trouble"  # like BACKOFF with a lower maximum: the provider is down, and may soon work again
    DOUBT = "doubt"  # short at first, then longer, but not past the time at which the answer can be accepted
    SLOW = "slow"  # the task waits for input from a person
    ACCOUNT = "account"  # the account must slow down: as soon as its limiter allows
    REFUSED = "refused"  # the account was rejected: poll the other watches first, so that one of them is the next probe
    OVER = "over"  # finished: never polled again


class Step(NamedTuple):
    """The consequences of one reading. `topic` is that of the event it causes, if any."""

    memory: Memory
    spacing: Spacing
    topic: Topic | None = None
    topic_part: str = ""
    reason: str | None = None
    snapshot: Snapshot | None = None

    @property
    def ends(self) -> bool:
        return self.spacing is Spacing.OVER


def advance(memory: Memory, reading: Reading, *, now: float, age_s: float, rules: Rules) -> Step:
    """Apply one reading to a watch.

    `age_s` is the watch's age without the time in which its account was blocked. ValueError for a finished watch,
    because those are not polled.
    """
    if memory.phase not in LIVE:
        raise ValueError(f"a watch that is {memory.phase} is not polled")
    memory = Memory(memory.phase, memory.polls + 1, *memory[2:])  # twice as fast as _replace
    if reading.kind in ABOUT_ACCOUNT:
        refused = memory._replace(failures=memory.failures + 1, doubt=None)
        return Step(memory=refused, spacing=Spacing.REFUSED, reason=reading.detail)
    step = _judge(memory, reading, now, rules)
    if age_s >= rules.give_up_after_s and not step.ends:
        last = f"; the last answer: {reading.detail}" if reading.detail else ""
        reason = f"not finished after {rules.give_up_after_s:.0f} s (give_up_after){last}"
        return _end(step.memory, Phase.TIMED_OUT, reason, reading.snapshot)
    return step


def give_up(memory: Memory, *, reason: str) -> Step:
    """Time out a watch that gets no answers. ValueError if it is already finished."""
    return _end(memory, Phase.TIMED_OUT, reason, None)


def _judge(memory: Memory, reading: Reading, now: float, rules: Rules) -> Step:
    if reading.kind in ALIVE:  # by far the most frequent case, so it comes first
        return _alive(memory, reading, now)
    detail, snapshot = reading.detail or None, reading.snapshot
    match reading.kind:
        case ReadingKind.SUCCEEDED | ReadingKind.EXPIRED_RESULT:
            return _succeeded(memory, reading, rules)
        case ReadingKind.FAILED:
            return _end(memory, Phase.FAILED, detail, snapshot)
        case ReadingKind.CANCELED:
            return _end(memory, Phase.CANCELED, detail, snapshot)
        case ReadingKind.NOT_FOUND | ReadingKind.BAD_REQUEST:
            return _doubted(memory, reading, now, rules)
        case ReadingKind.NO_ROUTE:
            # Slower than other doubts, because the address stays wrong until the settings change.
            step = _doubted(memory, reading, now, rules)
            backing_off = step.memory._replace(failures=memory.failures + 1)
            return step if step.ends else step._replace(memory=backing_off, spacing=Spacing.BACKOFF)
        case ReadingKind.AMBIGUOUS if reading.lacks_result:
            return _doubted(memory, reading, now, rules)
        case ReadingKind.RATE_LIMITED:
            return Step(memory=memory._replace(doubt=None), spacing=Spacing.ACCOUNT, reason=detail)
        case _:
            failed = memory._replace(failures=memory.failures + 1, doubt=None)
            spacing = Spacing.TROUBLE if reading.server_trouble else Spacing.BACKOFF
            return Step(memory=failed, spacing=spacing, reason=detail, snapshot=snapshot)


def _succeeded(memory: Memory, reading: Reading, rules: Rules) -> Step:
    """The end of a success. Its result may be gone, or consist only of URLs that were refused."""
    detail, snapshot = reading.detail or None, reading.snapshot
    if reading.kind is ReadingKind.EXPIRED_RESULT:
        detail = detail or f"{RESULT_GONE} the result"
    elif snapshot is None or not snapshot.refused or snapshot.result:
        return _end(memory, Phase.SUCCEEDED, detail, snapshot)
    return _end(memory, rules.no_result, detail, _without_result(snapshot))


def _believed(kind: ReadingKind, rules: Rules) -> Phase | None:
    """The final phase of a task after repeated answers of this kind; None: it stays live."""
    match kind:
        case ReadingKind.NOT_FOUND:
            return Phase.NOT_FOUND
        case ReadingKind.BAD_REQUEST:
            return Phase.FAILED
        case ReadingKind.NO_ROUTE:
            return Phase.FAILED if rules.no_route_fails else None
        case _:
            return rules.no_result


def _doubted(memory: Memory, reading: Reading, now: float, rules: Rules) -> Step:
    """Count an answer that is believed only after several such answers in a row, over some time."""
    doubt, failures = memory.doubt, memory.failures
    if doubt is None or doubt.kind is not reading.kind:
        failures += doubt is not None  # it contradicts the answer before
        doubt = Doubt(kind=reading.kind, answers=0, since_at=now)
    doubt = replace(doubt, answers=doubt.answers + 1, since_at=min(doubt.since_at, now))  # the clock may be set back
    lacks = reading.kind is ReadingKind.AMBIGUOUS
    answers, over_s = (LACKING_ANSWERS, LACKING_OVER_S) if lacks else (rules.not_found_answers, rules.not_found_over_s)
    believed = _believed(reading.kind, rules)
    if believed is not None and doubt.answers >= answers and now - doubt.since_at >= over_s:
        in_a_row = f" {doubt.answers} times in a row" if doubt.answers > 1 else ""
        reason = reading.detail or f'"{reading.kind}" answered{in_a_row}'
        seen = _without_result(reading.snapshot) if lacks else reading.snapshot
        return _end(memory, believed, reason, seen)
    doubted = memory._replace(doubt=doubt, failures=failures)
    return Step(memory=doubted, spacing=Spacing.DOUBT, reason=reading.detail, snapshot=reading.snapshot)


def _without_result(snapshot: Snapshot | None) -> Snapshot:
    """The snapshot of a success without a result: it is gone, or never existed."""
    return (snapshot or Snapshot())._replace(result={}, urls=(), result_missing=True)


def _alive(memory: Memory, reading: Reading, now: float) -> Step:
    """The task is live: record phase and progress, and create a running event if one is due."""
    snapshot = reading.snapshot
    progress = snapshot.progress if snapshot is not None else None
    seen = memory
    if memory.failures or memory.doubt is not None or progress is not None:
        seen = memory._replace(failures=0, doubt=None, progress=memory.progress if progress is None else progress)
    starts = memory.phase is Phase.SUBMITTED and reading.kind is not ReadingKind.PENDING
    if progress is None and not starts and reading.kind in UNDER_WAY:
        return Step(seen, Spacing.STEADY, snapshot=snapshot)
    if starts:
        # Rounded to the second, so that 100,000 running watches share a small number of memory values.
        seen = _moved(seen, Phase.RUNNING)._replace(progress_told=progress, progress_told_at=float(math.ceil(now)))
    if reading.kind is ReadingKind.NEEDS_INPUT:
        return Step(
            memory=seen._replace(is_input_told=True),
            spacing=Spacing.SLOW,
            topic=None if memory.is_input_told else Topic.TASK_RUNNING,
            topic_part="input",
            reason=reading.detail or "the task waits for a person",
            snapshot=snapshot,
        )
    if starts:
        return Step(memory=seen, spacing=Spacing.STEADY, topic=Topic.TASK_RUNNING, snapshot=snapshot)
    is_running = memory.phase is Phase.RUNNING  # a waiting task has no progress
    due = is_running and (memory.progress_told_at is None or abs(now - memory.progress_told_at) >= PROGRESS_EVERY_S)
    if progress is not None and progress != memory.progress_told and due:
        changed = seen._replace(progress_told=progress, progress_told_at=now)
        part = f"{progress:g}"
        return Step(changed, spacing=Spacing.STEADY, topic=Topic.TASK_PROGRESS, topic_part=part, snapshot=snapshot)
    return Step(memory=seen, spacing=Spacing.STEADY, snapshot=snapshot)


_FINAL_TOPICS: Final[Mapping[Phase, Topic]] = {
    topic.facts.ends_as: topic for topic in Topic if topic.facts.ends_as is not None
}


def _end(memory: Memory, phase: Phase, reason: str | None, snapshot: Snapshot | None) -> Step:
    ended = _moved(memory, phase)._replace(failures=0, doubt=None)
    return Step(memory=ended, spacing=Spacing.OVER, topic=_FINAL_TOPICS[phase], reason=reason, snapshot=snapshot)


def _moved(memory: Memory, phase: Phase) -> Memory:
    """The only place where a phase changes. ValueError for a change that `FOLLOWS` does not allow."""
    if phase not in FOLLOWS[memory.phase]:
        raise ValueError(f"a watch that is {memory.phase} cannot become {phase}")
    return memory._replace(phase=phase)
