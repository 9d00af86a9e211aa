"""This daemon as one of several on a store: keeps its lease, and holds the shares that are its part of the work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Protocol

import anyio
import anyio.abc

from bridge.domain.shares import Share, division
from bridge.errors import LeaseLost, StoreDamaged, StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Offload, Roll, Shares

log = get_logger()

RENEWALS: Final = 10  # in the time that others wait before they take over
STORED: Final = 0.8  # of that time is the lease in the store: the rest is for others to notice its end
TRUSTED: Final = 0.7  # of it we trust our own lease, counted from before it was asked for
AGAIN_S: Final = 1.0  # after a failure


class Lease:
    """Until when this daemon may send anything."""

    def __init__(self, clock: Clock, until_at: float = math.inf) -> None:
        self._clock = clock
        self.until_at = until_at

    @property
    def is_held(self) -> bool:
        """Asked right before each request and each attempt: a process that was stopped for a minute must not go on
        where it was."""
        return self._clock.steady() < self.until_at


class Worker(Protocol):
    """Who carries out what the membership decides."""

    def hold(self, held: frozenset[Share], *, daemons: int) -> None:
        """Begin nothing but on these shares from now on. So many daemons there are in all."""

    async def load(self) -> None:
        """Work on what is held and was not before. StoreError when it could not be read."""

    async def quiet(self) -> None:
        """Return when nothing is in flight any more but of what is held."""

    def give_up(self) -> None:
        """The lease is lost: wait for nothing that is under way at the store."""


class Membership:
    """Joins the store, renews the lease, and evens out the shares with the other members.

    `takeover_s`: so long after a member's last sign of life, at the latest, others have taken its shares over.
    """

    def __init__(
        self, *, shares: Shares, offload: Offload, clock: Clock, name: str, takeover_s: float, worker: Worker
    ) -> None:
        self.lease = Lease(clock, -math.inf)
        self.member = ""
        self.held: frozenset[Share] = frozenset()
        self._shares = shares
        self._offload = offload
        self._clock = clock
        self._name = name
        self._takeover_s = takeover_s
        self._is_alone = math.isinf(takeover_s)  # nobody else can ever join: there is no news in it
        self._worker = worker
        self._scopes: Mapping[str, int] = {}
        self._leaving: frozenset[Share] = frozenset()
        self._daemons = 1
        self._owes_load = False
        self._wake = anyio.Event()

    def serve(self, scopes: Mapping[str, int]) -> None:
        """Take part in these scopes from now on, each with the number of groups to cut it into. Their limits may have
        changed with them."""
        back = scopes.keys() - self._scopes.keys()
        if any(share.scope in back for share in self.held):  # gone and back before a round: the worker rested
            self._owes_load = True
        self._scopes = dict(scopes)
        if self.lease.is_held:
            self._worker.hold(self.held, daemons=self._daemons)
        self.wake()

    def wake(self) -> None:
        """Somebody has come, gone, or let go of something."""
        self._wake.set()

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be a member until cancelled; `started()` once a first part is held and worked on.

        LeaseLost ends it: then everything that was held must be dropped at once, and begun anew. So does StoreDamaged,
        which time does not mend: a right is missing, or a newer daemon has brought the store up to date.
        """
        await self._join()
        async with anyio.create_task_group() as handing_over:
            handing_over.start_soon(self._watch_lease)
            is_started = False
            while True:
                self._wake = anyio.Event()
                wait_s = self._takeover_s / RENEWALS
                try:
                    await self._take_part(handing_over)
                except (LeaseLost, StoreDamaged):
                    raise
                except StoreError as error:
                    log.debug("store.failed", reason=str(error))  # the ledger says so aloud
                    wait_s = AGAIN_S
                else:
                    if not is_started:
                        task_status.started()
                    is_started = True
                await self._clock.wait(self._wake, wait_s)

    async def leave(self) -> None:
        """Hand everything over at once; what was in flight must have ended. A store that cannot be reached learns it
        from the lease."""
        self.lease.until_at = -math.inf
        try:
            await self._offload(self._shares.leave)
        except StoreError as error:
            log.warning("store.failed", reason=str(error))

    async def _join(self) -> None:
        while True:
            begun_at = self._clock.steady()
            try:
                self.member = await self._offload(self._joined)
                break
            except StoreDamaged:
                raise
            except StoreError as error:
                log.warning("store.failed", reason=str(error))
                await self._clock.sleep(AGAIN_S)
        self.lease.until_at = begun_at + self._takeover_s * TRUSTED
        if not self._is_alone:
            log.info("member.joined", member=self.member)

    def _joined(self) -> str:
        return self._shares.join(name=self._name, scopes=self._scopes, lease_s=self._takeover_s * STORED)

    async def _watch_lease(self) -> None:
        """A store that cannot be reached must not keep us believing that what we held is still ours."""
        while self.lease.is_held:
            await self._clock.sleep(self.lease.until_at - self._clock.steady())
        self._worker.give_up()
        raise LeaseLost("the lease could not be renewed in time")

    async def _take_part(self, handing_over: anyio.abc.TaskGroup) -> None:
        begun_at = self._clock.steady()
        roll = await self._offload(self._renewed)
        self.lease.until_at = begun_at + self._takeover_s * TRUSTED
        mine = {share for share, holder in roll.holders.items() if holder == self.member}
        if missing := self.held - mine:  # a crash of the server, or a failover, may have taken a claim back
            self._hold(self.held - missing, len(roll.members))
        wanted = division(roll.members, roll.holders)[self.member]
        surplus = frozenset(mine - wanted - self._leaving)
        if surplus:
            self._leaving |= surplus
            self._hold(self.held - surplus, len(roll.members))
            handing_over.start_soon(self._hand_over, surplus)
        # What we are about to release, or may have released already, would be released once more after the claim.
        free = [share for share in wanted - mine - self._leaving if share not in roll.holders]
        gained = await self._offload(self._shares.claim, free) if free else frozenset()
        # What is stored as ours though we do not work on it (a crash between the two) is taken up as well.
        gained |= (wanted & mine) - self.held - self._leaving
        if gained:
            self._hold(self.held | gained, len(roll.members))
            self._owes_load = True
            if not self._is_alone:
                log.info("shares.gained", count=len(gained), held=len(self.held))
        elif len(roll.members) != self._daemons:
            self._hold(self.held, len(roll.members))
        if self._owes_load:  # perhaps since an earlier round, when the store could not be read
            await self._load()

    async def _load(self) -> None:
        self._owes_load = False  # first, for more may come to be owed meanwhile
        try:
            await self._worker.load()
        except StoreError:
            self._owes_load = True
            raise

    def _hold(self, held: frozenset[Share], daemons: int) -> None:
        self.held, self._daemons = held, daemons
        self._worker.hold(held, daemons=daemons)

    def _renewed(self) -> Roll:
        return self._shares.renew(scopes=self._scopes, lease_s=self._takeover_s * STORED)

    async def _hand_over(self, lost: frozenset[Share]) -> None:
        await self._worker.quiet()
        while True:
            try:
                await self._offload(self._shares.release, lost)
                break
            except (LeaseLost, StoreDamaged):
                raise
            except StoreError:
                await self._clock.sleep(AGAIN_S)
        self._leaving -= lost
        self.wake()  # by now it may be ours again
        if not self._is_alone:
            log.info("shares.released", count=len(lost), held=len(self.held))
