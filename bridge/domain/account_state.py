"""What is remembered about an account across restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.domain.pause import Pause

HOST: Final = "@host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Until when requests of an account are held on one route, which is the action in the requested address.

    The route `HOST` means all of them: the host asked the other accounts to wait, so this one only sends a probe from
    time to time.
    """

    route: str
    until_at: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """What is remembered about an account across restarts."""

    account: str
    blocked_at: float | None = None  # None: not blocked
    reason: str = ""
    count: int = 0  # blocks so far
    blocked_s: float = 0.0  # seconds in all earlier blocks
    paused_until: float | None = None  # by Retry-After
    holds: tuple[Hold, ...] = ()
    pause: Pause | None = None  # the last one that a person set
