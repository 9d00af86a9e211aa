"""The limits that all accounts at one host share.

An outage affects every account of a host. A rejected key, a 429 or a 5xx with Retry-After affects one account, because
many services may share one address. But if every recently polled account got a Retry-After, the other accounts of the
host wait too, and only send probes. Times are the engine's steady seconds.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from bridge.domain.backoff import growing_s
from bridge.domain.task import ABOUT_ACCOUNT, Reading, ReadingKind

TROUBLED_TASKS: Final = 5  # the breaker opens when this many tasks fail and no good answer has come since
OUTAGE_PROBE_FIRST_S: Final = 2.0  # then single requests probe the host ...
OUTAGE_PROBE_MOST_S: Final = 30.0  # ... at least this often, so that a recovery is noticed within a minute
TURNS_S: Final = 2.0  # ... by its accounts in turn, at most this far apart
RECENT_S: Final = 60.0  # accounts polled within this time are considered when the whole host may have to wait
PROBE_EVERY_S: Final = 30.0  # between probes of a host that waits by accounts without a Retry-After of their own
IN_FLIGHT: Final = 128  # requests at one host, divided equally among its accounts: 8 accounts of 16


class HostLimits:
    """The state of one host. Mutable, for one thread; reads no clock.

    Breaker: it opens when `TROUBLED_TASKS` tasks of at least two accounts fail with server errors. If only one account
    fails, its own breaker opens, and the others continue. While the host's breaker is open, single requests probe the
    host. Accounts that have not probed yet come first, so that a working account can prove that the host works.

    Wait: the host waits when every account polled within `RECENT_S` got a Retry-After (`record_retry_after`), and
    there was no good answer since. Accounts without a Retry-After of their own then send one request every
    `PROBE_EVERY_S`. An account with a Retry-After waits by its own limiter in any case.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.wait_until_at = -math.inf
        self.accounts = 1
        self.names: Collection[str] = ()  # the names of its accounts
        self.held: Collection[str] = ()  # accounts that have been notified that they wait
        self.troubled = False  # the breaker is open: only single probes may pass
        self._asked_at: dict[str, float] = {}  # when each account sent its last request
        # Per account: until when it was asked to wait, since the last good answer.
        self._waits_until: dict[str, float] = {}
        self._prober: str | None = None  # the account whose request probes the host while it waits
        self._next_probe_at = -math.inf
        self._troubled: dict[str, set[str]] = {}  # per account: tasks with server errors since the last good answer
        self.well_at = -math.inf  # when it last recovered
        self._tried: dict[str, None] = {}  # accounts that probed it while the breaker is open, the latest last
        self._probes = 0
        self._probe_at = -math.inf
        self._probe_out = False

    def share(self, concurrency: int) -> int:
        """How many requests an account may have in flight at this host, if its own limit is `concurrency`."""
        return concurrency if self.accounts <= 1 else min(concurrency, max(1, IN_FLIGHT // self.accounts))

    def opens_at(self, account: str, now: float) -> float:
        """When this account may send its next request; infinity means after the answer to a probe."""
        opens_at = -math.inf
        if now < self.wait_until_at and not self._has_to_wait(account, now):
            opens_at = math.inf if self._prober else self._next_probe_at
        if self.troubled:
            opens_at = max(opens_at, math.inf if self.in_flight else self._probe_at + self._turn_s(account))
        return opens_at

    def is_waiting(self, now: float) -> bool:
        """Whether accounts without a Retry-After of their own must wait too."""
        return now < self.wait_until_at

    def held_back(self, now: float) -> list[str]:
        """The accounts that wait only because the other accounts were asked to wait."""
        return [name for name in self.names if not self._has_to_wait(name, now)] if self.is_waiting(now) else []

    def _has_to_wait(self, account: str, now: float) -> bool:
        return self._waits_until.get(account, -math.inf) > now

    def _turn_s(self, account: str) -> float:
        if account not in self._tried:
            return 0.0
        is_behind_others = len(self._tried) < self.accounts
        return TURNS_S * (list(self._tried).index(account) + is_behind_others) / len(self._tried)

    def take(self, account: str, now: float) -> None:
        """Count a request that is sent now."""
        if now < self.wait_until_at and not self._has_to_wait(account, now):
            self._prober, self._next_probe_at = account, now + PROBE_EVERY_S
        self._asked_at[account] = now
        if self.troubled:
            self.take_over(account, 1)
        else:
            self.in_flight, self._probe_out = self.in_flight + 1, False

    def take_over(self, account: str, requests: int) -> None:
        """Count the requests in flight of an account that moves to this host."""
        self.in_flight += requests
        self._probe_out = self.troubled
        if self.troubled:
            self._tried.pop(account, None)
            self._tried[account] = None

    def leave(self, account: str, requests: int = 1) -> None:
        """Forget requests in flight that this host will not answer."""
        self.in_flight -= requests
        if self._prober == account:
            self._prober = None

    def record_retry_after(self, account: str, until_at: float, *, now: float) -> None:
        """Record that a 5xx asked this account to wait until `until_at`."""
        self._waits_until[account] = max(self._waits_until.get(account, -math.inf), until_at)
        asked = [name for name, at in self._asked_at.items() if now - at <= RECENT_S]
        if self.accounts > 1 and all(self._has_to_wait(each, now) for each in asked):
            self.wait_until_at = max(self._waits_until.values())

    def answered(self, reading: Reading, *, account: str, task_id: str, now: float, chance: float) -> None:
        """Process the answer to a poll of this task. If it has a Retry-After, the caller calls
        `record_retry_after` next."""
        self.leave(account)
        was_waiting = self.is_waiting(now)
        if not has_retry_after(reading) and not self._has_to_wait(account, now):
            self.wait_until_at = -math.inf
        was_probe, self._probe_out = self._probe_out, False
        before = self.troubled
        if is_trouble(reading):
            self._troubled.setdefault(account, set()).add(task_id)
            self.troubled = len(self._troubled) > 1 and sum(map(len, self._troubled.values())) >= TROUBLED_TASKS
        elif (self._troubled or self._waits_until) and is_sound(reading):
            self._found_well(now, was_held=self.troubled or was_waiting)
        if self.troubled and not before:
            self._tried = dict.fromkeys(self._troubled)
        if self.troubled and (was_probe or not before):
            self._probes = self._probes + 1 if before else 1
            self._probe_at = now + probe_delay_s(self._probes, chance)

    @property
    def is_disturbed(self) -> bool:
        """Whether there are failures, waits or probes. Otherwise a good answer changes nothing here. A host waits
        only while `_waits_until` contains an account."""
        return bool(self._troubled or self._waits_until or self._prober or self.troubled or self._probe_out)

    def _found_well(self, now: float, *, was_held: bool) -> None:
        if was_held:
            self.well_at = now
        self._troubled.clear()
        self._waits_until.clear()
        self.troubled, self.wait_until_at = False, -math.inf


def is_trouble(reading: Reading) -> bool:
    """Whether there was no answer, or a 5xx: a fault of the provider, not of the task."""
    return reading.kind is ReadingKind.TRANSIENT and reading.server_trouble


def has_retry_after(reading: Reading) -> bool:
    """Whether it is a 5xx with a Retry-After."""
    return is_trouble(reading) and bool(reading.retry_after_s)


def is_sound(reading: Reading) -> bool:
    """Whether the answer shows that the provider works. Unreadable answers and rejected keys do not."""
    return reading.kind not in {ReadingKind.TRANSIENT, ReadingKind.NO_ROUTE} and reading.kind not in ABOUT_ACCOUNT


def probe_delay_s(probes: int, chance: float) -> float:
    """Seconds until the next probe of a failing provider, after this many probes."""
    return growing_s(probes, first_s=OUTAGE_PROBE_FIRST_S, most_s=OUTAGE_PROBE_MOST_S, chance=chance)
