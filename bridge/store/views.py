"""What the commands read from a store, whichever engine keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from bridge.domain.delivery import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.task import Json, Kind, Phase
from bridge.domain.watch import Watch
from bridge.errors import UnknownError

BY_PERSON: Final = "by command"  # the source of what somebody asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchView:
    """One line of `list`. `ended_at` is also the instant of a withdrawal; `next_poll_at` None: at once, or never."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something rare that happened to a watch. `what`: `added`, `named` (by one more source), `revived`, `again`,
    `withdrawn`, `poll asked`, or the phase it went to. `detail`: the source, or the reason."""

    at: float
    what: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingCount:
    """How often one kind of answer came in this generation of a watch; `last_detail` belongs to the last of them."""

    kind: Kind
    count: int
    first_at: float
    last_at: float
    last_detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One attempt of a delivery. `outcome`: accepted, deferred, refused."""

    at: float
    outcome: str
    detail: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """One line of `deliveries`. `attempts` counts the present round of retries, `made` holds all there were (empty in
    lists). `task_id` is the endpoint's name, or empty, for operator topics. Nothing is attempted while the endpoint is
    disabled: `next_attempt_at` is None."""

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
        """The endpoint, and of a chat which of its URLs."""
        return f"{self.endpoint}[{self.target}]" if self.target else self.endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is known of one watch and bears on it, each part in order of time. Refused URLs stand in
    `watch.snapshot`."""

    watch: Watch
    sources: tuple[str, ...]  # that name it, or did so once
    history: tuple[Fact, ...]
    readings: tuple[ReadingCount, ...]
    deliveries: tuple[DeliveryView, ...]
    next_poll_why: str
    disabled: Mapping[str, str]  # endpoints that are told nothing now, with the reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The state of the whole store, in figures. Mappings hold no zeros."""

    watches: Mapping[Phase, int]
    live_by_account: Mapping[str, int]
    waiting_by_endpoint: Mapping[str, int]
    dead_by_endpoint: Mapping[str, int]
    oldest_waiting_at: float | None  # when the delivery that has waited longest was made
    blocked: Mapping[str, str]  # accounts, with the reason
    disabled: Mapping[str, str]  # endpoints, with the reason

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """A daemon that works on a shared store: how many shares of the work it holds, and until when it may."""

    member: str
    joined_at: float
    lease_until: float
    shares: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What became of a person's wish about one watch: whether it was done, and the phase the watch is in now, which
    says why not (None: there is no such watch)."""

    key: WatchKey
    done: bool
    phase: Phase | None


class Views(Protocol):
    """What commands read, beside a running daemon or without one. Changes nothing."""

    def list_watches(
        self,
        *,
        phase: Phase | None = None,
        account: str | None = None,
        label: str | None = None,
        limit: int | None = None,
    ) -> list[WatchView]:
        """Watches that match all that is given, the one added last first."""

    def find(self, task_id: str, account: str | None = None) -> list[Watch]:
        """The watches of this id: one for each account that has it."""

    def view(self, key: WatchKey) -> WatchView:
        """One watch as `list_watches` shows it; UnknownError when there is none."""

    def story(self, key: WatchKey) -> Story:
        """All about one watch; UnknownError when there is none."""

    def count_due(self, account: str, now: float) -> int:
        """How many watches of the account are to be asked about at once, or should have been by now."""

    def list_deliveries(
        self, *, state: DeliveryState | None = None, event_ids: Sequence[str] = (), limit: int | None = None
    ) -> list[DeliveryView]:
        """Deliveries in this state (None: in any) of these events (none named: of all), the newest first, without
        their attempts."""

    def deliveries_of(self, key: WatchKey) -> list[DeliveryView]:
        """A watch's deliveries with their attempts, the oldest first."""

    def counts(self) -> Counts:
        """The whole store in figures."""

    def members(self) -> list[MemberView]:
        """The daemons that share the store's work now; of a store that has one alone, none."""


class Asks(Protocol):
    """What people ask for by commands."""

    def withdraw(self, keys: Sequence[WatchKey], *, now: float) -> list[Touched]:
        """Stop watching, without an event."""

    def poll_now(self, keys: Sequence[WatchKey], *, now: float) -> list[Touched]:
        """Have these asked about at once."""

    def redeliver(self, *, event_ids: Sequence[str], dead: bool, since: float | None, endpoint: str | None) -> int:
        """Deliver again what matches all that is given: the same id and bytes, a full round of attempts, due at once.

        Says how many deliveries that are. Canceled ones stay so. With nothing given nothing matches.
        """

    def enable(self, endpoint: str) -> bool:
        """Deliver to this endpoint again; False when it was not disabled."""


def unknown(key: WatchKey) -> UnknownError:
    """What is raised about a watch that there is not."""
    return UnknownError(f"no watch of task {key.task_id} at account {key.account}")
