"""The limits that all accounts at one host share.

An outage affects every account of a host. A rejected key, a 429 or a Retry-After affects one account, because many
services may share one address. Times are the engine's steady seconds.
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
IN_FLIGHT: Final = 128  # requests at one host, divided equally among its accounts: 8 accounts of 16


class HostLimits:
    """The breaker of one host. Mutable, for one thread; reads no clock.

    It opens when `TROUBLED_TASKS` tasks of at least two accounts fail with server errors. If only one account fails,
    its own breaker opens, and the others continue. While the host's breaker is open, single requests probe the host.
    Accounts that have not probed yet come first, so that a working account can prove that the host works.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.accounts: Collection[str] = ()  # the names of its accounts
        self.troubled = False  # the breaker is open: only single probes may pass
        self._troubled: dict[str, set[str]] = {}  # per account: tasks with server errors since the last good answer
        self.well_at = -math.inf  # when it last recovered
        self._tried: dict[str, None] = {}  # accounts that probed it while the breaker is open, the latest last
        self._probes = 0
        self._probe_at = -math.inf
        self._probe_out = False

    def share(self, concurrency: int) -> int:
        """How many requests an account may have in flight at this host, if its own limit is `concurrency`."""
        accounts = len(self.accounts)
        return concurrency if accounts <= 1 else min(concurrency, max(1, IN_FLIGHT // accounts))

    def opens_at(self, account: str) -> float:
        """When this account may send its next probe of a troubled host; infinity while a probe is in flight."""
        return math.inf if self.in_flight else self._probe_at + self._turn_s(account)

    def _turn_s(self, account: str) -> float:
        if account not in self._tried:
            return 0.0
        is_behind_others = len(self._tried) < len(self.accounts)
        return TURNS_S * (list(self._tried).index(account) + is_behind_others) / len(self._tried)

    def take(self, account: str) -> None:
        """Count a request that is sent now."""
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

    def leave(self, requests: int = 1) -> None:
        """Forget requests in flight that this host will not answer."""
        self.in_flight -= requests

    def answered(self, reading: Reading, *, account: str, task_id: str, now: float, chance: float) -> None:
        """Process the answer to a poll of this task."""
        self.leave()
        was_probe, self._probe_out = self._probe_out, False
        before = self.troubled
        if is_trouble(reading):
            self._troubled.setdefault(account, set()).add(task_id)
            self.troubled = len(self._troubled) > 1 and sum(map(len, self._troubled.values())) >= TROUBLED_TASKS
        elif self._troubled and is_sound(reading):
            self.well_at = now if before else self.well_at
            self._troubled.clear()
            self.troubled = False
        if self.troubled and not before:
            self._tried = dict.fromkeys(self._troubled)
        if self.troubled and (was_probe or not before):
            self._probes = self._probes + 1 if before else 1
            self._probe_at = now + probe_delay_s(self._probes, chance)

    @property
    def is_disturbed(self) -> bool:
        """Whether there are failures or probes. Otherwise a good answer changes nothing here."""
        return bool(self._troubled or self.troubled or self._probe_out)


def is_trouble(reading: Reading) -> bool:
    """Whether there was no answer, or a 5xx: a fault of the provider, not of the task."""
    return reading.kind is ReadingKind.TRANSIENT and reading.server_trouble


def has_retry_after(reading: Reading) -> bool:
    """Whether it is a 5xx with a Retry-After."""
    return is_trouble(reading) and bool(reading.retry_after_s)


def is_sound(reading: Reading) -> bool:
    """Whether the answer shows that the provider works. Unreadable answers and rejected keys do not."""
    if reading.is_unsent or reading.kind in {ReadingKind.TRANSIENT, ReadingKind.NO_ROUTE}:
        return False
    return reading.kind not in ABOUT_ACCOUNT


def probe_delay_s(probes: int, chance: float) -> float:
    """Seconds until the next probe of a failing provider, after this many probes."""
    return growing_s(probes, first_s=OUTAGE_PROBE_FIRST_S, most_s=OUTAGE_PROBE_MOST_S, chance=chance)
