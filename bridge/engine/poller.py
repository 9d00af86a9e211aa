"""All accounts' pollers, fed from the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import anyio
import anyio.abc

from bridge import collector
from bridge.domain.change import AccountState
from bridge.domain.durations.knowledge import Knowledge
from bridge.domain.host import Host
from bridge.domain.shares import Part, Share, account_scope, part_held, slots_held
from bridge.domain.watch import WatchState
from bridge.engine.account import AccountPoller
from bridge.engine.ledger import Ledger
from bridge.engine.membership import Lease
from bridge.engine.steps import AccountPlan
from bridge.ports import Clock


class Poller:
    """All accounts' pollers, fed from the store."""

    def __init__(self, *, ledger: Ledger, clock: Clock, lease: Lease, knowledge: Knowledge) -> None:
        self._ledger = ledger
        self._lease = lease
        self._knowledge = knowledge
        self._clock = clock
        self._accounts: dict[str, AccountPoller] = {}
        self._resting: dict[str, AccountPoller] = {}  # not in today's settings; their limits hold when they come back
        self._hosts: dict[str, Host] = {}
        self._group: anyio.abc.TaskGroup | None = None
        self._stopped = anyio.Event()
        self.finished = anyio.Event()  # set when nothing is in flight any more

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Hold the accounts' tasks; returns after `stop` when nothing is in flight any more. Cancelled, it is over."""
        try:
            async with anyio.create_task_group() as self._group:
                task_status.started()
                await self._stopped.wait()
                for account in (*self._accounts.values(), *self._resting.values()):
                    account.stop()
        finally:
            self._stopped.set()
            self.finished.set()

    def configure(self, plans: Mapping[str, AccountPlan], past: Mapping[str, AccountState]) -> None:
        """Poll by these plans from now on. Watches of an account that is gone rest in the store. After `stop` nothing
        happens."""
        if self._group is None:
            raise RuntimeError("configure() needs a running poller")
        if self._stopped.is_set():
            return
        for name in self._accounts.keys() - plans.keys():
            self._resting[name] = self._accounts.pop(name)
            self._resting[name].rest()
        sharing = Counter(plan.host for plan in plans.values())
        self._hosts = {address: self._hosts.get(address, Host()) for address in sharing}
        for address, host in self._hosts.items():
            host.accounts = sharing[address]
        self._knowledge.forms = {name: plan.provider_name for name, plan in plans.items()}
        for name, plan in plans.items():
            if name in self._resting:
                self._accounts[name] = self._resting.pop(name)
            if name in self._accounts:
                self._accounts[name].follow(plan, self._hosts[plan.host])
                continue
            poller = AccountPoller(
                name,
                plan=plan,
                past=past.get(name, AccountState(account=name)),
                host=self._hosts[plan.host],
                knowledge=self._knowledge,
                recovered=self._recovered,
                lease=self._lease,
                ledger=self._ledger,
                clock=self._clock,
            )
            self._accounts[name] = poller
            self._group.start_soon(poller.run)

    def learn(self, past: Mapping[str, AccountState]) -> None:
        """What the store says of the accounts by now."""
        for name, account in self._accounts.items():
            if name in past:
                account.learn(past[name])

    def hold(self, held: frozenset[Share], *, daemons: int) -> None:
        """Ask about what these shares hold, within their part of each account's limits. So many daemons there are."""
        for name, account in self._accounts.items():
            scope = account_scope(name)
            part = part_held(scope, account.plan.groups, held)
            account.hold(slots_held(scope, held), part, daemons=daemons)
        for account in self._resting.values():  # so that their last requests are waited for
            account.hold(frozenset(), Part(0, 1), daemons=daemons)

    async def quiet(self) -> None:
        """Return when no request is under way about a watch that this daemon does not hold."""
        for account in (*self._accounts.values(), *self._resting.values()):
            await account.quiet()

    def put(self, states: Sequence[WatchState]) -> None:
        """Take in what the store says of these watches."""
        by_account: dict[str, list[WatchState]] = {}
        with collector.resting():
            for state in states:
                by_account.setdefault(state.account, []).append(state)
            for name in by_account.keys() & self._accounts.keys():
                self._accounts[name].put(by_account[name])

    @staticmethod
    def loaded() -> None:
        """All there are have been put, which at start is much at once."""
        collector.spare()

    def stop(self) -> None:
        """Send nothing more; let `run` return when what is in flight has been answered."""
        self._stopped.set()

    def _recovered(self, host: Host) -> None:
        for account in self._accounts.values():
            if account.host is host:
                account.rouse()
