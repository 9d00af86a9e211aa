"""What accounts at one host share, beside the limits each has of its own.

A host that is down, or asks for time with a 5xx and Retry-After, is so for every key; a 429 or a refused key is the
account's own affair. No clock here: instants are the engine's steady seconds.
"""

from __future__ import annotations

import math
from typing import Final

from bridge.domain.backoff import growing_s
from bridge.domain.task import ABOUT_ACCOUNT, Kind, Reading

TROUBLED_TASKS: Final = 5  # so many tasks in trouble, and no good answer since, open the breaker
TRIAL_FIRST_S: Final = 2.0  # then one request at a time tries the provider ...
TRIAL_MOST_S: Final = 30.0  # ... at least this often, so that recovery takes less than a minute
TURNS_S: Final = 2.0  # ... by its accounts in turn, whose turns lie this far apart at most
IN_FLIGHT: Final = 128  # at one host in all, in equal shares for its accounts; eight keys with the default of 16


class Host:
    """One host, for all its accounts. Mutable, single-threaded, clockless.

    Its breaker opens when `TROUBLED_TASKS` tasks of at least two accounts are in trouble: one account alone may be ill
    by itself, has a breaker of its own, and must not hold its neighbours back. Nor must two that are: those that have
    tried it since go behind those that have not, so that one that works is not kept from showing it.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.paused_until = -math.inf
        self.accounts = 1
        self.troubled = False  # it fails one task after the other, whoever asks: only single probes may pass
        self._pausing: set[str] = set()  # accounts whose 5xx asked for time, since anybody's last good answer
        self._pausing_alone: set[str] = set()  # likewise, while others have been answered
        self._troubled: dict[str, set[str]] = {}  # accounts: tasks that met trouble since anybody's last good answer
        self.well_at = -math.inf  # since when, if it has ever been in trouble
        self._tried: dict[str, None] = {}  # accounts that it has failed while in trouble, the last one last
        self._probes = 0
        self._probe_at = -math.inf
        self._probe_out = False

    def share(self, concurrency: int) -> int:
        """How many requests an account that may have `concurrency` in flight may have at this host."""
        return concurrency if self.accounts <= 1 else min(concurrency, max(1, IN_FLIGHT // self.accounts))

    def opens_at(self, account: str) -> float:
        """When the next request of this account may go out; infinity is when a probe has been answered."""
        if not self.troubled:
            return self.paused_until
        return math.inf if self.in_flight else max(self.paused_until, self._probe_at + self._turn_s(account))

    def _turn_s(self, account: str) -> float:
        if account not in self._tried:
            return 0.0
        is_behind_others = len(self._tried) < self.accounts
        return TURNS_S * (list(self._tried).index(account) + is_behind_others) / len(self._tried)

    def take(self, account: str, requests: int = 1) -> None:
        """So many requests go out (or, of an account that moves here, are out)."""
        self.in_flight += requests
        self._probe_out = self.troubled
        if self.troubled:
            self._tried.pop(account, None)
            self._tried[account] = None

    def leave(self, requests: int = 1) -> None:
        """So many requests will never be answered here."""
        self.in_flight -= requests

    def pause(self, account: str, until_at: float) -> None:
        """The host named this account a time before which it wants no requests. One that it named a time before, and
        has answered others since, is asked for itself."""
        if account in self._pausing_alone:
            return
        self._pausing.add(account)
        self.paused_until = max(self.paused_until, until_at)

    def answered(self, reading: Reading, *, account: str, task_id: str, now: float, chance: float) -> None:
        """A request about this task came back with this reading."""
        self.in_flight -= 1
        was_probe, self._probe_out = self._probe_out, False
        before = self.troubled
        if is_trouble(reading):
            self._troubled.setdefault(account, set()).add(task_id)
            self.troubled = len(self._troubled) > 1 and sum(map(len, self._troubled.values())) >= TROUBLED_TASKS
        elif (self._troubled or self._pausing or self._pausing_alone) and is_sound(reading):
            self._found_well(account, now)
        if self.troubled and not before:
            self._tried = dict.fromkeys(self._troubled)
        if self.troubled and (was_probe or not before):
            self._probes = self._probes + 1 if before else 1
            self._probe_at = now + trial_s(self._probes, chance)

    def _found_well(self, account: str, now: float) -> None:
        self._pausing_alone |= self._pausing
        self._pausing_alone.discard(account)
        self._pausing.clear()
        self._troubled.clear()
        if self.troubled:
            self.troubled, self.well_at = False, now


def is_trouble(reading: Reading) -> bool:
    """No answer, or 5xx: it says something about the provider, not about the task."""
    return reading.kind is Kind.TRANSIENT and reading.server_trouble


def is_sound(reading: Reading) -> bool:
    """Whether the provider works. Garbage says nothing of it, nor does the refusal of a key."""
    return reading.kind is not Kind.TRANSIENT and reading.kind not in ABOUT_ACCOUNT


def trial_s(probes: int, chance: float) -> float:
    """Seconds until a provider in trouble is tried again, after so many trials."""
    return growing_s(probes, first_s=TRIAL_FIRST_S, most_s=TRIAL_MOST_S, chance=chance)
