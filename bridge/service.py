"""What the service manager is told: ready, reloading, stopping, alive. sd_notify(3) by hand.

One datagram to `$NOTIFY_SOCKET` for each notice; without that variable nothing happens. Trouble with the socket is
logged once and never raised: a daemon that works is worth more than one that is well reported.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import anyio

from bridge.clock import monotonic_us
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock

SEND_TIMEOUT_S: Final = 0.2
"""A full queue at the manager may hold the loop up for no longer than this."""

log = get_logger()


class ServiceManager:
    """The manager named by `environ`, or nobody.

    `watchdog_interval_s` is half of the unit's WatchdogSec: the time within which loop and store have to answer. None
    when no watchdog is set, or when it is meant for another process.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._heard = True
        watchdog_s = _watchdog_s(environ)
        self.watchdog_interval_s: Final = watchdog_s / 2 if watchdog_s else None

    def ready(self, status: str) -> None:
        """Started, or done with a reload."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """Reading the settings anew; `ready` follows. The instant is what `Type=notify-reload` asks for."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_us()}")

    def stopping(self) -> None:
        """Shutting down."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(_status(text))

    async def keep_alive(
        self, *, clock: Clock, answers: Callable[[], Awaitable[None]], syncing: Callable[[], bool]
    ) -> None:
        """Ping the watchdog for ever, while the loop turns and `answers` returns within `watchdog_interval_s`.

        A StoreError is an answer too. A slow sync (`syncing`) is excused, since a restart makes no disk faster. Returns
        at once without a watchdog. When cancelled it waits for the question under way, which a thread may be holding.
        """
        deadline_s = self.watchdog_interval_s
        if deadline_s is None or self._address is None:
            return
        # The question runs as a task of its own: a thread's call cannot be cancelled, so no time-out would end it.
        async with anyio.create_task_group() as group:
            while True:
                answered = anyio.Event()
                group.start_soon(_ask, answers, answered)
                timeout_s = deadline_s
                while not await clock.wait(answered, timeout_s):
                    if syncing():
                        self._send("WATCHDOG=1")
                    timeout_s = deadline_s / 2
                self._send("WATCHDOG=1")
                await clock.sleep(deadline_s / 2)

    def _send(self, *fields: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notices:
                notices.settimeout(SEND_TIMEOUT_S)
                notices.sendto("\n".join(fields).encode(), self._address)
        except OSError as error:
            if self._heard:
                log.warning("service.unheard", reason=str(error))
            self._heard = False
        else:
            self._heard = True


async def _ask(answers: Callable[[], Awaitable[None]], answered: anyio.Event) -> None:
    try:
        await answers()
    except StoreError:
        pass  # its thread lives, and the engine already says what is wrong
    answered.set()


def _address(notify_socket: str) -> str | None:
    """A path, or `@name` in the abstract namespace; other forms (vsock) are not for processes on this host."""
    if notify_socket.startswith("@"):
        return "\0" + notify_socket[1:]
    return notify_socket if notify_socket.startswith("/") else None


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """sd_watchdog_enabled(3): WATCHDOG_USEC counts when WATCHDOG_PID is absent or ours."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() else None


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())
