"""The accounts and endpoints that this daemon works on. Settings, shares and other processes change them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from bridge.domain.account_state import AccountState
from bridge.domain.pause import Pause, PauseOf, lasting
from bridge.domain.slots import Share, account_scope, endpoint_scope
from bridge.engine.dispatcher import Dispatcher
from bridge.engine.plans import AccountPlan, EndpointPlan
from bridge.engine.poller import Poller
from bridge.engine.write_batcher import WriteBatcher
from bridge.logs import get_logger
from bridge.ports import Clock, Offload

log = get_logger()


class WorkStore(Protocol):
    """What the workload needs from the store."""

    def accounts(self) -> Mapping[str, AccountState]:
        """The stored state of each account."""

    def pauses(self) -> Sequence[Pause]:
        """The last pause of each account and endpoint that a person has set."""


class Workload:
    """`membership.Worker` for the poller and the dispatcher. StoreError passes through every method that reads the
    store."""

    def __init__(
        self,
        *,
        store: WorkStore,
        poller: Poller,
        dispatcher: Dispatcher,
        writes: WriteBatcher,
        offload: Offload,
        clock: Clock,
    ) -> None:
        self._store = store
        self._poller = poller
        self._dispatcher = dispatcher
        self._writes = writes
        self._offload = offload
        self._clock = clock
        self._pauses: Sequence[Pause] = ()
        self._names: dict[PauseOf, Collection[str]] = {}

    async def apply(self, accounts: Mapping[str, AccountPlan], endpoints: Mapping[str, EndpointPlan]) -> dict[str, int]:
        """Work according to these plans from now on. Returns the scopes to take part in, with the number of groups of
        each. After a StoreError, call it again."""
        stored = await self._accounts()
        await self._read_pauses()
        self._poller.configure(accounts, stored)
        await self._dispatcher.configure(endpoints)
        self._names = {PauseOf.ACCOUNT: accounts.keys(), PauseOf.ENDPOINT: endpoints.keys()}
        scopes = {account_scope(name): plan.groups for name, plan in accounts.items()}
        return scopes | {endpoint_scope(name): plan.groups for name, plan in endpoints.items()}

    def set_shares(self, held: frozenset[Share], *, daemons: int) -> None:
        self._poller.set_shares(held, daemons=daemons)
        self._dispatcher.set_shares(held)

    async def load(self) -> None:
        self._poller.update(await self._accounts())
        await self._read_pauses()
        await self._poller.load()
        await self._dispatcher.load()

    async def quiet(self, scope: str) -> None:
        await self._dispatcher.quiet(scope)  # a chat may take minutes; other scopes must not wait
        await self._poller.quiet()
        await self._writes.flush_notes()  # so that the next holder knows when each watch was polled

    async def notice_served(self, scopes: Collection[str]) -> None:
        await self._dispatcher.notice_served(scopes)

    async def refresh(self) -> None:
        """React to what other processes changed in the store: pauses, accounts, watches, endpoints."""
        await self._read_pauses()
        self._poller.update(await self._accounts())
        await self._poller.fetch_changes()
        await self._dispatcher.refresh()

    def can_progress(self, live: Collection[str], waiting: Collection[str]) -> bool:
        """Whether work can continue: at least one of these accounts with live watches is polled, or one of these
        endpoints with waiting deliveries is served. A pause until further notice counts as neither."""
        paused = {(pause.of, pause.name) for pause in self._pauses if pause.until_at is None}
        return any(
            name in self._names.get(of, ()) and (of, name) not in paused
            for of, names in ((PauseOf.ACCOUNT, live), (PauseOf.ENDPOINT, waiting))
            for name in names
        )

    async def _accounts(self) -> dict[str, AccountState]:
        """The stored states, with their blocks and pauses by the steady clock."""
        stored, ahead_s = await self._offload(self._store.accounts), self._clock.steady() - self._clock.now()
        return {name: state.moved(ahead_s) for name, state in stored.items()}

    async def _read_pauses(self) -> None:
        """Apply the pauses. People set them by the wall clock, which may have been changed since the start."""
        pauses, now = await self._offload(self._store.pauses), self._clock.now()
        _log_changes(self._pauses, pauses, now)
        self._pauses = pauses
        endpoints, ahead_s = lasting(pauses, PauseOf.ENDPOINT, now), self._clock.steady() - now
        self._dispatcher.pause({name: pause.moved(ahead_s).ends_at for name, pause in endpoints.items()})


def _log_changes(before: Sequence[Pause], pauses: Sequence[Pause], now: float) -> None:
    """Log each pause that started, got another end, or was ended by a person."""
    known = {(pause.of, pause.name): pause for pause in before}
    for pause in pauses:
        earlier = known.get((pause.of, pause.name))
        if pause == earlier:
            continue
        about = {str(pause.of): pause.name}
        if pause.lasts(now):
            ends = {} if pause.until_at is None else {"seconds": round(pause.until_at - now, 1)}
            log.info("pause.started", **about, **ends)
        elif earlier is not None and earlier.lasts(now):
            log.info("pause.ended", **about)
