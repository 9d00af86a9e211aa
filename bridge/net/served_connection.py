"""One connection of the HTTP server: uvicorn's, with a deadline and a size limit for request heads. Its `on_...`
methods are the parser's callbacks.

uvicorn itself waits for the head of a first request without limit, and accepts one of any size.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_S: Final = 10.0
"""How long a client may take to send the head of a request, or the rest of a body after the answer."""
MAX_HEAD_BYTES: Final = 64 << 10
MAX_CONNECTIONS: Final = 4096
ABORT: Final = "genbridge.abort"
"""An extension of the ASGI scope: `abort` breaks the connection, so that an incomplete answer does not look
complete."""
PROBLEM_TYPE: Final = b"application/problem+json"
SAFE_HEAD: Final = (
    b"content-security-policy: default-src 'none'\r\nreferrer-policy: no-referrer\r\ncache-control: no-store\r\n"
    b"x-content-type-options: nosniff\r\ncross-origin-opener-policy: same-origin\r\n"
)
"""For answers that do not come from an app."""


class ServedConnection(HttpToolsProtocol):
    """If a request is not HTTP, or is not complete in time, answers with a problem document and closes. Complete
    requests before it are answered first."""

    _head_bytes = 0
    _silent_bytes = 0  # received since the parser has reported anything: it collects a line until its end
    _head_timer: asyncio.TimerHandle | None = None
    _rest_timer: asyncio.TimerHandle | None = None  # for the rest of a body after the answer
    _is_whole = False  # the last request has been received completely
    _refusal: tuple[HTTPStatus, str] | None = None
    _last_answer: tuple[HTTPStatus, str] | None = None  # the refusal that follows the answers that are still due
    _running: RequestResponseCycle | None = None  # the request that is being answered; `cycle` has arrived last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        most = most_connections()
        if len(self.connections) > most:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"there are {most} connections already")
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._last_answer is not None:
            return  # what follows an invalid request cannot be read
        self._silent_bytes += len(data)
        super().data_received(data)
        if self._silent_bytes > MAX_HEAD_BYTES:
            is_head = self._head_timer is not None
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if is_head else HTTPStatus.BAD_REQUEST
            self._refuse(status, f"the request has a line of more than {MAX_HEAD_BYTES >> 10} KiB")

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._stop_rest_timer()
        super().connection_lost(exc)
        if (running := self._running) is not None and not running.response_complete:
            running.disconnected = True  # uvicorn notifies only the request that has arrived last
            running.message_event.set()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}
        self._head_bytes = self._silent_bytes = 0
        self._is_whole = False
        if self._head_timer is None:
            self._await_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._silent_bytes = 0
        if self._head_timer is not None:  # later it is a trailer, and not part of the head (RFC 9110, 6.5.1)
            # The parser leaves blanks at the end (RFC 9110, 5.5: not part of the value).
            super().on_header(name, value.rstrip(b" \t"))
        self._count(len(name) + len(value) + 4)

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._head_arrived()
        self._stop_rest_timer()
        scheme, is_absolute, rest = self.url.partition(b"://")
        if is_absolute and b"/" not in scheme:  # the host in a whole URL counts, not the header (RFC 9112, 3.2.2)
            host = rest.partition(b"/")[0]
            self.headers[:] = [(name, host if name == b"host" else value) for name, value in self.headers]
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle

    def on_message_complete(self) -> None:
        self._is_whole = True
        self._stop_rest_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        following = self.pipeline[-1][0] if self.pipeline else None
        self._running = following or self._running
        super().on_response_complete()
        if self._last_answer is not None:
            if following is None:
                self._end_with(*self._last_answer)
        elif not self._is_whole and self._rest_timer is None:
            self._rest_timer = self.loop.call_later(HEAD_S, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Called if the parser, or a callback of it, has failed."""
        self._refuse(*(self._refusal or (HTTPStatus.BAD_REQUEST, "the request is not valid HTTP/1.1")))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            too_large = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._refusal = too_large, f"the head of the request is larger than {MAX_HEAD_BYTES >> 10} KiB"
            raise ValueError(self._refusal[1])  # the parser turns this into its own error

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._too_slow)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_rest_timer(self) -> None:
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the head of the request did not arrive within {HEAD_S:g} s")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self._head_arrived()
        running = self._running
        if running is None or running.response_complete:
            self._end_with(status, detail)
        elif not running.more_body:
            if self.pipeline and self.cycle.more_body:
                self.pipeline.popleft()  # the invalid request
            self._last_answer = status, detail
        elif running.response_started:
            self.transport.close()
        else:  # while the body of the only request arrives, the refusal can still be its answer
            self._end_with(status, detail)

    def _end_with(self, status: HTTPStatus, detail: str) -> None:
        if self.transport.is_closing():
            return
        body = orjson.dumps(problem_document(status, detail))
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        self.transport.write(head.encode() + SAFE_HEAD + b"content-type: " + PROBLEM_TYPE + b"\r\n\r\n" + body)
        self.transport.close()


def most_connections() -> int:
    """The maximum number of simultaneous connections: half of the files that the process may open, so that polls and
    deliveries always have enough."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


def problem_document(status: HTTPStatus, detail: str, errors: Sequence[object] = ()) -> dict[str, object]:
    """A problem document (RFC 9457)."""
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "errors": errors,
    }
