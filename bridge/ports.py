"""The interfaces between rooms. An implementation does not inherit from its Protocol.

The store's interfaces (`Watches`, `Commits`, `Outbox`, ...) block, so they are called through `Offload`. Every method
is one transaction that is on disk when it returns. It raises StoreError if it failed; it can then be repeated safely.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:  # so that quick commands, which use one value of this module, do not import the rest
    import anyio

    from bridge.domain.callback import Callback, CallbackRequest
    from bridge.domain.change import Change, Note
    from bridge.domain.delivery import Delivery, Outcome
    from bridge.domain.durations.table import DurationKey, Table
    from bridge.domain.event import Event, Parcel
    from bridge.domain.finding import Finding
    from bridge.domain.ids import WatchKey
    from bridge.domain.list_mark import ListedTask
    from bridge.domain.slots import Roster, Share
    from bridge.domain.source import SourceFacts, SourceTally
    from bridge.domain.task import Json, Reading
    from bridge.domain.watch import WatchState, Wish

T = TypeVar("T")

MOST_BYTES: Final = 32 << 20  # limit for delivery bodies that are fetched together: results may embed pictures

ParcelsFor: TypeAlias = "Callable[[Event], Sequence[Parcel]]"
"""Returns the bytes for every target that an event is routed to. Pure; called inside the transaction."""


class Clock(Protocol):
    """Time and random numbers. Times are seconds since the epoch."""

    def now(self) -> float:
        """Wall-clock time, for people and receivers."""

    def steady(self) -> float:
        """Starts as wall time, then ignores clock changes. For every schedule and every age."""

    def chance(self) -> float:
        """A number in [0, 1)."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""

    async def wait(self, wake: anyio.Event, timeout_s: float | None) -> bool:
        """Return True when `wake` is set, or False after `timeout_s` seconds (None: never)."""


class Offload(Protocol):
    """Runs blocking store calls away from the event loop, one at a time, in order."""

    async def __call__(self, call: Callable[..., T], *args: object) -> T:
        """The call's result or exception. A call that has begun is not canceled; the caller waits for it."""


class Added(NamedTuple):
    """The result of adding a task: `added`, `revived` (it was withdrawn), `again` (a new generation), or unchanged:
    `known` (already watched), `ended` (finished; `add --again` watches it again), `withdrawn` (and not revived)."""

    key: WatchKey
    what: str
    phase: str


class Watches(Protocol):
    """What intake and poller need from the store."""

    def add(
        self,
        wishes: Sequence[Wish],
        *,
        source: str,
        now: float,
        again: bool = False,
        revive: bool = True,
        cursor: str | None = None,
    ) -> list[Added]:
        """Watch these tasks. The same account and id mean the same watch. Without `revive`, withdrawn tasks stay
        withdrawn. `cursor` is how far the source has been read, in the source's own format. It is stored in the same
        transaction."""

    def sync(
        self, wishes: Sequence[Wish], *, source: str, now: float, kept: Collection[WatchKey] | None = ()
    ) -> tuple[list[Added], list[WatchKey]]:
        """Make `source` name exactly these tasks. New ones are added. Tasks that it no longer names are withdrawn,
        unless they have finished or another source names them. Tasks in `kept` are neither added nor withdrawn; with
        None, no task is withdrawn. Returns the added and the withdrawn tasks."""

    def cursor(self, source: str) -> str | None:
        """How far the source has been read."""

    def revision(self) -> int:
        """The store's revision, a number that grows whenever anyone but the poller changes a watch."""

    def changed(self, since: int) -> tuple[int, list[WatchState]]:
        """The store's revision, and the watches that anyone but the poller changed after revision `since`, live or not
        (0: all live ones)."""

    def live(self, *, most: int) -> Iterator[list[WatchState]]:
        """All live watches, at most `most` at a time, so that a million are never in memory twice. Each step is its own
        transaction, called through `Offload`. Changes during the iteration are returned by `changed`."""

    def answered_actions(self, account: str) -> frozenset[str | None]:
        """The actions for which the provider has answered about a task of the account."""

    def note(self, notes: Sequence[Note]) -> None:
        """Store polls. A note is dropped if its watch has finished or started a new generation since then."""


class Commits(Protocol):
    """Stores transitions and outcomes."""

    def commit(self, changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        """Apply all changes in one transaction, each with the event it causes and the event's deliveries. Returns for
        each whether it applied: it does not if the watch has finished, was withdrawn, or has a new generation."""


class StoreObserver(Protocol):
    """Is notified of changes to the store, on the event loop. Its methods return at once."""

    def committed(self, changes: Sequence[Change]) -> None:
        """This daemon has committed these changes; each of them applied."""

    def noted(self, notes: Sequence[Note]) -> None:
        """This daemon has stored these polls."""

    def changed(self) -> None:
        """Anything else may have changed, through a source, a person or another process."""


class Shares(Protocol):
    """How several daemons divide one store's work. A store for one daemon gives it everything.

    A member's lease lasts until a time by the store's clock; `renew` extends it. After its end, others may take over
    the member's shares, and every commit of the member raises LeaseLost.
    """

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        """Become a member for `lease_s`, and free what this store held as a member before. Returns the member's id:
        `name` and a fencing number that is never used twice. From now on this store commits only while the lease lasts
        and reports only news about shares that the member holds."""

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roster:
        """Extend the lease, free the shares of members whose lease has ended, and return the roster. LeaseLost if this
        member's own lease has ended, because others may already work on its shares."""

    def claim(self, shares: Collection[Share]) -> frozenset[Share]:
        """Take those of the shares that are free, and return them."""

    def release(self, shares: Collection[Share]) -> None:
        """Give up these shares; others may claim them at once."""

    def leave(self) -> None:
        """End the membership and give up all shares. Harmless if the lease has ended."""


class News(NamedTuple):
    """Counters that change when another process has written to the store. A store that cannot tell these apart counts
    everything as `work`. The store's `news()` returns them without disk access, or raises StoreError while it cannot
    notice changes."""

    work: int = 0  # watches, accounts or endpoints changed, or a person requested something
    outbox: int = 0  # deliveries for this daemon were added
    members: int = 0  # a daemon joined, left or gave up shares
    ends: int = 0  # tasks finished


class Outbox(Protocol):
    """What the dispatcher needs from the store."""

    def queues(self) -> list[tuple[str, str]]:
        """Every (endpoint, target) that has waiting deliveries."""

    def queue_wait_ends(self, fingerprints: Mapping[str, str]) -> Mapping[tuple[str, str], float]:
        """Every (endpoint, target) that must wait, and until when. A wait that was set under other settings of the
        endpoint is removed, and its deliveries are due at once."""

    def failing(self) -> frozenset[str]:
        """The endpoints that have not accepted an attempt since their last failure."""

    def make_due(self, *, latest_at: float, first_at: float) -> int:
        """Make deliveries due at once if their first attempt is after `first_at` (they wait for copies), or a later one
        after `latest_at`, which only a wrong clock can cause. Returns their number."""

    def due(
        self,
        endpoint: str,
        target: str,
        *,
        now: float,
        limit: int,
        most_bytes: int = MOST_BYTES,
        apart_from: Collection[int] = (),
        in_order: bool = False,
    ) -> tuple[list[Delivery], float | None]:
        """Up to `limit` due deliveries of this queue, and when the next one after them is due (None: none waits).

        Those that have been due longest come first; with `in_order`, those that were committed first. For each task,
        only the oldest waiting delivery is returned. Fewer are returned if their bodies together would exceed
        `most_bytes`. The delivery ids in `apart_from` are left out, and later deliveries of their tasks keep waiting.
        """

    def disabled(self, fingerprints: Mapping[str, str]) -> Mapping[str, str]:
        """Endpoints that answered 410, with the reason. An endpoint whose fingerprint has changed since then is enabled
        first."""


class Durations(Protocol):
    """What all daemons have learned about how long tasks take."""

    def durations(self) -> Mapping[DurationKey, Table | None]:
        """What is known about each kind of task; None if it cannot be read and must be learned again."""

    def learn(self, fresh: Mapping[DurationKey, Table]) -> Mapping[DurationKey, Table]:
        """Add what this daemon has learned since its last call (`Table.absorb`), and return the totals of these kinds
        with what other daemons have added. A repeated call counts twice, which only affects when the next polls are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchKey:
    """Tasks of one account with equal keys can share one request, at most `most` of them."""

    name: str
    most: int


class SourceRecords(Protocol):
    """Stores the figures of each daemon's sources."""

    def sources(self) -> list[SourceFacts]:
        """The sources of all daemons, ordered by name."""

    def record_sources(self, facts: Sequence[SourceFacts]) -> None:
        """Replace what is stored about these sources."""


class Provider(Protocol):
    """Polls the tasks of one account."""

    def batch_key(self, task_id: str, action: str | None) -> BatchKey | None:
        """Identifies the tasks that can share a request with this one; None if it needs its own request."""

    def route(self, task_id: str, action: str | None) -> str:
        """The address of the account at which this task is polled; "" if there is only one."""

    async def poll_batch(self, task_ids: Sequence[str], action: str | None) -> Mapping[str, Reading] | Reading:
        """Poll tasks of one batch key with one request: a reading for each, "not found" for those the answer omits. A
        single reading means that the whole batch failed. Otherwise as `poll`."""

    async def poll(self, task_id: str, action: str | None) -> Reading:
        """Send one request. Every failure is a Reading; only cancellation is raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAdmitted:
    """A request may not be sent on an account now. `left_s`: for how long; infinity if unknown."""

    left_s: float
    reason: str


class CallbackReader(Protocol):
    """Reads the callbacks of one account."""

    def read(self, request: CallbackRequest, *, now: float) -> Callback:
        """The content of a callback, and what its signature proves at this wall-clock time. Never raises."""

    async def refresh(self, now: float) -> bool:
        """Fetch the public keys that the provider signs with, if that is due. Returns False if it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which page of the provider's list of tasks to request."""

    action: str | None = None  # the action that has the list
    is_cut: bool = False  # the list starts at `since_ms`
    since_ms: int = 0  # creation time
    number: int = 1
    offset: int = 0  # number of tasks on the previous pages
    more: Mapping[str, Json] = field(default_factory=dict)  # parameters from the previous page's answer


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """A page of the list, newest tasks first. `following` is None if it is the last."""

    tasks: Sequence[ListedTask]
    following: PageRequest | None


class TaskLists(Protocol):
    """Lists the tasks of one account, for providers that can."""

    def first_pages(self, action: str | None) -> Sequence[PageRequest]:
        """The first page of each list: one for each action if the provider has separate lists. `action` is the
        account's."""

    async def list_page(self, page: PageRequest) -> ListPage | Reading:
        """Send one request. Every failure is a Reading; only cancellation is raised."""


class Intake(Protocol):
    """How a source hands over tasks. The calls return after the commit. While the store cannot be written, they retry,
    so sources do not have to."""

    async def add(
        self, wishes: Sequence[Wish], *, source: str, revive: bool = True, cursor: str | None = None
    ) -> list[Added]:
        """Watch these tasks (see `Watches.add`)."""

    async def sync(self, wishes: Sequence[Wish], *, source: str, kept: Collection[WatchKey] | None = ()) -> None:
        """Make `source` name exactly these tasks (see `Watches.sync`)."""

    async def cursor(self, source: str) -> str | None:
        """How far the source has been read."""


class Source(Protocol):
    """Where watches come from. `tally` counts the tasks that it has found so far."""

    tally: SourceTally

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Read until canceled; `started()` after the first complete reading. Outside errors are logged, not raised."""

    def is_idle(self) -> bool:
        """Whether all tasks found so far have been accepted or rejected."""


class FileSource(Source, Protocol):
    """A source that reads files."""

    def inspect(self) -> Finding:
        """The result of `genbridge check` for this source. Blocks; changes nothing."""


class Sink(Protocol):
    """One configured endpoint."""

    def parcels(self, event: Event, *, plain: bool = False) -> Sequence[Parcel]:
        """The event's bytes for each target; with `plain`, in the simplest form, for when the usual one fails. Pure;
        never raises."""

    def targets(self) -> Sequence[str]:
        """The targets in the settings. Each has its own queue."""

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt, without retries, each request within the delivery timeout. Safe to repeat. Every failure is
        an Outcome; only cancellation is raised."""
