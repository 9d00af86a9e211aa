"""Notifies the service manager: ready, reloading, stopping, alive. A small sd_notify(3).

Each notice is one datagram to `$NOTIFY_SOCKET`. Without that variable nothing is sent. Errors of the socket are logged
once and never raised, because they must not stop a working daemon.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from bridge.clock import monotonic_us
from bridge.logs import get_logger

SEND_TIMEOUT_S: Final = 0.2  # the longest time for which a full queue of the manager may block the event loop

log = get_logger()


class ServiceManager:
    """The manager in `environ`, or none.

    `watchdog_s` is the unit's WatchdogSec: `alive` must be called more often. None if no watchdog is set, or if it is
    for another process.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._is_heard = True
        self.watchdog_s: Final = _watchdog_s(environ)

    def ready(self, status: str) -> None:
        """The start or a reload is complete."""
        self._send("READY=1", "STATUS=" + " ".join(status.split()))

    def reloading(self) -> None:
        """A reload begins; `ready` follows. `Type=notify-reload` requires the time."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_us()}")

    def stopping(self) -> None:
        """The shutdown begins."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Event loop and store answer. Nothing is sent without a watchdog."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def _send(self, *fields: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notices:
                notices.settimeout(SEND_TIMEOUT_S)
                notices.sendto("\n".join(fields).encode(), self._address)
        except OSError as error:
            if self._is_heard:
                log.warning("service.notify_failed", reason=str(error))
            self._is_heard = False
        else:
            self._is_heard = True


def _address(notify_socket: str) -> str | None:
    """A path, or `@name` in the abstract namespace. Other kinds (vsock) are not for processes on this host."""
    if notify_socket.startswith("@"):
        return "\0" + notify_socket[1:]
    return notify_socket if notify_socket.startswith("/") else None


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Like sd_watchdog_enabled(3): WATCHDOG_USEC counts if WATCHDOG_PID is absent or is this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 or None if usec.isdecimal() else None
