"""A store that cannot be read or written for a while (disk full, I/O error, server down): one log line for each reason,
then retries."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from bridge.errors import LeaseLost, StoreDamaged, StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Offload

log = get_logger()

T = TypeVar("T")

QUIET_S: Final = 3.0  # an outage ends after this long without a failure
EXPIRES_S: Final = 30.0  # a call whose last failure is older no longer counts as failing
LOG_AGAIN_S: Final = 30.0  # e.g. "connection closed", then "wrong password"; some reasons contain numbers that change
RETRY_S: Final = 1.0  # for calls that are only made at a start, or between two daemons


class StoreOutage:
    """Counts the failures of all calls to one store. Logs the first failure, and a later one with another reason, but
    at most one in 30 s. Logs one more line when the calls that failed succeed again or are no longer made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[str, float] = {}  # when each call last failed
        self._failures = 0
        self._began_at = self._failed_at = self._logged_at = -math.inf
        self._logged = ""  # the reason in the last line
        self._last: StoreError | None = None

    def failure(self) -> StoreError | None:
        """The last failure while the store fails; None while it works."""
        return self._last

    def watching(self, offload: Offload) -> Offload:
        """The same `Offload`, but every call is counted here."""

        async def watched(call: Callable[..., T], *args: object) -> T:
            try:
                result = await offload(call, *args)
            except LeaseLost:
                raise  # the store works: it reports that others have taken over
            except StoreError as error:
                self._failed(_name(call), error)
                raise
            self._succeeded(_name(call))
            return result

        return watched

    def _failed(self, call: str, error: StoreError) -> None:
        now = self._failed_at = self._failing[call] = self._clock.steady()
        self._failures += 1
        self._last = error
        if self._failures == 1:
            self._began_at = now
        if self._failures == 1 or (str(error) != self._logged and now - self._logged_at >= LOG_AGAIN_S):
            self._logged, self._logged_at = str(error), now
            log.error("store.failed", reason=self._logged)

    def _succeeded(self, call: str) -> None:
        if not self._failures:
            return
        self._failing.pop(call, None)
        now = self._clock.steady()
        if now - self._failed_at < QUIET_S or any(now - at < EXPIRES_S for at in self._failing.values()):
            return
        log.info("store.recovered", failures=self._failures, seconds=round(self._failed_at - self._began_at, 1))
        self._failing.clear()
        self._failures, self._last = 0, None


async def retrying(call: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Call once a second until an attempt succeeds, and return its result. LeaseLost and StoreDamaged pass through,
    because retries do not help."""
    while True:
        try:
            return await call()
        except (LeaseLost, StoreDamaged):
            raise
        except StoreError:
            await clock.sleep(RETRY_S)


def _name(call: Callable[..., object]) -> str:
    while isinstance(call, partial):
        call = call.func
    return getattr(call, "__name__", "call")
