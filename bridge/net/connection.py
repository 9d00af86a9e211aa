"""One connection and the answers that arrive on it, parsed by llhttp (httptools)."""

from __future__ import annotations

import asyncio
import math
import re
from typing import Final

import httptools
import httpx

from bridge.net.failure_kinds import MalformedHead

MOST_HEAD_BYTES: Final = 100 * 1024  # maximum size of status line and headers, as in httpx, and of trailers
STATUS_LINE_BYTES: Final = 1024  # if headers are malformed, a longer status line is not read
MOST_BUFFERED_BYTES: Final = 256 * 1024  # bytes of a body that are buffered; then reading pauses
LATE_S: Final = 0.5  # an alarm that is later than this did not only wait for its turn
GRACE_S: Final = 0.1  # how long an answer that has arrived meanwhile may take to be read

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)(?: [^\r\n]*)?\r?\n")

Headers = dict[bytes, bytes]  # the first value of each name, as written


class Connection(asyncio.BufferedProtocol):
    """One connection, for one exchange after another. Data that arrives without a request makes it unusable.

    It reads into `buffer`. All connections of an event loop may share one, because asyncio hands over what it has read
    before it reads again. For a plain protocol asyncio would allocate 256 KiB for each read, which glibc maps and
    unmaps every time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        self.loop: Final = loop
        self.transport: asyncio.Transport | None = None
        self._buffer = buffer
        self._http: httptools.HttpResponseParser | None = None
        self._is_unusable = False  # no exchange may follow
        self._is_paused = False
        self._is_waiting = False
        self._received_bytes = 0  # since the request was sent, the head has ended, or a part of the body has come
        self._head = b""  # the start of status line and headers, while incomplete or malformed
        self._status = 0
        self._incoming: Headers = {}  # headers while they arrive
        self.on_header = self._incoming.setdefault  # called about ten times per answer, and faster in C
        self._headers: Headers = {}
        self._has_head = False
        self._is_whole = False
        self._is_after_size = False  # the size of a chunk has arrived, but none of its content
        self._chunks: list[bytes] = []
        self._chunk_bytes = 0
        self._fault: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ends_at = math.inf
        self._alarm: asyncio.TimerHandle | None = None  # reused for the next exchanges

    async def send(self, message: bytes, ends_at: float) -> tuple[int, Headers]:
        """Send a request. Returns status and headers of the first answer that is not informational.

        Raises TimeoutError at `ends_at` of the loop's clock, here or in `more`. httpx.ReadError if the other side
        closes before that, httpx.RemoteProtocolError if it does not speak HTTP, MalformedHead if only the headers are
        not HTTP.
        """
        if self.transport is None:
            raise httpx.ReadError("closed")
        if self._http is None:
            self._http = httptools.HttpResponseParser(self)
            # A missing CR is allowed by RFC 9112, 2.2. Some servers fill the sizes of chunks up with blanks.
            self._http.set_dangerous_leniencies(
                lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
            )
        self._is_waiting, self._received_bytes, self._has_head, self._is_whole = True, 0, False, False
        self._is_after_size = False
        self._head = b""
        self.end_at(ends_at)
        self.transport.write(message)
        while not self._has_head:
            await self._receive()
        return self._status, self._headers

    def end_at(self, ends_at: float) -> None:
        """Change the end of the exchange to this time."""
        self._ends_at = ends_at
        if self._alarm is None or self._alarm.when() > ends_at:
            self._set_alarm()

    async def more(self) -> bytes:
        """More of the body; empty at its end. httpx.ReadError if it is cut off."""
        while not self._chunks and not self._is_whole:
            await self._receive()
        return self.arrived()

    def arrived(self) -> bytes:
        """The part of the body that has arrived since the last call; may be empty."""
        chunks = self._chunks
        if not chunks:
            return b""
        self._chunks, self._chunk_bytes = [], 0
        if self._is_paused and self.transport is not None:
            self._is_paused = False
            self.transport.resume_reading()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def has_ended(self) -> bool:
        """Whether the body has been read to its end."""
        return self._is_whole and not self._chunks

    @property
    def is_fit(self) -> bool:
        """Whether another exchange may begin: nothing has arrived that could be mistaken for its answer."""
        return not self._is_unusable and self.transport is not None and not self.transport.is_closing()

    def rest(self) -> bool:
        """End the exchange. Returns whether the connection can be used for another exchange."""
        self._is_waiting = False
        return self._is_whole and not self._chunks and not self._is_unusable and self._fault is None

    def drop(self) -> None:
        """Close at once. Otherwise TLS would wait half a minute for the other side to close."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._is_waiting or self._http is None:
            self._is_unusable = True
            return
        self._received_bytes += nbytes
        error: Exception | None = None
        try:
            self._http.feed_data(self._buffer[:nbytes])
        except httptools.HttpParserUpgrade:
            self._is_whole = True
            self._is_unusable = True
        except httptools.HttpParserError as fault:
            error = fault
            self._is_whole |= self._is_after_size  # any bytes can be content, so this is a trailer after the last chunk
        if not self._has_head and len(self._head) < STATUS_LINE_BYTES:
            self._head += self._buffer[:nbytes]
        if self._received_bytes > MOST_HEAD_BYTES:
            error = error or httptools.HttpParserError("too many headers")
        if error is not None:
            self._fail(error)
        self._wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._has_head and not self._is_framed and exc is None:
            self._is_whole = True
        elif self._fault is None:
            self._fault = httpx.ReadError("closed")
            self._fault.__cause__ = exc
        self._cancel_alarm()
        self._http = None  # breaks a reference cycle, which only the garbage collector would free
        self.transport = None
        self._wake()

    def on_message_begin(self) -> None:
        if self._has_head:
            self._is_unusable = True  # data without a request
        self._incoming.clear()

    def on_headers_complete(self) -> None:
        if self._http is None or self._has_head:
            return
        status = self._http.get_status_code()
        if 100 <= status < 200 and status != 101:
            return
        self._headers = self._incoming.copy()  # later ones are trailers, or belong to no request
        if self._received_bytes > MOST_HEAD_BYTES and _size(self._headers) > MOST_HEAD_BYTES:
            raise ValueError("too many headers")
        if not self._http.should_keep_alive():
            self._is_unusable = True
        self._status, self._has_head, self._received_bytes = status, True, 0

    def on_body(self, body: bytes) -> None:
        if self._is_whole:
            return
        self._received_bytes, self._is_after_size = 0, False
        self._chunks.append(body)
        self._chunk_bytes += len(body)
        if self._chunk_bytes > MOST_BUFFERED_BYTES and not self._is_paused and self.transport is not None:
            self._is_paused = True
            self.transport.pause_reading()

    def on_chunk_header(self) -> None:
        self._is_after_size = self._has_head

    def on_message_complete(self) -> None:
        self._is_whole = self._has_head

    @property
    def _is_framed(self) -> bool:
        """Whether the answer has a length or chunks; otherwise it ends with the connection."""
        return any(name.lower() in {b"content-length", b"transfer-encoding"} for name in self._headers)

    def _receive(self) -> asyncio.Future[None]:
        """A future that is done when anything arrives. Raises the error if there is one."""
        if self._fault is not None:
            raise self._fault
        waiter = self._waiter = self.loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _set_alarm(self) -> None:
        self._cancel_alarm()
        self._alarm = self.loop.call_at(self._ends_at, self._expire, self._ends_at)

    def _expire(self, was_set_for: float) -> None:
        self._alarm = None
        if not self._is_waiting:
            return
        if self.loop.time() - was_set_for > LATE_S:  # the process was suspended: first read what has arrived
            self._ends_at = max(self._ends_at, self.loop.time() + GRACE_S)
        if was_set_for < self._ends_at:
            return self._set_alarm()
        if self._fault is None:
            self._fault = TimeoutError()
        self._wake()

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _fail(self, error: Exception) -> None:
        """The input is not HTTP, so nothing more is read. An answer that is already complete stays complete."""
        self._is_unusable = True
        if self._fault is None:
            line = None if self._has_head else _STATUS_LINE.match(self._head)
            self._fault = MalformedHead(int(line[1])) if line else httpx.RemoteProtocolError("not HTTP")
            self._fault.__cause__ = error
        if self.transport is not None:
            self.transport.abort()


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.items())
