"""Restarts background work after a bug, so that a bug in one part ends neither the daemon nor another part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from bridge.errors import BridgeBug, GenbridgeError
from bridge.logs import get_logger
from bridge.ports import Clock

log = get_logger()

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0  # after work has run this long without a bug, the pauses start small again


async def keep_running(name: str, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Do this work until it returns or is canceled. After a bug, log `work.bug` with its name and start it again,
    first after a second, then after twice as long each time, up to a minute.

    Errors that a person must act on (GenbridgeError, except BridgeBug) pass through.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        begun_at = clock.steady()
        try:
            await work()
            return
        except* BridgeBug as bugs:
            error: Exception = bugs
        except* GenbridgeError:
            raise
        except* Exception as errors:
            error = errors
        if clock.steady() - begun_at > LONGEST_PAUSE_S:
            pause_s = FIRST_PAUSE_S
        log.error("work.bug", work=name, again_in_s=pause_s, exc_info=error)
        await clock.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
