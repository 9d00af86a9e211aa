"""The stored state of an account: its blocks, pauses and waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bridge.domain.pause import Pause

FAILING: Final = "@failing"
ASKED_TO_WAIT: Final = "the provider asked to wait (Retry-After)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteWait:
    """A time before which no requests are sent on one route of an account: the action in the requested address.

    The route `FAILING` stands for all routes: the polls of several tasks failed in a row, so one request at a time is
    sent until one is answered. It is renewed while that lasts.
    """

    route: str
    until_at: float
    reason: str

    @property
    def is_failing(self) -> bool:
        """Whether it only says that the provider fails. Its end is not known."""
        return self.route == FAILING


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """The state of an account that survives a restart."""

    account: str
    blocked_at: float | None = None  # None: not blocked
    reason: str = ""
    count: int = 0  # blocks so far
    blocked_s: float = 0.0  # seconds in all earlier blocks
    wait_until_at: float | None = None  # from a Retry-After
    route_waits: tuple[RouteWait, ...] = ()
    pause: Pause | None = None  # the last pause that a person set

    def current_pause(self, now: float) -> Pause | None:
        """The pause that a person set, unless it has ended."""
        return self.pause if self.pause is not None and self.pause.lasts(now) else None

    def moved(self, by_s: float) -> AccountState:
        """The same block and pause by a clock that is ahead by this much. The waits do not change."""
        blocked_at = None if self.blocked_at is None else self.blocked_at + by_s
        return replace(self, blocked_at=blocked_at, pause=self.pause and self.pause.moved(by_s))

    def blocked_so_far_s(self, now: float) -> float:
        """How long it has been blocked or paused in all."""
        since_s = 0.0 if self.blocked_at is None else max(0.0, now - self.blocked_at)
        return self.blocked_s + since_s + (self.pause.paused_s(now) if self.pause else 0.0)


def whole_states(
    found: Iterable[AccountState], waits: Mapping[str, Sequence[RouteWait]], pauses: Iterable[Pause]
) -> dict[str, AccountState]:
    """The state of each account that has a stored state, a wait or a pause, with its waits and its last pause."""
    states = {state.account: state for state in found}
    for account, its_waits in waits.items():
        states[account] = replace(states.get(account, AccountState(account=account)), route_waits=tuple(its_waits))
    for pause in pauses:
        states[pause.name] = replace(states.get(pause.name, AccountState(account=pause.name)), pause=pause)
    return states
