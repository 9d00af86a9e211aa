"""The changes that the engine asks the store to commit. Each one is applied completely or not at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, assert_never

from bridge.domain.callback import CallbackHeard
from bridge.domain.delivery import AttemptMade
from bridge.domain.event import Topic
from bridge.domain.ids import WatchKey
from bridge.domain.task import ReadingKind, Snapshot
from bridge.domain.watch import Memory

DAY_S: Final = 86_400.0
MOST_NOTIFIED: Final = 5  # notifications about new unknown status words of one account in a day
MOST_WORDS: Final = 100  # unknown words stored for each account; all further ones share one counter
OTHER_WORDS: Final = "(others)"


class Note(NamedTuple):
    """A poll that changed nothing. Notes are stored in batches; a crash may lose those of the last second.

    `kind` and `detail` are counted per watch for `explain`; `next_poll_why` is the reason for `next_poll_at`. The poll
    answers requests for a poll up to this `revision` of the watch; later ones stay.
    """

    key: WatchKey
    generation: int
    memory: Memory
    kind: ReadingKind
    detail: str
    at: float
    next_poll_at: float | None
    next_poll_why: str
    heard: CallbackHeard | None = None  # the callback that led to this poll
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """A transition of one watch, with the event it causes. It applies only if the stored watch is still live and has
    the same generation; otherwise nothing is stored or sent."""

    note: Note
    ends: bool
    topic: Topic | None
    topic_part: str = ""
    reason: str | None = None
    snapshot: Snapshot | None = None
    provider: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """An account was blocked or restored. `count` numbers its blocks. When it is restored, `blocked_s` is the total of
    all blocks, and `lasted_s` the duration of the last one. `tasks` is the number of tasks that wait; None when other
    daemons hold some of them."""

    account: str
    blocked: bool
    reason: str
    count: int
    blocked_s: float
    at: float
    lasted_s: float = 0.0
    tasks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountAskedToWait:
    """The provider asked the account to wait (Retry-After).

    Without a route, the whole account waits. With a route, only that route waits, because of a 5xx. The
    route is "" if addresses contain no action. For the route `FAILING`, see `RouteWait`. `until_at` 0 ends that wait.
    """

    account: str
    until_at: float
    route: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChecked:
    """Some time has passed since an attempt at this endpoint failed, so `endpoint_failing` may be due. Applies only
    while the endpoint still fails."""

    endpoint: str
    at: float
    ahead_s: float = 0.0  # how far the wall clock is ahead of `at`


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerUnread:
    """Some answers of an account could not be read: `answers` since the last such change.

    `word` is what was unknown in them: a status word, `too_large` or `unknown_route`. Applies only if the word is new.
    """

    account: str
    word: str
    reason: str
    answers: int
    at: float


def admitted(change: AnswerUnread, *, words: int, notified: int, is_known: bool) -> tuple[AnswerUnread, float | None]:
    """The change as it is stored, and when people are notified if its word is new (None: they are not).

    `words`: how many words the account has. `notified`: how many of them were notified in the last `DAY_S`.
    """
    if words >= MOST_WORDS and not is_known:
        return replace(change, word=OTHER_WORDS), None
    return change, change.at if notified < MOST_NOTIFIED else None


Change = TaskChange | AccountChange | AccountAskedToWait | AnswerUnread | AttemptMade | EndpointChecked


def key_of(change: Change) -> str:
    """What the change is about, for a log line."""
    match change:
        case TaskChange(note=note):
            return f"{note.key.account}/{note.key.task_id}"
        case AttemptMade(event_id=event_id):
            return event_id
        case AccountChange(account=account) | AccountAskedToWait(account=account) | AnswerUnread(account=account):
            return account
        case EndpointChecked(endpoint=endpoint):
            return endpoint
        case _:
            assert_never(change)


def concerns_all(change: Change) -> bool:
    """Whether it is about what all daemons on a store share: accounts and endpoints."""
    disables = isinstance(change, AttemptMade) and change.disables
    return disables or isinstance(change, AccountChange | AccountAskedToWait | AnswerUnread)


def answer_bytes(change: Change) -> int:
    """About how many bytes of the provider's answer this change adds to the store."""
    if not isinstance(change, TaskChange) or change.snapshot is None:
        return 0
    total, left = 0, [change.snapshot.message, change.snapshot.result, change.snapshot.kept]
    while left:  # no recursion, because the depth of the values is not limited
        value: Any = left.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
        else:
            total += 8
    return total
