"""What passes through a transport: a message there, and what comes back of a reply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

import httpx

from bridge.clock import http_date
from bridge.net.body import Body
from bridge.net.head import Head

KEPT_HEADERS: Final = {
    name.encode("ascii"): name for name in ("content-encoding", "content-type", "date", "location", "retry-after")
}


class Message(NamedTuple):
    """A request to the letter, as it goes over the wire. (A tuple: one is made for every poll.)"""

    method: str
    origin: str  # scheme and authority as they were written; connections are kept by it
    at: httpx.URL  # the same, understood
    target: bytes
    head: Head
    body: bytes


class Reply:
    """What has come back so far. `headers` are the few of `KEPT_HEADERS`, in lower case, the first of each."""

    def __init__(self, cap_bytes: int) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body: Body | None = None  # None until status line and headers have arrived
        self._cap_bytes = cap_bytes

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Status line and headers have arrived."""
        self.status = status
        for name, value in headers:
            key = KEPT_HEADERS.get(name.lower())
            if key is not None and key not in self.headers:
                self.headers[key] = value.decode("latin-1")
        if "date" not in self.headers:
            self.headers["date"] = http_date()  # as RFC 9110, 6.6.1 asks of whoever receives none
        self.body = Body(encoding=self.headers.get("content-encoding", ""), cap_bytes=self._cap_bytes)


class Transport(Protocol):
    """The seam below the client: connections, and what goes over them."""

    async def exchange(self, message: Message, reply: Reply, *, timeout_s: float) -> None:
        """Send the message and put into the reply what comes back, body included, within the time-out.

        Raises FAILURES, TimeoutError among them; what has come back by then stays in the reply. A body of which no
        more is wanted is good order too. No connection is left behind, not even by cancellation.
        """

    async def aclose(self) -> None:
        """Close what is idle, and what is under way as soon as it ends."""
