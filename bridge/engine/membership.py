"""This daemon as one of several on a store: renews its lease and holds its shares of the work."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import anyio
import anyio.abc

from bridge.domain.slots import Share, division
from bridge.engine.store_outage import RETRY_S, retrying
from bridge.errors import LeaseLost, StoreDamaged, StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Offload, Shares

log = get_logger()

RENEWALS: Final = 10  # renewals of the lease within the takeover time
STORED: Final = 0.8  # share of the takeover time that is stored as the lease; in the rest, others notice that it ended
TRUSTED: Final = 0.7  # share of it for which this daemon relies on its lease, from the start of the renewal
BUG_PAUSE_S: Final = 60.0  # how long to wait after a bug in genbridge while loading the work


class Lease:
    """The time until which this daemon may send requests."""

    def __init__(self, clock: Clock, until_at: float = math.inf) -> None:
        self._clock = clock
        self.until_at = until_at

    @property
    def is_held(self) -> bool:
        """Whether requests may be sent. Check it right before each request and attempt, because the process may have
        been suspended for a while."""
        return self._clock.steady() < self.until_at

    @property
    def ended_at(self) -> float | None:
        """When the lease ended (steady); None while it is held, or if there was none yet."""
        return None if self.is_held or self.until_at == -math.inf else self.until_at


class Worker(Protocol):
    """Does the work that `Membership` assigns."""

    def set_shares(self, held: frozenset[Share], *, daemons: int) -> None:
        """From now on, start work only for these shares. `daemons` is the number of daemons on the store."""

    async def load(self) -> None:
        """Load and start the work of shares that were not held before. StoreError if it cannot be read."""

    async def quiet(self, scope: str) -> None:
        """Return when nothing of this scope is in flight, except for held shares."""

    async def notice_served(self, scopes: Collection[str]) -> None:
        """Each of these scopes is now served by at least one daemon, and no other scope is. StoreError as above."""


class Membership:
    """Joins the store, renews the lease, and balances the shares with the other members.

    `takeover_s`: the longest time between a member's last sign of life and the takeover of its shares by others.
    `give_up` is called when the lease is lost: calls to the store that have begun must end.
    """

    def __init__(
        self,
        *,
        lease: Lease,
        shares: Shares,
        offload: Offload,
        clock: Clock,
        name: str,
        takeover_s: float,
        worker: Worker,
        give_up: Callable[[], None],
    ) -> None:
        self.lease = lease
        self.member = ""
        self.held: frozenset[Share] = frozenset()
        self._shares = shares
        self._offload = offload
        self._clock = clock
        self._name = name
        self._takeover_s = takeover_s
        self._is_alone = math.isinf(takeover_s)  # no other daemon can join, so nothing is logged
        self._worker = worker
        self._give_up = give_up
        self._scopes: Mapping[str, int] = {}
        self._leaving: frozenset[Share] = frozenset()  # no longer held, and not released yet
        self._daemons = 1
        self._must_load = False  # whether work of held shares may not be loaded yet
        self._is_loading = False
        self._has_loaded = False  # whether a call has ended without a StoreError
        self._load_at = -math.inf  # when to load again after a failure
        self._wake = anyio.Event()

    def serve(self, scopes: Mapping[str, int]) -> None:
        """Take part in these scopes from now on. Each number is the number of groups that the scope is divided into.
        The limits of a scope may have changed, too."""
        back = scopes.keys() - self._scopes.keys()
        if any(share.scope in back for share in self.held):  # removed and added since the last round
            self._must_load = True
        self._scopes = dict(scopes)
        if self.lease.is_held:
            self._worker.set_shares(self.held, daemons=self._daemons)
        self.wake()

    def wake(self) -> None:
        """A member has joined, left, or released a share."""
        self._wake.set()

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be a member until canceled. Calls `started()` once the first shares are held and loaded.

        Raises LeaseLost: everything that was held must be dropped at once. Also raises StoreDamaged, if retries do not
        help: a permission is missing, or a newer version has upgraded the store.
        """
        await self._join()
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch_lease)
            is_started = False
            while True:
                self._wake = anyio.Event()
                wait_s = self._takeover_s / RENEWALS
                try:
                    await self._take_part(group)
                except (LeaseLost, StoreDamaged):
                    raise
                except StoreError:
                    wait_s = RETRY_S
                else:
                    if not is_started and not self._is_loading and (self._has_loaded or not self._must_load):
                        task_status.started()
                        is_started = True
                    if self._must_load and not self._is_loading:
                        wait_s = min(wait_s, self._load_at - self._clock.steady())
                await self._clock.wait(self._wake, wait_s)

    async def leave(self) -> None:
        """Release all shares. Nothing may be in flight. If the store cannot be reached, the lease expires by itself."""
        self.lease.until_at = -math.inf
        with suppress(StoreError):
            await self._offload(self._shares.leave)

    async def _join(self) -> None:
        self.member = await retrying(self._join_once, self._clock)
        if not self._is_alone:
            log.info("member.joined", member=self.member)

    async def _join_once(self) -> str:
        begun_at = self._clock.steady()
        join = partial(self._shares.join, name=self._name, scopes=self._scopes, lease_s=self._takeover_s * STORED)
        member = await self._offload(join)
        self.lease.until_at = begun_at + self._takeover_s * TRUSTED
        return member

    async def _watch_lease(self) -> None:
        """Raise LeaseLost when the lease ends, even if the store cannot be reached."""
        while self.lease.is_held:
            await self._clock.sleep(self.lease.until_at - self._clock.steady())
        self._give_up()
        raise LeaseLost("the lease could not be renewed in time")

    async def _take_part(self, group: anyio.abc.TaskGroup) -> None:
        """Renew the lease, hand over surplus shares in `group`, claim missing ones, and load their work in `group`."""
        begun_at = self._clock.steady()
        renew = partial(self._shares.renew, scopes=self._scopes, lease_s=self._takeover_s * STORED)
        roster = await self._offload(renew)
        self.lease.until_at = begun_at + self._takeover_s * TRUSTED
        daemons = len(roster.members)
        mine = {share for share, holder in roster.holders.items() if holder == self.member}
        wanted = division(roster.members, roster.holders)[self.member]
        surplus = frozenset(mine - wanted - self._leaving)
        self._leaving |= surplus
        # A crash or failover of the server may have undone a claim. Then a share is held here and not in `mine`.
        self._hold((self.held & mine) - surplus, daemons)
        for scope in sorted({share.scope for share in surplus}):  # in parallel, for slow scopes
            group.start_soon(self._hand_over, scope, frozenset(one for one in surplus if one.scope == scope))
        # Exclude shares that are about to be released: they would be released again after the claim.
        free = [share for share in wanted - mine - self._leaving if share not in roster.holders]
        gained = await self._offload(self._shares.claim, free) if free else frozenset()
        # Include shares that are stored as ours but not worked on, after a crash in between.
        gained |= (wanted & mine) - self.held - self._leaving
        if gained:
            self._hold(self.held | gained, daemons)
            self._must_load = True
            if not self._is_alone:
                log.info("shares.gained", count=len(gained), held=len(self.held))
        # Must be loaded also after an earlier round failed.
        if self._must_load and not self._is_loading and self._clock.steady() >= self._load_at:
            self._is_loading = True
            group.start_soon(self._load)
        await self._worker.notice_served({scope for scopes in roster.members.values() for scope in scopes})

    async def _load(self) -> None:
        """Load the work of all shares. The lease is renewed meanwhile, because this may take longer than it lasts."""
        self._must_load = False  # first, because it may be set again during the call
        try:
            await self._worker.load()
            self._has_loaded = True
        except (LeaseLost, StoreDamaged):
            raise
        except StoreError:
            self._must_load, self._load_at = True, self._clock.steady() + RETRY_S
        except Exception:
            # Work continues on everything that could be loaded, and the lease is kept.
            log.exception("member.bug", member=self.member, retry_in_s=BUG_PAUSE_S)
            self._must_load, self._load_at = True, self._clock.steady() + BUG_PAUSE_S
            self._has_loaded = True
        self._is_loading = False
        self.wake()

    def _hold(self, held: frozenset[Share], daemons: int) -> None:
        if (held, daemons) != (self.held, self._daemons):
            self.held, self._daemons = held, daemons
            self._worker.set_shares(held, daemons=daemons)

    async def _hand_over(self, scope: str, lost: frozenset[Share]) -> None:
        await self._worker.quiet(scope)
        await retrying(partial(self._offload, self._shares.release, lost), self._clock)
        self._leaving -= lost
        self.wake()  # this daemon may hold the share again by now
        if not self._is_alone:
            log.info("shares.released", count=len(lost), held=len(self.held))
