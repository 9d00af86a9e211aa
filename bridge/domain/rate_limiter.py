"""The rate limiter of an account: a token bucket, Retry-After, blocks and a circuit breaker.

Times are the engine's steady seconds; nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from bridge.domain.host_limits import TROUBLED_TASKS, HostLimits, has_retry_after, is_sound, is_trouble, probe_delay_s
from bridge.domain.slots import Portion
from bridge.domain.task import ABOUT_ACCOUNT, ENDING, UNDER_WAY, Reading, ReadingKind

SLOWEST_FACTOR: Final = 0.1  # a 429 without Retry-After halves the rate, down to a tenth ...
RECOVERY_S: Final = 60.0  # ... and the full rate is back after a minute
PROBE_FIRST_S: Final = 60.0  # a blocked account is probed after a minute ...
PROBE_MOST_S: Final = 600.0  # ... and then less often, down to every ten minutes
PROBE_GAP_S: Final = 10.0  # ... and at most so often if a person requests polls
GOOD: Final = UNDER_WAY | ENDING
SOON_S: Final = 0.001  # a shorter wait could be rounded to nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Requests per second, requests at once after idle time, and requests in flight."""

    rate: float = 10.0
    burst: int = 20
    concurrency: int = 16

    def portion(self, portion: Portion) -> RateLimits:
        """The limits of a daemon that holds this portion of the account. All daemons together stay within the account's
        limits."""
        return RateLimits(
            rate=self.rate * portion.held / portion.of,
            burst=portion.of_count(self.burst),
            concurrency=portion.of_count(self.concurrency),
        )


class AccountEffect(Enum):
    """What an answer changed for the whole account."""

    NOTHING = "nothing"
    ASKED_TO_WAIT = "asked to wait"
    BLOCKED = "blocked"
    RESTORED = "restored"


class AnswerEffects(NamedTuple):
    """What an answer changed for the account, at the breakers and at the host."""

    account: AccountEffect
    was_troubled: bool  # a breaker was open before, that of the account or that of its host
    failing: Collection[str]  # all accounts of the host, if its breaker was open before or is open now
    frees_host: bool  # another account of the host may be next, for example after a probe


class RateLimiter:
    """Decides when the next request may be sent. Mutable, for one thread; reads no clock.

    The strongest rule wins: a block (only single probes are sent), a wait (Retry-After: nothing is sent), the breaker
    (only single probes are sent), the token bucket. `HostLimits` has the rules that all accounts of a host share.

    One faulty task must not stop the others. So the breaker counts tasks, not answers. If the provider rejects a task
    again after it answered others, the task itself is the cause, and the account is not blocked. The same holds for a
    task whose 5xx has a Retry-After.

    The Retry-After of a 5xx delays its route: the action in the requested address. The other routes continue. If
    addresses contain no action, the route is "", and the whole account waits.
    """

    def __init__(self, limits: RateLimits, *, now: float, account: str = "", host: HostLimits | None = None) -> None:
        self.limits = limits
        self.daemons = 1  # daemons that share the account: each probes this many times less often
        self.host = host or HostLimits()
        self.in_flight = 0
        self.others_in_flight = 0  # requests of other programs on the account that are in flight
        self.in_line = 0  # requests of genbridge that wait: polls leave a place in flight and a token for them
        self.wait_until_at = -math.inf
        self._routes: dict[str, float] = {}  # until when each route waits
        self.blocked = False
        self._only_probes = False  # blocked, or the account's own breaker is open
        self._account = account
        self._refused: set[str] = set()  # tasks whose last answer rejected the account
        # By route: tasks whose 5xx had a Retry-After, since the last good answer on that route.
        self._with_retry_after: dict[str, set[str]] = {}
        self._alone_with_retry_after: set[str] = set()  # tasks like these whose route has answered other tasks since
        self._troubled: set[str] = set()  # tasks with server errors since the last good answer
        self._probes = 0  # probes since the block began or the breaker opened
        self._probe_at = -math.inf
        self._probed_at = -math.inf
        self._probe_out = False
        self._tokens = float(limits.burst)
        self._filled_at = now
        self._factor = 1.0
        self._slowed_at = now

    @property
    def probing(self) -> bool:
        """Whether only single probes may pass."""
        return self._only_probes or self.host.troubled

    @property
    def troubled(self) -> bool:
        """Whether a breaker is open, that of the account or that of its host."""
        return len(self._troubled) >= TROUBLED_TASKS or self.host.troubled

    @property
    def probe_at(self) -> float | None:
        """When the next probe may be sent; None: no probe is needed."""
        return self._probe_at if self._only_probes else None

    def resize(self, limits: RateLimits, *, now: float) -> None:
        """Use other limits from now on. This can reduce the requests that may be sent at once, but never increases
        them."""
        self._fill(now)
        self.limits = limits
        self._tokens = min(float(limits.burst), self._tokens)

    def drain(self) -> None:
        """Empty the bucket, because another daemon may just have used up the burst."""
        self._tokens = 0.0

    def move(self, host: HostLimits) -> None:
        """Change the host. Requests in flight count at the new host."""
        self.host.leave(self.in_flight)
        host.take_over(self._account, self.in_flight)
        self.host = host

    def block(self, *, now: float) -> None:
        """Start blocked, as stored by an earlier process. The first probe may be sent at once."""
        self.blocked, self._probes, self._probe_at = True, 0, now
        self._update_probing()

    def probe_soon(self, *, now: float) -> None:
        """Probe a blocked account now, because a person requests a poll: perhaps they have topped up the balance."""
        if self.blocked:
            self._probe_at = min(self._probe_at, max(now, self._probed_at + PROBE_GAP_S))

    def restore(self) -> None:
        """End the block: another daemon found that the account works again."""
        self.blocked = False
        self._update_probing()

    def wait_s(self, now: float) -> float:
        """Seconds until a request may be sent: 0 means now, infinity means after the answer to a request in flight."""
        if self.in_flight >= self.limits.concurrency:  # the most frequent case; or this daemon has no portion
            return math.inf
        host = self.host
        most = 1 if self._only_probes else host.share(self.limits.concurrency)
        if self.in_flight + self.in_line + (self._places_of_others(most) if self.others_in_flight else 0) >= most:
            return math.inf
        opens_at = self.wait_until_at
        if host.troubled:
            opens_at = max(opens_at, host.opens_at(self._account))
        if self._only_probes:
            opens_at = max(opens_at, self._probe_at)
        if opens_at > now:
            return opens_at - now
        self._fill(now)
        needed = 1 + self.in_line
        return 0.0 if self._tokens >= needed else max((needed - self._tokens) / self.rate_at(now), SOON_S)

    def opens_at(self, route: str, now: float) -> float:
        """When requests on this route may be sent; at or before `now` if the route is free."""
        until_at = self._routes.get(route, -math.inf)
        if until_at <= now and self._routes.pop(route, None) is not None:
            self._cut_burst(now)
        return until_at

    def delay_route(self, route: str, until_at: float, *, now: float) -> None:
        """Send nothing on this route before `until_at`, because of a 5xx with Retry-After. This or another daemon may
        have received it, or an earlier one."""
        if not route:
            self._wait_until(until_at, now)
        elif until_at > now:
            self._routes[route] = max(until_at, self._routes.get(route, until_at))

    def room(self, now: float) -> int:
        """How many requests may be sent at once."""
        if self.wait_s(now) > 0:
            return 0
        if self.probing:
            return 1
        most = self.host.share(self.limits.concurrency)
        return min(most - self.in_flight - self._places_of_others(most), int(self._tokens)) - self.in_line

    def _places_of_others(self, most: int) -> int:
        """How many of `most` places in flight the requests of other programs take. One is left for polls: if the
        concurrency was lowered to 16 while 20 such requests are in flight, they take 15."""
        return min(self.others_in_flight, most - 1)

    def take(self, now: float) -> None:
        """Count a request that is sent now."""
        if now != self._filled_at:
            self._fill(now)
        self._tokens -= 1
        self.in_flight += 1
        self._probe_out = self._only_probes
        self.host.take(self._account)

    def reserve(self, now: float, *, within_s: float) -> float:
        """Count a request that another program sends on the account, and return the seconds until it may be sent. If
        that is more than `within_s`, the request is not counted. Infinity: too many are in flight; one place is
        reserved for polls.

        Blocks and breakers do not delay the request: they limit only polls, and the sender gets the provider's own
        answer. A daemon without a portion of the account lets it pass.
        """
        if self.limits.burst == 0:
            self.others_in_flight += 1
            return 0.0
        most = self.host.share(self.limits.concurrency)
        if self.in_flight + self.others_in_flight >= most or self.others_in_flight >= max(1, most - 1):
            return math.inf
        self._fill(now)
        wait_s = max(0.0, (1 - self._tokens) / self.rate_at(now))
        if wait_s <= within_s:
            self._tokens -= 1
            self.others_in_flight += 1
        return wait_s

    def abandoned(self, *, now: float) -> None:
        """Count a request that ended without an answer: it was canceled, or failed because of a bug here. A failed
        probe is repeated only after `PROBE_FIRST_S`."""
        self.in_flight -= 1
        self.host.leave()
        if self._probe_out:
            self._probe_out = False
            self._probed_at, self._probe_at = now, now + PROBE_FIRST_S

    def answered(
        self,
        reading: Reading,
        *,
        task_id: str,
        route: str = "",
        now: float,
        chance: float,
        asked_at: float = math.inf,
    ) -> AnswerEffects:
        """Process the answer to a poll of this task, sent on this route at `asked_at`.

        While the account is blocked, only the answer to a probe can end the block; earlier requests prove nothing. If
        the rate was halved after `asked_at`, a 429 does not halve it again.
        """
        host = self.host
        was_probing, was_troubled = self.probing, self.troubled
        failing = host.accounts if host.troubled else ()
        self.in_flight -= 1
        host.answered(reading, account=self._account, task_id=task_id, now=now, chance=chance)
        effect = self._apply(reading, task_id, route, now, chance, asked_at)
        return AnswerEffects(
            account=effect,
            was_troubled=was_troubled,
            failing=host.accounts if host.troubled else failing,
            frees_host=host.troubled or (was_probing and not self.probing),
        )

    def _apply(
        self, reading: Reading, task_id: str, route: str, now: float, chance: float, asked_at: float
    ) -> AccountEffect:
        """Process an answer that the host has processed."""
        was_probe, self._probe_out = self._probe_out, False
        before = self.blocked, self._only_probes
        verdict = self._judge(reading, task_id, route, was_probe, now, asked_at)
        self._update_probing()
        is_as_before = before == (self.blocked, self._only_probes)
        if not self._only_probes and not is_as_before:
            self._cut_burst(now)
        if self._only_probes and (was_probe or not is_as_before):
            self._probes = self._probes + 1 if is_as_before else 1
            self._probed_at, self._probe_at = now, now + self._until_probe_s(chance)
        return verdict

    @property
    def delays_routes(self) -> bool:
        """Whether any route may have to wait."""
        return bool(self._routes)

    def is_changed_by(self, reading: Reading) -> bool:
        """Whether the answer changes any state here or at the host. A good answer changes nothing while there are no
        blocks, waits, failures or probes. For other answers callers use `count_answer`, which costs much less."""
        return reading.kind not in GOOD or bool(
            self.blocked
            or self._troubled
            or self._refused
            or self._with_retry_after
            or self._alone_with_retry_after
            or self._probe_out
            or self.host.is_disturbed
        )

    def count_answer(self) -> None:
        """Count an answer that changes nothing else."""
        self.in_flight -= 1
        self.host.in_flight -= 1

    def _update_probing(self) -> None:
        self._only_probes = self.blocked or len(self._troubled) >= TROUBLED_TASKS

    def _judge(
        self, reading: Reading, task_id: str, route: str, was_probe: bool, now: float, asked_at: float
    ) -> AccountEffect:
        if reading.kind in ABOUT_ACCOUNT:
            return self._refuse(task_id)
        if reading.kind is ReadingKind.RATE_LIMITED:
            return self.limited(reading, asked_at=asked_at, now=now)
        if not is_sound(reading):
            return self._trouble(reading, task_id, route, now) if is_trouble(reading) else AccountEffect.NOTHING
        self._troubled.clear()
        self._refused.discard(task_id)
        self._alone_with_retry_after |= self._with_retry_after.pop(route, set())
        self._alone_with_retry_after.discard(task_id)
        if self.blocked and was_probe:
            self.blocked = False
            return AccountEffect.RESTORED
        return AccountEffect.NOTHING

    def _trouble(self, reading: Reading, task_id: str, route: str, now: float) -> AccountEffect:
        self._troubled.add(task_id)
        if not has_retry_after(reading) or task_id in self._alone_with_retry_after:
            return AccountEffect.NOTHING
        self._with_retry_after.setdefault(route, set()).add(task_id)
        self.delay_route(route, now + (reading.retry_after_s or 0.0), now=now)
        return AccountEffect.ASKED_TO_WAIT

    def _refuse(self, task_id: str) -> AccountEffect:
        is_its_own = task_id in self._refused
        self._refused.add(task_id)
        if self.blocked or is_its_own:
            return AccountEffect.NOTHING
        self.blocked = True
        return AccountEffect.BLOCKED

    def _until_probe_s(self, chance: float) -> float:
        if self.blocked:
            return min(PROBE_FIRST_S * 2.0 ** min(self._probes - 1, 16), PROBE_MOST_S) * self.daemons
        return probe_delay_s(self._probes, chance) * self.daemons

    def limited(self, reading: Reading, *, asked_at: float, now: float) -> AccountEffect:
        """Apply a 429 that a request sent at `asked_at` got: one of genbridge's, or of another program."""
        self._troubled.clear()
        if reading.retry_after_s:
            self._wait_until(now + reading.retry_after_s, now)
            return AccountEffect.ASKED_TO_WAIT
        if asked_at < self._slowed_at:
            return AccountEffect.NOTHING
        self._fill(now)
        self._factor = max(self._factor_at(now) / 2, SLOWEST_FACTOR)
        self._slowed_at = now
        self._tokens = min(self._tokens, 0.0)
        return AccountEffect.NOTHING

    def _wait_until(self, until_at: float, now: float) -> None:
        """Send nothing before `until_at`, and no burst after it. A burst would exceed the limit again before the first
        answer arrives."""
        self._fill(now)
        self.wait_until_at = max(self.wait_until_at, until_at)

    def _cut_burst(self, now: float) -> None:
        """Continue with one request, and then at the rate. Otherwise everything that waited would be sent at once."""
        self._fill(now)
        self._tokens = min(self._tokens, 1.0)

    def _factor_at(self, now: float) -> float:
        if self._factor == 1.0:
            return 1.0
        elapsed = max(0.0, now - self._slowed_at) / RECOVERY_S
        return min(1.0, self._factor + (1 - self._factor) * elapsed)

    def rate_at(self, now: float) -> float:
        """How many requests per second are allowed now."""
        return self.limits.rate * self._factor_at(now)

    def _fill(self, now: float) -> None:
        if self.host.well_at >= self._filled_at:
            self._tokens, self._filled_at = min(self._tokens, 1.0), self.host.well_at
        if self.wait_until_at > self._filled_at:
            self._tokens = min(self._tokens, 1.0)
        if now == self._filled_at:
            return
        elapsed = max(0.0, now - max(self._filled_at, self.wait_until_at))
        rate = self.limits.rate if self._factor == 1.0 else self.rate_at(now)
        self._tokens = min(float(self.limits.burst), self._tokens + elapsed * rate)
        self._filled_at = now
