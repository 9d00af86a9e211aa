"""What a transport sends and receives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

import httpx

from bridge.clock import http_date
from bridge.net.body import Body
from bridge.net.request_head import RequestHead

KEPT_HEADERS: Final = {
    name.encode("ascii"): name
    for name in (
        *("content-encoding", "content-range", "content-type", "date", "location", "retry-after"),
        *("x-ratelimit-reset-after", "x-ogw-ratelimit-reset"),  # waits of Discord and Feishu
    )
}


class WireRequest(NamedTuple):
    """A request as it is sent. (A tuple, because one is created for every poll.)"""

    method: str
    origin: str  # scheme and authority as they were written; connections are grouped by it
    at: httpx.URL  # the same, parsed
    target: bytes
    head: RequestHead
    body: bytes


class WireResponse:
    """What has arrived so far. `headers` has the names of `KEPT_HEADERS` in lower case, with the first value of
    each."""

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
            self.headers["date"] = http_date()  # RFC 9110, 6.6.1 requires this of a recipient
        self.body = Body(encoding=self.headers.get("content-encoding", ""), cap_bytes=self._cap_bytes)


class Transport(Protocol):
    """Sends requests over connections that it keeps open."""

    async def exchange(self, message: WireRequest, reply: WireResponse, *, timeout_s: float) -> None:
        """Send the message and put the answer, including the body, into the reply, within the timeout.

        Raises FAILURES, which include TimeoutError; what has arrived by then stays in the reply. If the body wants no
        more, the exchange ends without an error. No connection is left open, not even by cancellation.
        """

    async def aclose(self) -> None:
        """Close idle connections now, and those in use as soon as their exchanges end."""
