"""What a transport sends and receives. A body is decoded, and has a size limit."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

import httpx

from bridge.clock import http_date
from bridge.net.request_head import RequestHead

MAX_SLACK_BYTES: Final = 64 * 1024  # allowed above the limit, because compressed bytes may be longer than the content
FIRST_ERROR: Final = int(HTTPStatus.BAD_REQUEST)  # a number, because a member of HTTPStatus takes 20 times as long
FIRST_SERVER_ERROR: Final = int(HTTPStatus.INTERNAL_SERVER_ERROR)
GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
RAW_DEFLATE: Final = -zlib.MAX_WBITS
GZIP_START: Final = b"\x1f"
NOT_COMPRESSED: Final = frozenset({"identity", "utf-8"})  # some servers mistake it for the character set


class Body:
    """Collects at most `cap_bytes` of decoded content.

    Call `feed` with raw chunks until it refuses more (`trouble` has the reason) or until they end. Then call `finish`.
    Compressed content is decompressed only up to the limit, so a decompression bomb costs no more than the limit.
    """

    def __init__(self, *, encoding: str, cap_bytes: int) -> None:
        self.content = bytearray()
        self.trouble = ""
        self.is_over_cap = False
        self._cap_bytes = cap_bytes
        self._raw_bytes = 0
        self._inflate = None
        coding = encoding.strip().lower() if encoding else ""
        if not coding:
            return
        if coding in {"gzip", "x-gzip", "deflate"}:
            self._inflate = zlib.decompressobj(GZIP_OR_ZLIB)
        elif coding not in NOT_COMPRESSED:
            self.trouble = "the body has a content encoding that was not requested"

    def feed(self, chunk: bytes) -> bool:
        """Process one raw chunk; returns False if no more is wanted."""
        if self.trouble:
            return False
        self._raw_bytes += len(chunk)
        if self._inflate is None and self._raw_bytes <= self._cap_bytes:
            self.content += chunk
            return True
        if self._inflate is None:
            self.content += chunk[: self._room()]
        else:
            try:
                self._feed_compressed(chunk)
            except zlib.error:
                self.trouble = "the compressed body is damaged"
        if len(self.content) > self._cap_bytes or self._raw_bytes > self._cap_bytes + MAX_SLACK_BYTES:
            del self.content[self._cap_bytes :]
            self.is_over_cap = True
            self.trouble = f"body over {self._cap_bytes} bytes"
        return not self.trouble

    def finish(self) -> None:
        """Process the normal end of the body."""
        if self._inflate is not None and self._raw_bytes and not self._inflate.eof and not self.trouble:
            self.trouble = "the compressed body is incomplete"

    def _room(self) -> int:
        return self._cap_bytes + 1 - len(self.content)

    def _feed_compressed(self, chunk: bytes) -> None:
        assert self._inflate is not None
        if self._raw_bytes == len(chunk) and not _has_header(chunk):
            self._inflate = zlib.decompressobj(RAW_DEFLATE)  # some servers send raw "deflate"
        while chunk and self._room() > 0:
            if self._inflate.eof:
                if not chunk.startswith(GZIP_START):
                    raise zlib.error("bytes after the end of the compressed body")
                self._inflate = zlib.decompressobj(GZIP_OR_ZLIB)  # a gzip file may have several members
            self.content += self._inflate.decompress(chunk, self._room())
            chunk = self._inflate.unused_data


def _has_header(chunk: bytes) -> bool:
    """Whether compressed content begins with a header of gzip (RFC 1952) or zlib (RFC 1950)."""
    return chunk.startswith(GZIP_START) or (
        chunk[0] & 0x0F == 8 and (len(chunk) < 2 or int.from_bytes(chunk[:2]) % 31 == 0)
    )


KEPT_HEADERS: Final = {
    name.encode("ascii"): name
    for name in (
        *("content-encoding", "content-range", "content-type", "date", "location", "retry-after"),
        *("x-ratelimit-reset-after", "x-ogw-ratelimit-reset"),  # waits of Discord and Feishu
    )
}


def first_values(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The first value of each name."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found.setdefault(name, value)
    return found


@lru_cache(maxsize=64)
def _kept(names: tuple[bytes, ...]) -> tuple[tuple[str, bytes], ...]:
    """The headers to keep among these, each with its name as written. Cached, because a server sends the same names in
    every answer."""
    found: dict[str, bytes] = {}
    for name in names:
        if (key := KEPT_HEADERS.get(name.lower())) is not None:
            found.setdefault(key, name)
    return tuple(found.items())


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

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> Body:
        """Status line and headers have arrived. Returns what collects the body."""
        self.status = status
        for key, name in _kept(tuple(headers)):
            self.headers[key] = headers[name].decode("latin-1")
        if "date" not in self.headers:
            self.headers["date"] = http_date()  # RFC 9110, 6.6.1 requires this of a recipient
        self.body = Body(encoding=self.headers.get("content-encoding", ""), cap_bytes=self._cap_bytes)
        return self.body


class Transport(Protocol):
    """Sends requests over connections that it keeps open."""

    async def exchange(self, message: WireRequest, reply: WireResponse, *, timeout_s: float) -> None:
        """Send the message and put the answer, including the body, into the reply, within the timeout.

        Raises FAILURES, which include TimeoutError; what has arrived by then stays in the reply. If the body refuses
        more chunks, the exchange ends without an error. No connection is left open, not even by cancellation.
        """

    async def aclose(self) -> None:
        """Close idle connections now, and those in use as soon as their exchanges end."""
