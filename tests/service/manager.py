"""A datagram socket in place of the service manager."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PATIENCE_S: Final = 30.0


class Manager:
    """Listens at `address` inside `with`. The address is a path, or "\\0name" in the abstract namespace."""

    def __init__(self, address: Path | str) -> None:
        self._address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        self._socket.bind(self._address)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    @property
    def environ(self) -> dict[str, str]:
        """The environment with which a service is started."""
        return {"NOTIFY_SOCKET": self._address}

    def heard(self) -> list[str]:
        """Every notice since the last call. Does not wait."""
        self._socket.setblocking(False)
        notices: list[str] = []
        while True:
            try:
                notices.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return notices

    def await_notice(self, start: str) -> str:
        """The next notice that begins with `start`. Earlier notices are dropped. TimeoutError if none comes in
        `PATIENCE_S`, because starting a process may take ten seconds on a busy machine."""
        deadline = time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            notice = self._socket.recv(4096).decode()
            if notice.startswith(start):
                return notice
        raise TimeoutError(f"no {start} within {PATIENCE_S} s")
