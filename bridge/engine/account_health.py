"""What may be sent on one account: its rate limiter, blocks, waits (Retry-After) and pauses (by a person).

Also computes the age of its watches, without the time of blocks and pauses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from bridge.domain.account_state import ASKED_TO_WAIT, FAILING, AccountState
from bridge.domain.change import AccountAskedToWait, AccountChange
from bridge.domain.daemon_state import FAILING_POLLS, AccountNow
from bridge.domain.host_limits import (
    OUTAGE_PROBE_MOST_S,
    TROUBLED_TASKS,
    HostLimits,
    has_retry_after,
    is_trouble,
)
from bridge.domain.rate_limiter import PROBE_FIRST_S, AccountEffect, RateLimiter, RateLimits
from bridge.domain.slots import WHOLE, Portion
from bridge.domain.task import ABOUT_ACCOUNT, Reading, ReadingKind
from bridge.domain.watch import Memory
from bridge.engine.poll_queue import PollEntry
from bridge.engine.watch_schedule import SOUND
from bridge.engine.write_batcher import WriteBatcher
from bridge.logs import get_logger
from bridge.metrics import INTERNAL_ERROR, AccountMetrics
from bridge.ports import Clock, NotAdmitted

log = get_logger()

IN_LINE_S: Final = 0.05  # how often a request of the gateway checks whether a slot is free
SOON_S: Final = 1.0  # when to try again if no slot became free
LIST_TURN_S: Final = 0.5  # how often a request for the list checks whether it may be sent
LIST: Final = "(list)"  # in place of a task id, which cannot contain both parentheses
FULL: Final = "the account is busy: limits.rate or limits.concurrency is used up"
FAILING_S: Final = 3 * OUTAGE_PROBE_MOST_S  # how long the note that a provider fails counts without a new one
MAX_WAIT_S: Final = 3600.0  # a longer stored wait can only come from a wrong clock


class AccountHealth:
    """Applies the effects of answers to the account and its host, and stores its blocks and waits.

    `wake` is called when this account may send more. `host_recovered` is called when the account's host works again, or
    when another account may probe it.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: RateLimits,
        stored: AccountState,
        host: HostLimits,
        wake: Callable[[], None],
        host_recovered: Callable[[HostLimits], None],
        writes: WriteBatcher,
        clock: Clock,
        metrics: AccountMetrics,
    ) -> None:
        self._name = name
        self._metrics = metrics
        self._limits, self._portion = limits, WHOLE
        self._state = stored  # the newest state that this daemon knows
        self._wake = wake
        self._host_recovered = host_recovered
        self._writes = writes
        self._clock = clock
        now = clock.steady()
        self.limiter = RateLimiter(limits, now=now, account=name, host=host)
        self._known_waits: dict[str | None, float] = {}  # until when, by the wall clock, for each route; None: for all
        self._noted_failing_at = -math.inf
        self._is_logged_failing = False
        if stored.blocked_at is not None:
            self.limiter.block(now=now)
        self._wait_as_stored(stored, now)

    def apply(self, limits: RateLimits, host: HostLimits, *, is_new_key: bool) -> None:
        """Use the limits and the host of new settings. If the key may be new, a blocked account is probed at once."""
        if is_new_key and self.limiter.blocked:
            self.limiter.block(now=self._clock.steady())
        self._limits = limits
        self.limiter.resize(limits.portion(self._portion), now=self._clock.steady())
        if host is not self.limiter.host:
            self.limiter.move(host)

    def set_portion(self, portion: Portion, *, daemons: int) -> None:
        """Stay within this portion of the limits. Each of the daemons that share the account probes it less often in
        proportion. A larger portion allows no burst at first, because its former holder may have just used it."""
        if daemons > 1 and self._portion is WHOLE:
            self.limiter.drain()
        self._portion = portion
        self.limiter.resize(self._limits.portion(portion), now=self._clock.steady())
        self.limiter.daemons = daemons

    def update(self, stored: AccountState) -> None:
        """Apply the stored state, unless this process has a newer one."""
        now = self._clock.steady()
        self._wait_as_stored(stored, now)
        self._state = replace(self._state, pause=stored.pause)
        if (stored.count, stored.blocked_at is None) > (self._state.count, self._state.blocked_at is None):
            self._state = stored
            if stored.blocked_at is None:
                self.limiter.restore()
            else:
                self.limiter.block(now=now + PROBE_FIRST_S * self.limiter.daemons)
        self._wake()

    def _wait_as_stored(self, stored: AccountState, now: float) -> None:
        """Apply the waits that are not known yet. The others would begin again if the clock has been set back."""
        waits: dict[str | None, float] = {wait.route: wait.until_at for wait in stored.route_waits}
        waits.pop(FAILING, None)
        if stored.wait_until_at is not None:
            waits[None] = stored.wait_until_at
        for route, stored_until_at in waits.items():
            if self._known_waits.get(route) == stored_until_at:
                continue
            self._known_waits[route] = stored_until_at
            until_at = min(stored_until_at - self._ahead_s, now + MAX_WAIT_S)
            if route is None:
                self.limiter.wait_until_at = max(self.limiter.wait_until_at, until_at)
            elif until_at > now:
                self.limiter.delay_route(route, until_at, now=now)

    @property
    def _ahead_s(self) -> float:
        """How far the wall clock is ahead of the steady one. What is stored has the wall clock's times, for people."""
        return self._clock.now() - self._clock.steady()

    def wait_s(self, now: float) -> float:
        """Seconds until the next request may be sent; infinity if it must wait for an answer or for `resume`."""
        wait_s, pause = self.limiter.wait_s(now), self._state.pause
        return wait_s if pause is None else max(wait_s, pause.ends_at - now)

    def now(self) -> AccountNow:
        limiter, ahead_s = self.limiter, self._ahead_s
        probe_at, answered_at = limiter.probe_at, self._metrics.answered_at
        return AccountNow(
            in_flight=limiter.in_flight + limiter.others_in_flight,
            rate=limiter.rate_at(self._clock.steady()),
            full_rate=limiter.limits.rate,
            probe_at=None if probe_at is None else probe_at + ahead_s,
            answered_at=None if answered_at is None else answered_at + ahead_s,
            failures=self._metrics.failures,
            failure=self._metrics.failure,
        )

    async def admit(self, *, within_s: float) -> NotAdmitted | None:
        """See `Poller.admit`."""
        clock = self._clock
        gives_up_at = clock.steady() + within_s
        while True:
            now = clock.steady()
            if (refusal := self._refusal(now)) is not None:
                return refusal
            left_s = gives_up_at - now
            wait_s = self.limiter.reserve(now, within_s=left_s)
            if wait_s <= left_s:
                break
            if left_s <= 0 or wait_s < math.inf:
                return NotAdmitted(left_s=SOON_S if wait_s == math.inf else wait_s, reason=FULL)
            await clock.sleep(min(IN_LINE_S, left_s))
        is_admitted = False
        try:
            if wait_s:
                await clock.sleep(wait_s)
            refusal = self._refusal(clock.steady())
            is_admitted = refusal is None
        finally:
            if not is_admitted:
                self.left()
        return refusal

    async def admit_list(self, is_wanted: Callable[[], bool], may_send: Callable[[], bool]) -> bool:
        """Wait until a request for the provider's list may be sent, and count it; call `listed` after it. Meanwhile,
        polls leave a place free for it. Returns False, and counts nothing, once `is_wanted` is false."""
        limiter = self.limiter
        try:
            while is_wanted():
                now, wait_s, limiter.in_line = self._clock.steady(), math.inf, 0
                if may_send():
                    wait_s = self.wait_s(now)
                    if wait_s <= 0:
                        limiter.take(now)
                        return True
                    limiter.in_line = int(not limiter.probing)
                await self._clock.sleep(min(wait_s, LIST_TURN_S))
            return False
        finally:
            if limiter.in_line:
                limiter.in_line = 0
                self._wake()

    def limited(self, reading: Reading, *, asked_at: float) -> None:
        """See `Poller.limited`."""
        self._metrics.other_rate_limited += 1
        now = self._clock.steady()
        if self.limiter.limited(reading, asked_at=asked_at, now=now) is AccountEffect.ASKED_TO_WAIT:
            self._writes.submit(self._wait_change(reading, None, now))

    def left(self) -> None:
        """See `Poller.left`."""
        self.limiter.others_in_flight -= 1
        self._wake()

    def listed(self, answer: Reading | None, action: str, *, asked_at: float) -> None:
        """Process the answer to a request for the provider's list; None: it was canceled. A key without permission to
        list may still poll, so a refusal does not block the account."""
        limiter, now = self.limiter, self._clock.steady()
        reading = SOUND if answer is not None and answer.kind in ABOUT_ACCOUNT and not limiter.blocked else answer
        if reading is None or not (limiter.probing or reading.kind is ReadingKind.RATE_LIMITED or is_trouble(reading)):
            limiter.abandoned(now=now)
        else:
            self._metrics.other_rate_limited += reading.kind is ReadingKind.RATE_LIMITED
            self.answered(reading, LIST, action, asked_at=asked_at, now=now)
        self._host_recovered(limiter.host)

    def _refusal(self, now: float) -> NotAdmitted | None:
        pause, until_at = self._state.pause, self.limiter.wait_until_at
        if pause is not None and pause.lasts(now):
            return NotAdmitted(
                left_s=pause.ends_at - now, reason=f"account {self._name} is paused: genbridge resume ends it"
            )
        return None if until_at <= now else NotAdmitted(left_s=until_at - now, reason=ASKED_TO_WAIT)

    def memory(self, entry: PollEntry, now: float) -> Memory:
        """The watch's memory. A doubt starts again after a pause, because paused time must not confirm a doubt."""
        memory, pause = entry.memory, self._state.pause
        if pause is None or memory.doubt is None or pause.lasts(now) or memory.doubt.since_at >= pause.ends_at:
            return memory
        return memory._replace(doubt=replace(memory.doubt, since_at=pause.ends_at))

    def age_s(self, entry: PollEntry, now: float) -> float:
        """Age of the watch without the time in which its account was blocked or paused."""
        blocked_s = self._state.blocked_so_far_s(now) - entry.blocked_before_s
        return max(0.0, now - entry.added_at - max(0.0, blocked_s))

    def answered(
        self, reading: Reading, task_id: str, route: str, *, asked_at: float, now: float, tasks: int | None = None
    ) -> None:
        """Process the answer to a request. `tasks` is the number of the account's tasks that are watched now."""
        chance = self._clock.chance()
        found = self.limiter.answered(reading, task_id=task_id, route=route, now=now, chance=chance, asked_at=asked_at)
        if found.account is AccountEffect.ASKED_TO_WAIT:
            self._writes.submit(self._wait_change(reading, route if has_retry_after(reading) else None, now))
        elif found.account is not AccountEffect.NOTHING:
            blocked = found.account is AccountEffect.BLOCKED
            self._writes.submit(self._block_change(reading, now, blocked=blocked, tasks=tasks))
        if found.was_troubled or self.limiter.troubled:
            names = {self._name, *found.failing}
            for change in self._failing_changes(reading, now, names, was_troubled=found.was_troubled):
                self._writes.submit(change)
        if found.frees_host:
            self._host_recovered(self.limiter.host)
        self._log_failures(reading, tasks or 0)

    def _log_failures(self, reading: Reading, tasks: int) -> None:
        """Log once that the provider of a few tasks fails. With more tasks, the breaker opens, which is logged."""
        if self._metrics.failures >= FAILING_POLLS and tasks < TROUBLED_TASKS and not self._is_logged_failing:
            self._is_logged_failing = True
            log.warning("account.failing", account=self._name, reason=reading.detail)
        elif self._is_logged_failing and not self._metrics.failures:
            self._is_logged_failing = False
            log.info("account.answering", account=self._name)

    def abandoned(self, *, is_bug: bool) -> None:
        """A request ended without an answer: it was canceled, or stopped by a bug."""
        self.limiter.abandoned(now=self._clock.steady())
        if is_bug:
            self._metrics.polls[INTERNAL_ERROR] += 1
            self._host_recovered(self.limiter.host)  # if the request was a probe, another account may send one

    def _failing_changes(
        self, reading: Reading, now: float, names: Collection[str], *, was_troubled: bool
    ) -> list[AccountAskedToWait]:
        """If the provider begins to fail, still fails or works again: one change for each of these accounts."""
        is_troubled = self.limiter.troubled
        if not is_troubled:
            log.info("account.recovered", account=self._name)
        elif not was_troubled:
            log.warning("account.troubled", account=self._name, reason=reading.detail)
        elif not is_trouble(reading) or now < self._noted_failing_at + OUTAGE_PROBE_MOST_S:
            return []
        self._noted_failing_at = now
        until_at = self._clock.now() + FAILING_S * self.limiter.daemons if is_troubled else 0.0
        return [
            AccountAskedToWait(account=name, until_at=until_at, route=FAILING, reason=reading.detail)
            for name in sorted(names)
        ]

    def _block_change(self, reading: Reading, now: float, *, blocked: bool, tasks: int | None) -> AccountChange:
        state, lasted_s = self._state, 0.0
        if blocked:
            state = replace(state, blocked_at=now, reason=reading.detail, count=state.count + 1)
            log.error("account.blocked", account=self._name, reason=reading.detail)
        else:
            lasted_s = max(0.0, now - (state.blocked_at or now))
            state = replace(state, blocked_at=None, blocked_s=state.blocked_s + lasted_s)
            log.info("account.restored", account=self._name)
        self._state = state
        return AccountChange(
            account=self._name,
            blocked=blocked,
            reason=state.reason,
            count=state.count,
            blocked_s=state.blocked_s,
            at=self._clock.now(),
            lasted_s=lasted_s,
            tasks=tasks,
        )

    def _wait_change(self, reading: Reading, route: str | None, now: float) -> AccountAskedToWait:
        until_at = self.limiter.opens_at(route, now) if route else self.limiter.wait_until_at
        about = {"route": route} if route else {}
        seconds = round(until_at - now, 1)
        log.warning("account.paused", account=self._name, seconds=seconds, reason=reading.detail, **about)
        until_at += self._ahead_s
        self._known_waits[route] = until_at
        return AccountAskedToWait(account=self._name, until_at=until_at, route=route, reason=reading.detail)
