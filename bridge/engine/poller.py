"""The pollers of all accounts, fed from the store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import anyio
import anyio.abc
import anyio.lowlevel

from bridge import garbage_collector
from bridge.domain.account_state import AccountState
from bridge.domain.daemon_state import AccountNow
from bridge.domain.durations.learned_durations import LearnedDurations
from bridge.domain.host_limits import HostLimits
from bridge.domain.slots import NOTHING, Share, account_scope, portion_held, slots_held
from bridge.domain.task import Reading
from bridge.domain.watch import WatchState
from bridge.engine.account import AccountPoller
from bridge.engine.membership import Lease
from bridge.engine.plans import AccountPlan
from bridge.engine.write_batcher import WriteBatcher
from bridge.logs import get_logger
from bridge.metrics import Metrics
from bridge.ports import Clock, NotAdmitted, Offload, Watches

SLICE: Final = 500  # watches read and put without a break for polls; the memory of more rows would stay in use
OVERDUE_EVERY_S: Final = 30.0  # while a provider fails, how often to look for watches that have timed out

log = get_logger()


class Poller:
    """Runs a poller for each account. `accounts` are those of the current settings. StoreError passes through the
    methods that read the store.

    Other programs send requests through the accounts, too: `admit`, `left`, `limited`, `submit`. They count in the
    accounts' limits, and an answer about a watched task counts like a poll.
    """

    def __init__(
        self,
        *,
        watches: Watches,
        writes: WriteBatcher,
        offload: Offload,
        clock: Clock,
        lease: Lease,
        knowledge: LearnedDurations,
        metrics: Metrics,
    ) -> None:
        self._watches = watches
        self._writes = writes
        self._offload = offload
        self._lease = lease
        self._knowledge = knowledge
        self._metrics = metrics
        self._clock = clock
        self.accounts: dict[str, AccountPoller] = {}
        self._removed: dict[str, AccountPoller] = {}  # if an account comes back, its limits still apply
        self._hosts: dict[str, HostLimits] = {}
        self._group: anyio.abc.TaskGroup | None = None
        self._stopped = anyio.Event()
        self._is_reconfigured = False  # whether settings changed after `_put_all`
        self._fetching = anyio.Lock()  # an older reading must not be put after a newer one
        self._revision: int | None = None  # the store's revision up to which watches have been read
        self.finished = anyio.Event()  # set when nothing is in flight

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run the accounts' pollers; return after `stop` when nothing is in flight."""
        try:
            async with anyio.create_task_group() as self._group:
                self._group.start_soon(self._check_overdue)
                task_status.started()
                await self._stopped.wait()
                for account in self._all:
                    account.workers.stop()
        finally:
            self._stopped.set()
            self.finished.set()

    async def _check_overdue(self) -> None:
        """Time out the watches of failing accounts, and recalculate when each account polls next."""
        while not await self._clock.wait(self._stopped, OVERDUE_EVERY_S):
            for account in self.accounts.values():
                account.give_up_overdue()

    @property
    def _all(self) -> list[AccountPoller]:
        return [*self.accounts.values(), *self._removed.values()]

    def configure(self, plans: Mapping[str, AccountPlan], stored: Mapping[str, AccountState]) -> None:
        """Poll according to these plans from now on. Watches of a removed account stay in the store and are not polled.
        Does nothing after `stop`."""
        if self._group is None:
            raise RuntimeError("configure() needs a running poller")
        if self._stopped.is_set():
            return
        self._is_reconfigured = True
        for name in self.accounts.keys() - plans.keys():
            self._removed[name] = self.accounts.pop(name)
            self._removed[name].clear()
        self._hosts = {plan.host: self._hosts.get(plan.host, HostLimits()) for plan in plans.values()}
        for address, host in self._hosts.items():
            host.accounts = [name for name, plan in plans.items() if plan.host == address]
        self._knowledge.providers = {name: plan.provider_name for name, plan in plans.items()}
        for name, plan in plans.items():
            if name in self._removed:
                self.accounts[name] = self._removed.pop(name)
            if name in self.accounts:
                self.accounts[name].apply(plan, self._hosts[plan.host])
                continue
            account = self.accounts[name] = AccountPoller(
                name,
                plan=plan,
                stored=stored.get(name, AccountState(account=name)),
                host=self._hosts[plan.host],
                knowledge=self._knowledge,
                answered_actions=partial(self._offload, self._watches.answered_actions, name),
                host_recovered=self._host_recovered,
                lease=self._lease,
                writes=self._writes,
                clock=self._clock,
                metrics=self._metrics.account(name),
            )
            self._group.start_soon(account.workers.run)

    def now(self) -> dict[str, AccountNow]:
        return {name: account.health.now() for name, account in self.accounts.items()}

    def update(self, stored: Mapping[str, AccountState]) -> None:
        """Apply the stored state of the accounts."""
        for name, account in self.accounts.items():
            if name in stored:
                account.health.update(stored[name])

    def set_shares(self, held: frozenset[Share], *, daemons: int) -> None:
        """Poll only for these shares, within their portion of each account's limits. `daemons` is the number of daemons
        on the store."""
        for name, account in self.accounts.items():
            scope = account_scope(name)
            portion = portion_held(scope, account.plan.groups, held)
            account.set_shares(slots_held(scope, held), portion, daemons=daemons)
        for account in self._removed.values():  # so that `quiet` waits for their last requests
            account.set_shares(frozenset(), NOTHING, daemons=daemons)

    async def quiet(self) -> None:
        """Return when no request is in flight about a watch that this daemon does not hold."""
        for account in self._all:
            await account.quiet()

    async def load(self) -> None:
        """Put all live watches, in slices, so that polls begin after the first slice."""
        revision = await self._put_all()
        async with self._fetching:  # a call of `fetch_changes` may be about to set a later one
            self._revision = revision
        await self.fetch_changes()

    async def fetch_changes(self) -> None:
        """Put the watches that have changed since the last call; the first call puts all. After a StoreError, call it
        again: otherwise the changes are never polled."""
        async with self._fetching:
            if self._revision is None:
                self._revision = await self._put_all()
            elif not self._revision:  # the store was empty
                self._revision = await self._put_live()
            revision, states = await self._offload(self._watches.changed, self._revision)
            for start in range(0, len(states), SLICE):
                self._put(states[start : start + SLICE])
                await anyio.lowlevel.checkpoint()
            self._revision = revision  # last, because the caller may be canceled before

    async def _put_all(self) -> int:
        """Put all live watches. Returns the revision from which changes must be fetched next."""
        garbage_collector.clear(spared=self._is_reconfigured)  # otherwise objects of earlier settings would stay
        self._is_reconfigured = False
        revision = await self._put_live()
        garbage_collector.spare()
        return revision

    async def _put_live(self) -> int:
        revision = await self._offload(self._watches.revision)
        slices = self._watches.live(most=SLICE)
        while states := await self._offload(next, slices, None):
            self._put(states)
        return revision

    def _put(self, states: Sequence[WatchState]) -> None:
        by_account: dict[str, list[WatchState]] = {}
        with garbage_collector.resting():
            for state in states:
                by_account.setdefault(state.account, []).append(state)
            for name in by_account.keys() & self.accounts.keys():
                try:
                    self.accounts[name].put(by_account[name])
                except Exception:  # the watches of the other accounts must still be put
                    log.exception("news.bug", kind="watches", account=name)

    async def admit(self, account: str, *, within_s: float) -> NotAdmitted | None:
        """Wait until the account's limits allow one more request, and count it as in flight until `left`. Returns
        NotAdmitted, and counts nothing, if they do not allow it within this time, or if the account is paused."""
        if account not in self.accounts:
            return NotAdmitted(left_s=math.inf, reason="the account is no longer in the settings")
        return await self.accounts[account].health.admit(within_s=within_s)

    def left(self, account: str) -> None:
        """A request that was admitted is no longer in flight: its answer has begun, or it failed."""
        if (found := self.accounts.get(account) or self._removed.get(account)) is not None:
            found.health.left()

    def limited(self, account: str, reading: Reading, *, asked_at: float) -> None:
        """The provider limited a request that was sent at `asked_at` (steady): 429, perhaps with Retry-After."""
        if account in self.accounts:
            self.accounts[account].health.limited(reading, asked_at=asked_at)

    def submit(self, account: str, task_id: str, reading: Reading) -> None:
        """An answer about this task. Ignored if it is not watched here. A reading that `lacks_result` causes a poll."""
        if account in self.accounts:
            self.accounts[account].submit(task_id, reading)

    def stop(self) -> None:
        """Send no more requests; `run` returns when all requests in flight are answered."""
        self._stopped.set()

    def _host_recovered(self, host: HostLimits) -> None:
        for account in self.accounts.values():
            if self._hosts[account.plan.host] is host:
                account.workers.wake()
