"""The seams: what rooms promise one another. An implementation does not inherit from its Protocol.

Store slices (`Watches`, `Commits`, `Outbox`) are blocking and are called through `Offload`; every method is one whole
transaction that is synced to disk when it returns, and raises StoreError when it could not be done (nothing was
then applied, or what was applied is applied again harmlessly when repeated).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeVar

import anyio

from bridge.domain.change import AccountState, Change, Note
from bridge.domain.delivery import Delivery, Outcome
from bridge.domain.durations.knowledge import Key
from bridge.domain.durations.table import Table
from bridge.domain.event import Event, Parcel
from bridge.domain.ids import WatchKey
from bridge.domain.shares import Share
from bridge.domain.task import Reading
from bridge.domain.watch import WatchState, Wish

T = TypeVar("T")

MOST_BYTES: Final = 32 << 20  # of bodies that a lane takes from the store at once: answers may hold pictures

Tell = Callable[[Event], Sequence[Parcel]]
"""From an event to the bytes for every destination it is routed to. Pure; called inside the transaction."""


class Clock(Protocol):
    """Time and chance. Instants are seconds since the epoch."""

    def now(self) -> float:
        """Wall-clock time: for what people and receivers read."""

    def steady(self) -> float:
        """Starts as wall time, then unaffected by clock changes: for every schedule and every age."""

    def chance(self) -> float:
        """A number in [0, 1)."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""

    async def wait(self, wake: anyio.Event, timeout_s: float | None) -> bool:
        """Return when `wake` is set (True) or after `timeout_s` seconds (False; None: never)."""


class Offload(Protocol):
    """Runs blocking store calls away from the event loop, one at a time, in order."""

    async def __call__(self, call: Callable[..., T], *args: object) -> T:
        """The call's result or exception. Once begun it is not cancelled: the caller waits for its end."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a source has been read; `value` is the source's own business."""

    source: str
    value: str


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a wish: `added`, `revived` (had been withdrawn), `again` (a new generation), or no-op:
    `known` (is being watched), `ended` (has ended; `add --again` watches anew)."""

    key: WatchKey
    what: str
    phase: str


class Watches(Protocol):
    """What intake and poller ask of the store."""

    def add(
        self,
        wishes: Sequence[Wish],
        *,
        source: str,
        now: float,
        again: bool = False,
        cursor: Cursor | None = None,
    ) -> list[Added]:
        """Watch these tasks; the same (account, id) again is one watch. The cursor moves in the same transaction."""

    def sync(self, wishes: Sequence[Wish], *, source: str, now: float) -> tuple[list[Added], list[WatchKey]]:
        """Make `source` name exactly these tasks: add what is new, withdraw what it no longer names, has not ended,
        and no other source names. Returns what was added and what was withdrawn."""

    def cursor(self, source: str) -> str | None:
        """How far the source had been read."""

    def changed(self, since: int) -> tuple[int, list[WatchState]]:
        """The store's revision, and the watches touched by anyone but the poller after revision `since` (0: all
        live ones), live or not."""

    def live(self, *, most: int) -> Iterator[list[WatchState]]:
        """All live watches, at most `most` at a time, so that a million need not be held twice. Each step is a
        transaction of its own, to be called through `Offload`; what is touched meanwhile is told by `changed`."""

    def note(self, notes: Sequence[Note]) -> None:
        """Write polls down. Notes about watches that have changed generation or ended meanwhile are dropped."""


class Commits(Protocol):
    """The one door for transitions and outcomes."""

    def commit(self, changes: Sequence[Change], tell: Tell) -> list[bool]:
        """Apply all changes in one transaction, each with the event it causes and that event's deliveries; says of
        each whether it applied. One whose ground has shifted (already ended, withdrawn, new generation) does not."""

    def accounts(self) -> Mapping[str, AccountState]:
        """What is remembered of each account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """Who works on a store and who holds what, at one instant of the store's own clock.

    `members`: those whose lease lasts, each with the scopes it serves and into how many groups it would cut them.
    `holders`: the member that holds each share; a share of nobody is absent.
    """

    members: Mapping[str, Mapping[str, int]]
    holders: Mapping[Share, str]


class Shares(Protocol):
    """How several daemons divide one store's work. A store whose daemon is alone grants it everything.

    A member's lease is a time by the store's clock, prolonged by `renew`. Once it has ended anybody may take the
    member's shares over, and whatever the member still commits raises LeaseLost.
    """

    def join(self, *, name: str, scopes: Mapping[str, int], lease_s: float) -> str:
        """Become a member for so long; its id is `name` and a fencing number, never the same twice. From now on this
        store's changes are committed only while the lease lasts, and it tells only of what the member holds."""

    def renew(self, *, scopes: Mapping[str, int], lease_s: float) -> Roll:
        """Prolong the lease, free what the members hold whose lease has ended, and call the roll. LeaseLost when
        ours has ended: somebody else may already work on what we held."""

    def claim(self, shares: Collection[Share]) -> frozenset[Share]:
        """Hold those of the shares that nobody holds; says which they were."""

    def release(self, shares: Collection[Share]) -> None:
        """Hold these no longer: others may claim them at once."""

    def leave(self) -> None:
        """Be no member any more and hold nothing. Harmless when the lease has ended."""


class News(NamedTuple):
    """Numbers that change when somebody else has written to the store: touched watches, accounts or endpoints, or
    asked for something (`work`); put deliveries out that are ours to make (`outbox`); come, gone or let go of something
    (`members`); ended tasks (`ends`). A store that cannot tell these apart has all of it be `work`."""

    work: int = 0
    outbox: int = 0
    members: int = 0
    ends: int = 0


class Newsworthy(Protocol):
    """How a daemon hears what others do to its store."""

    def news(self) -> News:
        """What there was up to now. It costs no disk access. StoreError while nothing can be heard."""


class Outbox(Protocol):
    """What the dispatcher asks of the store."""

    def lanes(self) -> list[tuple[str, str]]:
        """Every (endpoint, target) that has waiting deliveries."""

    def hasten(self, *, latest_at: float) -> int:
        """Make due at once what waits for an instant after `latest_at`, which only a wrong clock can have named; says
        how many deliveries that were."""

    def due(
        self,
        endpoint: str,
        target: str,
        *,
        now: float,
        limit: int,
        most_bytes: int = MOST_BYTES,
        apart_from: Collection[int] = (),
    ) -> tuple[list[Delivery], float | None]:
        """At most `limit` waiting deliveries of this lane whose time has come, longest due first, and of each task only
        the oldest waiting one (fewer when their bodies would be longer than `most_bytes` together); and when the next
        one after those falls due (None: none waits). Those `apart_from` which the others are asked for, by delivery_id,
        are left out of both; what waits behind them still does."""

    def disabled(self, fingerprints: Mapping[str, str]) -> Mapping[str, str]:
        """Endpoints that answered 410, with the reason. One whose settings' fingerprint differs from that of the day
        it was disabled is enabled again first."""


class Durations(Protocol):
    """What daemons have learned of how long tasks take, in common."""

    def durations(self) -> Mapping[Key, Table | None]:
        """What is known of every kind of task; None where that cannot be read, and is to be learned anew."""

    def learn(self, fresh: Mapping[Key, Table]) -> Mapping[Key, Table]:
        """Add to what is stored what this daemon has seen since it last did (`Table.absorb`: older ends fade by the
        number of new ones), and return the sums of these kinds, with what other daemons added meanwhile. Applied twice
        it counts twice; nothing but the next poll's instant depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchKey:
    """Tasks of one account with equal keys may be asked about in one request, at most `most` of them."""

    name: str
    most: int


class Provider(Protocol):
    """One account's way to ask about its tasks."""

    def batch_key(self, task_id: str, action: str | None) -> BatchKey | None:
        """Which tasks this one may be asked about together with; None when it must be asked about alone."""

    async def ask_together(self, task_ids: Sequence[str], action: str | None) -> Mapping[str, Reading] | Reading:
        """Ask about tasks of one batch key at once: a reading for each, "not found" for those the answer leaves out.
        A reading alone says that the batch as a whole failed. Otherwise as `ask`."""

    async def ask(self, task_id: str, action: str | None) -> Reading:
        """Ask once. Every failure is a Reading; nothing but cancellation is raised."""


class Intake(Protocol):
    """How a source hands tasks over. Both calls return only after the commit; while the store cannot be written they
    wait and try again, so a source never needs to."""

    async def add(self, wishes: Sequence[Wish], *, source: str, cursor: Cursor | None = None) -> list[Added]:
        """Watch these tasks (see `Watches.add`)."""

    async def sync(self, wishes: Sequence[Wish], *, source: str) -> None:
        """Make `source` name exactly these tasks (see `Watches.sync`)."""

    async def cursor(self, source: str) -> str | None:
        """How far the source had been read."""


class Source(Protocol):
    """Where watches come from."""

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Read for ever; `started()` after the first complete reading. Errors of the outside are logged, not raised."""

    def is_idle(self) -> bool:
        """Whether everything seen so far has been taken or refused."""


class Sink(Protocol):
    """One configured endpoint."""

    def parcels(self, event: Event) -> Sequence[Parcel]:
        """The event's bytes for each target. Pure; never raises on any event."""

    def targets(self) -> Sequence[str]:
        """The targets of today's settings, each a queue of its own."""

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Hand it over once, within the delivery time-out; never retry inside. Safe to repeat with the same delivery.
        Every failure is an Outcome; nothing but cancellation is raised."""
