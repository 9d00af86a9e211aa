"""How politely an account may be asked: a token bucket, Retry-After, blocks, and a breaker, as plain arithmetic.

One `Gate` guards one account. Its instants are the engine's steady seconds; nothing here reads a clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bridge.domain.host import TROUBLED_TASKS, Host, is_trouble, trial_s
from bridge.domain.shares import Part
from bridge.domain.task import ABOUT_ACCOUNT, UNDER_WAY, Kind, Reading

SLOWEST_FACTOR: Final = 0.1  # a 429 without hint halves the rate, never below a tenth ...
RECOVERY_S: Final = 60.0  # ... and it is back within a minute
PROBE_FIRST_S: Final = 60.0  # a blocked account is asked again after a minute ...
PROBE_MOST_S: Final = 600.0  # ... growing to ten
LONE_PAUSE_S: Final = 60.0  # so long a 5xx about one task alone may stop the others
SOON_S: Final = 0.001  # rounding must not make a wait too short to move the clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Requests per second, requests at once after idleness, requests in flight."""

    rate: float = 10.0
    burst: int = 20
    concurrency: int = 16

    def part(self, part: Part) -> Limits:
        """What a daemon that holds this part of the account may do; all daemons together keep to the whole."""
        return Limits(
            rate=self.rate * part.held / part.of,
            burst=part.of_count(self.burst),
            concurrency=part.of_count(self.concurrency),
        )


class Verdict(Enum):
    """What an answer changed about the account."""

    NOTHING = "nothing"
    PAUSED = "paused"
    BLOCKED = "blocked"
    RESTORED = "restored"


class Gate:
    """Says when the next request may go out. Mutable, single-threaded, clockless.

    Order of strength: a block (only probes pass, one at a time), a pause (Retry-After: nothing passes), the
    breaker (only probes), the bucket. What is the host's is kept there, for its other accounts too.

    One poisonous task must not hold its neighbours back. So the breaker counts tasks, not answers; and a task that
    was refused before, while others have been answered since, is refused for itself: it blocks nobody. Likewise for one
    whose 5xx asks for time.
    """

    def __init__(self, limits: Limits, *, now: float, account: str = "", host: Host | None = None) -> None:
        self.limits = limits
        self.daemons = 1  # that share the account: each tries a held one so much the more rarely
        self.host = host or Host()
        self.in_flight = 0
        self.paused_until = -math.inf
        self.blocked = False
        self._is_held = False  # blocked, or its own breaker is open
        self._account = account
        self._refused: set[str] = set()  # tasks whose last answer was about the account
        self._pausing: set[str] = set()  # tasks whose 5xx asked for time, since anybody's last good answer
        self._pausing_alone: set[str] = set()  # likewise, while others have been answered
        self._troubled: set[str] = set()  # tasks that met trouble since anybody's last good answer
        self._probes = 0  # since the gate has been held as it is now
        self._probe_at = -math.inf
        self._probe_out = False
        self._tokens = float(limits.burst)
        self._filled_at = now
        self._factor = 1.0
        self._slowed_at = now

    @property
    def probing(self) -> bool:
        """Only single probes may pass."""
        return self._is_held or self.host.troubled

    @property
    def troubled(self) -> bool:
        """The provider fails one task after the other: the breaker is open, this account's or its host's."""
        return len(self._troubled) >= TROUBLED_TASKS or self.host.troubled

    def resize(self, limits: Limits, *, now: float) -> None:
        """Keep to other limits from now on. Requests that could go at once become fewer by it, never more."""
        self._fill(now)
        self.limits = limits
        self._tokens = min(float(limits.burst), self._tokens)

    def drain(self) -> None:
        """Requests that could go at once may not: somebody else may just have sent them."""
        self._tokens = 0.0

    def move(self, host: Host) -> None:
        """The account's address has changed; what is in flight counts there from now on."""
        self.host.leave(self.in_flight)
        host.take(self._account, self.in_flight)
        self.host = host

    def block(self, *, now: float) -> None:
        """Start blocked, as the store remembers it; the first probe may go at once."""
        self.blocked, self._probes, self._probe_at = True, 0, now
        self._weigh()

    def restore(self) -> None:
        """Another daemon has found the account well again."""
        self.blocked = False
        self._weigh()

    def wait_s(self, now: float) -> float:
        """Seconds until a request may go out: 0 is now, infinity is when something in flight has been answered."""
        most = 1 if self._is_held else self.host.share(self.limits.concurrency)
        if self.in_flight >= most or self.limits.burst == 0:  # without a part of the account not even to try it
            return math.inf
        opens_at = max(self.paused_until, self.host.opens_at(self._account))
        if self._is_held:
            opens_at = max(opens_at, self._probe_at)
        if opens_at > now:
            return opens_at - now
        self._fill(now)
        return 0.0 if self._tokens >= 1 else max((1 - self._tokens) / self._rate(now), SOON_S)

    def room(self, now: float) -> int:
        """How many requests may go out at once."""
        if self.wait_s(now) > 0:
            return 0
        if self.probing:
            return 1
        return min(self.host.share(self.limits.concurrency) - self.in_flight, int(self._tokens))

    def take(self, now: float) -> None:
        """One request goes out now."""
        self._fill(now)
        self._tokens -= 1
        self.in_flight += 1
        self._probe_out = self._is_held
        self.host.take(self._account)

    def abandoned(self, *, now: float) -> None:
        """One request came to nothing before its answer: cancelled, or a fault of ours. A probe is not made up for
        at once."""
        self.in_flight -= 1
        self.host.leave()
        if self._probe_out:
            self._probe_out = False
            self._probe_at = now + PROBE_FIRST_S

    def answered(
        self, reading: Reading, *, task_id: str, now: float, chance: float, asked_at: float = math.inf
    ) -> Verdict:
        """The request about this task, sent at `asked_at`, came back with this reading.

        While the gate is blocked only a probe's answer counts: those to earlier requests may say either thing. And
        what was under way when the rate was halved does not halve it again.
        """
        self.in_flight -= 1
        self.host.answered(reading, account=self._account, task_id=task_id, now=now, chance=chance)
        was_probe, self._probe_out = self._probe_out, False
        if reading.kind in UNDER_WAY and self._is_clean:
            return Verdict.NOTHING
        before = self.blocked, self._is_held
        verdict = self._judge(reading, task_id, was_probe, now, asked_at)
        self._weigh()
        is_as_before = before == (self.blocked, self._is_held)
        if not self._is_held and not is_as_before:
            self._calm(now)
        if self._is_held and (was_probe or not is_as_before):
            self._probes = self._probes + 1 if is_as_before else 1
            self._probe_at = now + self._until_probe_s(chance)
        return verdict

    @property
    def _is_clean(self) -> bool:
        """Whether nothing is held against the account or its tasks."""
        return not (self.blocked or self._troubled or self._refused or self._pausing or self._pausing_alone)

    def _weigh(self) -> None:
        self._is_held = self.blocked or len(self._troubled) >= TROUBLED_TASKS

    def _judge(self, reading: Reading, task_id: str, was_probe: bool, now: float, asked_at: float) -> Verdict:
        if reading.kind in ABOUT_ACCOUNT:
            return self._refuse(task_id)
        if reading.kind is Kind.RATE_LIMITED:
            return self._slow(reading, now, asked_at)
        if reading.kind is Kind.TRANSIENT:  # garbage speaks neither for the provider nor for the key
            return self._trouble(reading, task_id, now) if is_trouble(reading) else Verdict.NOTHING
        self._troubled.clear()
        self._refused.discard(task_id)
        self._pausing_alone |= self._pausing
        self._pausing_alone.discard(task_id)
        self._pausing.clear()
        if self.blocked and was_probe:
            self.blocked = False
            return Verdict.RESTORED
        return Verdict.NOTHING

    def _trouble(self, reading: Reading, task_id: str, now: float) -> Verdict:
        self._troubled.add(task_id)
        if not reading.retry_after_s or task_id in self._pausing_alone:
            return Verdict.NOTHING
        self._pausing.add(task_id)
        is_alone = len(self._pausing) == 1
        until_at = now + (min(reading.retry_after_s, LONE_PAUSE_S) if is_alone else reading.retry_after_s)
        self.host.pause(self._account, until_at)
        self._pause(until_at, now)
        return Verdict.PAUSED

    def _refuse(self, task_id: str) -> Verdict:
        is_its_own = task_id in self._refused
        self._refused.add(task_id)
        if self.blocked or is_its_own:
            return Verdict.NOTHING
        self.blocked = True
        return Verdict.BLOCKED

    def _until_probe_s(self, chance: float) -> float:
        if self.blocked:
            return min(PROBE_FIRST_S * 2.0 ** min(self._probes - 1, 16), PROBE_MOST_S) * self.daemons
        return trial_s(self._probes, chance) * self.daemons

    def _slow(self, reading: Reading, now: float, asked_at: float) -> Verdict:
        self._troubled.clear()
        if reading.retry_after_s:
            self._pause(now + reading.retry_after_s, now)
            return Verdict.PAUSED
        if asked_at < self._slowed_at:
            return Verdict.NOTHING
        self._fill(now)
        self._factor = max(self._factor_at(now) / 2, SLOWEST_FACTOR)
        self._slowed_at = now
        self._tokens = min(self._tokens, 0.0)
        return Verdict.NOTHING

    def _pause(self, until_at: float, now: float) -> None:
        """Nothing before then, and no burst then: it would ask for too much again before the answers can tell."""
        self._fill(now)
        self.paused_until = max(self.paused_until, until_at)

    def _calm(self, now: float) -> None:
        """Go on with one request, and the rest at the rate: what has waited meanwhile would all come at once."""
        self._fill(now)
        self._tokens = min(self._tokens, 1.0)

    def _factor_at(self, now: float) -> float:
        if self._factor == 1.0:
            return 1.0
        elapsed = max(0.0, now - self._slowed_at) / RECOVERY_S
        return min(1.0, self._factor + (1 - self._factor) * elapsed)

    def _rate(self, now: float) -> float:
        return self.limits.rate * self._factor_at(now)

    def _fill(self, now: float) -> None:
        if self.host.well_at >= self._filled_at:
            self._tokens, self._filled_at = min(self._tokens, 1.0), self.host.well_at
        paused_until = max(self.paused_until, self.host.paused_until)  # by whichever account or daemon has met it
        if paused_until > self._filled_at:
            self._tokens = min(self._tokens, 1.0)
        if now == self._filled_at:
            return
        elapsed = max(0.0, now - max(self._filled_at, paused_until))
        self._tokens = min(float(self.limits.burst), self._tokens + elapsed * self._rate(now))
        self._filled_at = now
