"""The state of one daemon that is only in its memory. Times are by the wall clock, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

FAILING_POLLS: Final = 3  # failed polls in a row until the log, `status` and Health say that a provider fails


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNow:
    """The requests of one account at this moment."""

    in_flight: int  # including those that came through the gateway
    rate: float  # requests per second that are allowed now
    full_rate: float  # the rate without a 429, for this daemon's portion
    probe_at: float | None = None  # the next probe, while the account is blocked or its provider fails
    answered_at: float | None = None  # the last answer to a poll since the start
    failures: int = 0  # polls in a row without an answer, or with a 5xx
    failure: str = ""  # the reason of the last of them

    @property
    def is_slowed(self) -> bool:
        """Whether a 429 has reduced the rate."""
        return self.rate < self.full_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonNow:
    """The state of the daemon now. `lease_ended_at`: when it lost its right to work on the shared store.
    `store_failed_at`: when writes to the store began to fail."""

    is_working: bool  # polls and deliveries run
    lease_ended_at: float | None = None
    store_failed_at: float | None = None
    accounts: Mapping[str, AccountNow] = field(default_factory=dict)

    @property
    def stopped_at(self) -> float | None:
        """When it stopped working, if known; None while it works or starts."""
        known = [at for at in (self.lease_ended_at, self.store_failed_at) if at is not None]
        return min(known, default=None)
