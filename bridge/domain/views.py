"""The values that commands read from a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE, Json, Phase, ReadingKind
from bridge.errors import UnknownError

if TYPE_CHECKING:
    from bridge.domain.watch import Watch

BY_PERSON: Final = "by command"  # the source of a request by a person


class WatchView(NamedTuple):
    """One line of `list`. For a withdrawn task, `ended_at` is the time of the withdrawal. `next_poll_at` None: at once,
    or never."""

    account: str
    task_id: str
    action: str | None
    label: str | None
    meta: Mapping[str, Json]
    phase: Phase
    added_at: float
    ended_at: float | None
    next_poll_at: float | None
    polls: int
    progress: float | None
    urls: tuple[str, ...]
    reason: str | None
    watch_id: int

    @property
    def name(self) -> str:
        """The task's label, or else its id."""
        return self.label or self.task_id


class Fact(NamedTuple):
    """A rare event in the history of a watch. `what`: `added`, `named` (by one more source), `revived`, `again`,
    `withdrawn`, `poll asked`, or the new phase. `detail`: the source, or the reason."""

    at: float
    what: str
    detail: str


class ReadingCount(NamedTuple):
    """How often answers of one kind came in this generation of a watch. `last_detail` belongs to the last of them."""

    kind: ReadingKind
    times: int
    first_at: float
    last_at: float
    last_detail: str


class AttemptView(NamedTuple):
    """One attempt of a delivery. `outcome`: accepted, deferred, refused, undeliverable."""

    at: float
    outcome: str
    detail: str
    duration_s: float


class DeliveryView(NamedTuple):
    """One line of `deliveries`. `attempts` counts the current round of retries; `made` holds all attempts (empty in
    lists). For events about an account or endpoint, `task_id` is the endpoint's name, or empty. While the endpoint is
    disabled, nothing is attempted and `next_attempt_at` is None."""

    delivery_id: int
    event_id: str
    endpoint: str
    target: str
    topic: str
    account: str
    task_id: str
    state: DeliveryState
    attempts: int
    next_attempt_at: float | None
    created_at: float
    last_outcome: str | None
    last_detail: str | None
    made: tuple[AttemptView, ...] = ()

    @property
    def place(self) -> str:
        """The endpoint, for a chat with the number of its URL."""
        return f"{self.endpoint}[{self.target}]" if self.target else self.endpoint


class DeliveryTotal(NamedTuple):
    """How many deliveries of one topic an endpoint has, and when the first and the last of them were created."""

    endpoint: str
    topic: str
    deliveries: int
    first_at: float
    last_at: float


class WatchDetails(NamedTuple):
    """Everything about one watch; lists are in order of time. Refused URLs are in `watch.snapshot`."""

    watch: Watch
    sources: tuple[str, ...]  # all that name it or have named it
    history: tuple[Fact, ...]
    readings: tuple[ReadingCount, ...]
    deliveries: tuple[DeliveryView, ...]
    next_poll_why: str


class UnreadView(NamedTuple):
    """An unknown status in an account's answers: the number of answers, the time of the last one, its reason, and when
    people were notified (None: there were too many notifications that day)."""

    account: str
    word: str
    answers: int
    last_at: float
    reason: str
    told_at: float | None


_NOTHING: Final[Mapping[Any, Any]] = {}


class Counts(NamedTuple):
    """The state of the store in figures. Mappings contain no zeros."""

    watches: Mapping[Phase, int] = _NOTHING
    by_account: Mapping[tuple[str, str], int] = _NOTHING  # watches by account and phase; see `ReadStore.counts`
    waiting_by_endpoint: Mapping[str, int] = _NOTHING
    dead_by_endpoint: Mapping[str, int] = _NOTHING
    oldest_by_endpoint: Mapping[str, float] = _NOTHING  # creation time of the delivery that has waited longest
    blocked: Mapping[str, str] = _NOTHING  # accounts, with the reason
    disabled: Mapping[str, str] = _NOTHING  # endpoints, with the reason
    unread: Sequence[UnreadView] = ()  # the latest first

    @property
    def live_by_account(self) -> Mapping[str, int]:
        found = Counter[str]()
        for (account, phase), number in self.by_account.items():
            if phase in LIVE:
                found[account] += number
        return found

    @property
    def oldest_waiting_at(self) -> float | None:
        return min(self.oldest_by_endpoint.values(), default=None)

    @property
    def live(self) -> int:
        return self.watches.get(Phase.SUBMITTED, 0) + self.watches.get(Phase.RUNNING, 0)

    @property
    def timed_out(self) -> int:
        return self.watches.get(Phase.TIMED_OUT, 0)

    @property
    def waiting(self) -> int:
        return sum(self.waiting_by_endpoint.values())

    @property
    def dead(self) -> int:
        return sum(self.dead_by_endpoint.values())


class Unchecked(NamedTuple):
    """Deliveries of one endpoint that count as accepted although the answers could not be checked: their number, the
    time of the last one, and the reason."""

    endpoint: str
    deliveries: int
    last_at: float
    reason: str


class FailingPolls(NamedTuple):
    """Live tasks of one account whose last polls gave no usable answer: their number, and the last such answer."""

    account: str
    tasks: int
    last_at: float
    reason: str


def merged(found: Iterable[tuple[str, int, float, str]]) -> Iterable[tuple[str, int, float, str]]:
    """One row (name, number, time, reason) for each account or endpoint, with its newest reason. Given is a row for
    each reason, the newest last."""
    rows: dict[str, tuple[str, int, float, str]] = {}
    for name, number, last_at, reason in found:
        rows[name] = name, number + (rows[name][1] if name in rows else 0), last_at, reason
    return rows.values()


class QueueWait(NamedTuple):
    """Nothing is sent to this endpoint and target before `until_at`. `reason`: the answer that asked for the wait;
    empty when an earlier message is retried first, to keep the order."""

    endpoint: str
    target: str
    until_at: float
    reason: str


class MemberView(NamedTuple):
    """A daemon that works on a shared store: the number of shares that it holds, and the end of its lease."""

    member: str
    joined_at: float
    lease_until: float
    shares: int

    @property
    def daemon(self) -> str:
        """Its name in the settings, which may have belonged to earlier members."""
        return self.member.rpartition("#")[0]


class Ownership(NamedTuple):
    """What a store records about its owner. `live` has each account with watches, and how many of them are not
    finished; `waiting` counts deliveries. A store of an older version has no `base_urls`."""

    settings: str | None
    base_urls: Mapping[str, str]
    live: Mapping[str, int]
    waiting: int = 0


class RequestResult(NamedTuple):
    """The result of a person's request about one watch: whether it was done, and the current phase, which explains a
    failure (None: the watch does not exist)."""

    key: WatchKey
    done: bool
    phase: Phase | None


def no_watch(key: WatchKey) -> UnknownError:
    """The error for a watch that does not exist."""
    return UnknownError(f"no watch of task {key.task_id} at account {key.account}")
