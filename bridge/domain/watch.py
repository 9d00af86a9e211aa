"""Our standing interest in one task, and the one function that moves it on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

from bridge.domain.event import Topic
from bridge.domain.ids import WatchKey
from bridge.domain.task import ABOUT_ACCOUNT, FOLLOWS, LIVE, Json, Kind, Phase, Reading, Snapshot

LACKING_ANSWERS: Final = 5  # success without its result is believed after so many such answers ...
LACKING_OVER_S: Final = 120.0  # ... over so long
PROGRESS_EVERY_S: Final = 30.0  # `task_progress` at most this often


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A task as a source names it: not yet a watch."""

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
    """An answer that must repeat before it is believed: which, how often in a row, since when."""

    kind: Kind
    answers: int
    since_at: float


class Memory(NamedTuple):
    """What earlier polls left behind; all that `advance` needs beside the new reading."""

    phase: Phase = Phase.SUBMITTED
    polls: int = 0
    failures: int = 0  # unusable answers in a row
    doubt: Doubt | None = None
    progress: float | None = None  # as last seen
    progress_told: float | None = None  # as last told, or seen when the watch was found running
    progress_told_at: float | None = None
    input_told: bool = False


class WatchState(NamedTuple):
    """The hot part of a watch: what polling needs. Label and meta stay in the store. (A tuple, for a hundred thousand
    are read at start.)"""

    account: str
    task_id: str
    generation: int
    action: str | None
    give_up_after_s: float | None
    added_at: float
    blocked_before_s: float  # how long the account had been blocked, in all, when the watch was added
    next_poll_at: float | None  # None: at once
    memory: Memory
    revision: int  # of the store, when somebody other than the poller last touched this watch

    @property
    def key(self) -> WatchKey:
        return WatchKey(self.account, self.task_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A whole watch, as the store keeps it and commands show it."""

    state: WatchState
    label: str | None
    meta: Mapping[str, Json]
    endpoints: tuple[str, ...] | None
    source: str
    ended_at: float | None
    reason: str | None
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When an unwelcome answer is believed, and when waiting ends."""

    not_found_answers: int = 4
    not_found_over_s: float = 180.0
    give_up_after_s: float = 86_400.0


class Pace(Enum):
    """How the next poll is spaced."""

    STEADY = "steady"  # by the cadence
    BACKOFF = "backoff"  # growing with `Memory.failures`
    TROUBLE = "trouble"  # likewise, but soon back: the provider is down, and nobody says when it returns
    DOUBT = "doubt"  # soon, growing, but not beyond the instant the doubt may be believed
    SLOW = "slow"  # the task waits for a person
    ACCOUNT = "account"  # the account is to slow down: as soon as its gate opens
    REFUSED = "refused"  # the account was refused: behind the other watches, so that one of them is the next probe
    OVER = "over"  # never again


class Step(NamedTuple):
    """What one reading does to a watch. `topic` names the event it causes, if any."""

    memory: Memory
    pace: Pace
    topic: Topic | None = None
    topic_part: str = ""
    reason: str | None = None
    snapshot: Snapshot | None = None

    @property
    def ends(self) -> bool:
        return self.pace is Pace.OVER


def advance(memory: Memory, reading: Reading, *, now: float, age_s: float, rules: Rules) -> Step:
    """Move a watch on by one reading.

    `age_s` is the watch's age without the time its account was blocked. A watch that has ended is never moved:
    callers do not poll it, and asking is a ValueError.
    """
    if memory.phase not in LIVE:
        raise ValueError(f"a watch that is {memory.phase} is not polled")
    memory = Memory(memory.phase, memory.polls + 1, *memory[2:])  # half the time that _replace takes
    if reading.kind in ABOUT_ACCOUNT:
        refused = memory._replace(failures=memory.failures + 1, doubt=None)
        return Step(memory=refused, pace=Pace.REFUSED, reason=reading.detail)
    step = _judge(memory, reading, now, rules)
    if age_s >= rules.give_up_after_s and not step.ends:
        last = f"; the last answer: {reading.detail}" if reading.detail else ""
        reason = f"not ended after {rules.give_up_after_s:.0f} s (give_up_after){last}"
        return _end(step.memory, Phase.TIMED_OUT, reason, reading.snapshot)
    return step


def give_up(memory: Memory, *, reason: str) -> Step:
    """End a watch whose time is over although no answer can be had; ValueError when it has ended before."""
    return _end(memory, Phase.TIMED_OUT, reason, None)


def _judge(memory: Memory, reading: Reading, now: float, rules: Rules) -> Step:
    detail, snapshot = reading.detail or None, reading.snapshot
    match reading.kind:
        case Kind.RUNNING | Kind.PENDING | Kind.NEEDS_INPUT:  # nearly always, so it stands first
            return _alive(memory, reading, now)
        case Kind.SUCCEEDED:
            return _end(memory, Phase.SUCCEEDED, detail, snapshot)
        case Kind.EXPIRED_RESULT:
            gone = None if snapshot is None else snapshot._replace(result={}, urls=())
            return _end(memory, Phase.SUCCEEDED, detail or "the provider has already deleted the result", gone)
        case Kind.FAILED:
            return _end(memory, Phase.FAILED, detail, snapshot)
        case Kind.CANCELED:
            return _end(memory, Phase.CANCELED, detail, snapshot)
        case Kind.NOT_FOUND | Kind.BAD_REQUEST:
            return _doubted(memory, reading, now, (rules.not_found_answers, rules.not_found_over_s))
        case Kind.AMBIGUOUS if reading.lacks_result:
            return _doubted(memory, reading, now, (LACKING_ANSWERS, LACKING_OVER_S))
        case Kind.RATE_LIMITED:
            return Step(memory=memory._replace(doubt=None), pace=Pace.ACCOUNT, reason=detail)
        case _:
            failed = memory._replace(failures=memory.failures + 1, doubt=None)
            pace = Pace.TROUBLE if reading.server_trouble else Pace.BACKOFF
            return Step(memory=failed, pace=pace, reason=detail, snapshot=snapshot)


_BELIEVED: Final[Mapping[Kind, Phase]] = {
    Kind.NOT_FOUND: Phase.NOT_FOUND,
    Kind.BAD_REQUEST: Phase.FAILED,
    Kind.AMBIGUOUS: Phase.SUCCEEDED,
}


def _doubted(memory: Memory, reading: Reading, now: float, bound: tuple[int, float]) -> Step:
    """Count an answer that is believed only when repeated in a row, `bound` = (answers, over seconds)."""
    doubt = memory.doubt
    if doubt is None or doubt.kind is not reading.kind:
        doubt = Doubt(kind=reading.kind, answers=0, since_at=now)
    doubt = replace(doubt, answers=doubt.answers + 1)
    answers, over_s = bound
    if doubt.answers >= answers and now - doubt.since_at >= over_s:
        reason = reading.detail or f'"{reading.kind}" answered {doubt.answers} times in a row'
        return _end(memory, _BELIEVED[reading.kind], reason, reading.snapshot)
    doubted = memory._replace(doubt=doubt, failures=0)
    return Step(memory=doubted, pace=Pace.DOUBT, reason=reading.detail, snapshot=reading.snapshot)


def _alive(memory: Memory, reading: Reading, now: float) -> Step:
    """The task goes on: note phase and progress, and tell what a route may want to hear of it."""
    snapshot = reading.snapshot
    progress = snapshot.progress if snapshot is not None else None
    seen = memory
    if memory.failures or memory.doubt is not None or progress is not None:
        seen = memory._replace(failures=0, doubt=None, progress=memory.progress if progress is None else progress)
    starts = memory.phase is Phase.SUBMITTED and reading.kind is not Kind.PENDING
    if progress is None and not starts and reading.kind is not Kind.NEEDS_INPUT:
        return Step(seen, Pace.STEADY, snapshot=snapshot)
    if starts:
        # To the second, so that a hundred thousand watches found running have few different memories.
        seen = _moved(seen, Phase.RUNNING)._replace(progress_told=progress, progress_told_at=float(math.ceil(now)))
    if reading.kind is Kind.NEEDS_INPUT:
        return Step(
            memory=seen._replace(input_told=True),
            pace=Pace.SLOW,
            topic=None if memory.input_told else Topic.TASK_RUNNING,
            topic_part="input",
            reason=reading.detail or "the task waits for a person",
            snapshot=snapshot,
        )
    if starts:
        return Step(memory=seen, pace=Pace.STEADY, topic=Topic.TASK_RUNNING, snapshot=snapshot)
    is_running = memory.phase is Phase.RUNNING  # of a task that waits, progress is none
    due = is_running and (memory.progress_told_at is None or now - memory.progress_told_at >= PROGRESS_EVERY_S)
    if progress is not None and progress != memory.progress_told and due:
        told = seen._replace(progress_told=progress, progress_told_at=now)
        part = f"{progress:g}"
        return Step(memory=told, pace=Pace.STEADY, topic=Topic.TASK_PROGRESS, topic_part=part, snapshot=snapshot)
    return Step(memory=seen, pace=Pace.STEADY, snapshot=snapshot)


_TOLD: Final[Mapping[Phase, Topic]] = {
    Phase.SUCCEEDED: Topic.TASK_SUCCEEDED,
    Phase.FAILED: Topic.TASK_FAILED,
    Phase.CANCELED: Topic.TASK_CANCELED,
    Phase.NOT_FOUND: Topic.TASK_NOT_FOUND,
    Phase.TIMED_OUT: Topic.TASK_TIMED_OUT,
}


def _end(memory: Memory, phase: Phase, reason: str | None, snapshot: Snapshot | None) -> Step:
    ended = _moved(memory, phase)._replace(failures=0, doubt=None)
    return Step(memory=ended, pace=Pace.OVER, topic=_TOLD[phase], reason=reason, snapshot=snapshot)


def _moved(memory: Memory, phase: Phase) -> Memory:
    """The one place where a phase changes; what the table forbids is a ValueError."""
    if phase not in FOLLOWS[memory.phase]:
        raise ValueError(f"a watch that is {memory.phase} cannot become {phase}")
    return memory._replace(phase=phase)
