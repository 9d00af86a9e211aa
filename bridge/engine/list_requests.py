"""Requests for the provider's list of tasks, within the limits of an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridge.domain.host import Host, is_trouble
from bridge.domain.task import ABOUT_ACCOUNT, Kind, Reading
from bridge.engine.account_health import AccountHealth
from bridge.engine.membership import Lease
from bridge.engine.watch_schedule import SOUND, WatchSchedule
from bridge.engine.write_batcher import WriteBatcher
from bridge.ports import Clock, ListPage, PageRequest, TaskLists

SUBJECT: Final = (
    "(list)"  # key of the list in the limiter; no task id is equal, because ids cannot contain both parentheses
)
FIRST_SLOT: Final = 0  # the daemon that holds this slot requests the list
ELSEWHERE: Final = Reading(kind=Kind.PENDING, detail="another daemon requests this list")
RECHECK_S: Final = 0.5  # how often a waiting request checks whether it may be sent


class ListRequests:
    """Sends one request for the list at a time, between polls. While a request waits, polls leave one slot free. If
    several daemons share the account, only one requests the list. While the account is blocked or failing, only polls
    are sent, and they show when it works again; without a task to poll, the list is the probe. `wake` notifies the
    accounts of a host that they may poll again."""

    def __init__(
        self,
        *,
        health: AccountHealth,
        schedule: WatchSchedule,
        lease: Lease,
        writes: WriteBatcher,
        wake: Callable[[Host], None],
        clock: Clock,
    ) -> None:
        self._health = health
        self._limiter = health.limiter
        self._schedule = schedule
        self._lease = lease
        self._writes = writes
        self._wake = wake
        self._clock = clock
        self.is_held = False  # a request waits, because nothing may be sent now
        self.asked_at: dict[str | None, float] = {}  # when the first page of each action's list was last requested

    @property
    def lists(self) -> TaskLists | None:
        """The lists according to the current settings."""
        return self._schedule.plan.lists

    async def page(self, page: PageRequest) -> ListPage | Reading:
        """Request a page as soon as the limits allow it, even if that takes long. If another daemon requests the list,
        returns ELSEWHERE and sends nothing."""
        if not await self._turn():
            return ELSEWHERE
        lists = self.lists
        asked_at = self._clock.steady()
        if page.number == 1:
            self.asked_at[page.action] = asked_at
        try:
            assert lists is not None
            answer = await lists.list_page(page)
        except BaseException:
            self._limiter.abandoned(now=self._clock.steady())
            raise
        else:
            self._answered(answer, page.action, asked_at)
            return answer
        finally:
            self._wake(self._limiter.host)

    async def _turn(self) -> bool:
        """Wait until the request may be sent, and count it; the caller must then send it. False if another daemon sends
        it."""
        try:
            while FIRST_SLOT in self._schedule.slots:
                now = self._clock.steady()
                self._limiter.in_line = 0
                self.is_held = not self._may_send()
                wait_s = RECHECK_S if self.is_held else self._health.wait_s(now)
                if wait_s <= 0:
                    self._limiter.take(now)
                    return True
                self._limiter.in_line = int(not self.is_held and not self._limiter.probing)
                await self._clock.sleep(min(wait_s, RECHECK_S))
            return False
        finally:
            self.is_held = False
            if self._limiter.in_line:
                self._limiter.in_line = 0
                self._wake(self._limiter.host)

    def _may_send(self) -> bool:
        if self.lists is None or self._writes.is_blocked or not self._lease.is_held:
            return False
        return not (self._limiter.probing and self._schedule.queue)

    def _answered(self, answer: ListPage | Reading, action: str | None, asked_at: float) -> None:
        """Apply what the answer means for the account. A key without permission to list may still poll, so a refusal
        does not block the account."""
        reading, now = answer if isinstance(answer, Reading) else SOUND, self._clock.steady()
        if reading.kind in ABOUT_ACCOUNT and not self._limiter.blocked:
            reading = SOUND
        self._health.metrics.other_rate_limited += reading.kind is Kind.RATE_LIMITED
        if self._limiter.probing or reading.kind is Kind.RATE_LIMITED or is_trouble(reading):
            follows = self._health.answered(reading, SUBJECT, action or "", asked_at=asked_at, now=now)
            self._writes.submit_all(follows.changes)
        else:
            self._limiter.abandoned(now=now)
