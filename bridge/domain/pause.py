"""A pause that a person set: an account is not polled, or nothing is sent to an endpoint. Time limits do not run during
the pause."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class PauseOf(StrEnum):
    ACCOUNT = "account"
    ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The last pause of one account or endpoint. It is kept after it ended, because paused time does not count as
    age."""

    of: PauseOf
    name: str
    since_at: float
    until_at: float | None  # None: until `resume`
    before_s: float = 0.0  # the total of earlier pauses

    @property
    def ends_at(self) -> float:
        """When it ends without `resume`; infinity if it does not."""
        return math.inf if self.until_at is None else self.until_at

    def lasts(self, now: float) -> bool:
        return now < self.ends_at

    def paused_s(self, now: float) -> float:
        """The total paused time until now, including earlier pauses."""
        return self.before_s + max(0.0, min(now, self.ends_at) - self.since_at)

    def moved(self, by_s: float) -> Pause:
        """The same pause by a clock that is ahead by this much."""
        until_at = None if self.until_at is None else self.until_at + by_s
        return replace(self, since_at=self.since_at + by_s, until_at=until_at)

    def again(self, now: float, until_at: float | None) -> Pause:
        """This pause with another end if it has not ended yet, or else a new pause."""
        pause = self if self.lasts(now) else replace(self, since_at=now, before_s=self.paused_s(now))
        return replace(pause, until_at=until_at)


def lasting(pauses: Iterable[Pause], of: PauseOf, now: float) -> dict[str, Pause]:
    """The current pauses of this kind, by name."""
    return {pause.name: pause for pause in pauses if pause.of is of and pause.lasts(now)}
