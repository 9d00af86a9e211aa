"""The body of a request that is forwarded by the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Final

import anyio
from starlette.types import Receive

from bridge.domain.forwarding import Pair
from bridge.http.problem_details import HttpProblem

MOST_BYTES: Final = 64 << 20
SMALL_BYTES: Final = 1 << 20  # read before sending, so that a slow caller does not use up the account's limits
CHUNK_S: Final = 60.0  # how long a caller may take for a small body, or for the next part of a large one
TOO_LARGE: Final = f"the gateway forwards at most {MOST_BYTES >> 20} MiB"


class CallerGone(Exception):
    """The caller disconnected before it got an answer."""


class RequestBody:
    """The body of a request, with a size limit. HttpProblem 400 if it is encoded for the transfer, 413 if it is too
    large. The server has refused headers that contradict each other about the length."""

    def __init__(self, headers: Sequence[Pair], receive: Receive) -> None:
        self._receive = receive
        codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            raise HttpProblem(HTTPStatus.BAD_REQUEST, "the only supported Transfer-Encoding is chunked")
        self.length = next((int(value) for name, value in headers if name == b"content-length"), None)
        self._is_chunked = bool(codings)
        if self.length is not None and self.length > MOST_BYTES:
            raise HttpProblem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE)

    @property
    def headers(self) -> list[Pair]:
        """The headers that describe the body's length to the provider."""
        if self._is_chunked:
            return [(b"Transfer-Encoding", b"chunked")]
        return [] if self.length is None else [(b"Content-Length", b"%d" % self.length)]

    async def start(self) -> bytes | AsyncIterator[bytes]:
        """A small body as bytes; a large one, or one of unknown length, as a stream. CallerGone, HttpProblem 408."""
        if self._is_chunked or (self.length or 0) > SMALL_BYTES:
            return self._chunks()
        if not self.length:
            return b""
        try:
            with anyio.fail_after(CHUNK_S):
                return b"".join([chunk async for chunk in self._chunks()])
        except TimeoutError:
            raise HttpProblem(HTTPStatus.REQUEST_TIMEOUT, f"the body did not arrive within {CHUNK_S:g} s") from None

    async def _chunks(self) -> AsyncIterator[bytes]:
        size, more = 0, True
        while more:
            chunk, more = await self._next()
            size += len(chunk)
            if size > MOST_BYTES:
                raise HttpProblem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE)
            if chunk:
                yield chunk

    async def _next(self) -> tuple[bytes, bool]:
        try:
            with anyio.fail_after(CHUNK_S):
                message = await self._receive()
        except TimeoutError:
            slow = f"no part of the body arrived within {CHUNK_S:g} s"
            raise HttpProblem(HTTPStatus.REQUEST_TIMEOUT, slow) from None
        if message["type"] == "http.disconnect":
            raise CallerGone
        return message.get("body", b""), message.get("more_body", False)
