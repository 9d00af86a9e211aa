"""Forwards an answer of the provider to the caller, and reads it if it is about a task."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import anyio
import anyio.abc
from starlette.types import Receive, Send

from bridge.domain.forwarding import KeyMask, Pair, masked, returned_headers
from bridge.engine.poller import Poller
from bridge.http.gateway_bodies import MOST_BYTES, TOO_LARGE
from bridge.http.gateway_watches import WatchCommit, WatchWish
from bridge.http.problem_details import HttpProblem
from bridge.http.services import Services
from bridge.net.client import Answer
from bridge.net.failure_kinds import BodyStopped
from bridge.net.http_server import cancel_when_gone
from bridge.net.httpx_connections import StreamedAnswer
from bridge.net.streaming_client import whole_answer
from bridge.providers.pass_through import NotCreated, PassThrough
from bridge.providers.task_requests import NamedTask
from bridge.sources.task_reader import TaskProblem
from bridge.wiring.gateway_accounts import GatewayAccount

READ_S: Final = 600.0  # for a whole answer that is read
ERROR_BYTES: Final = 64 << 10  # maximum size of an answer that reports an error
DECODED_BYTES: Final = 8 << 20  # maximum size of an answer that is searched for a key
WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
WRITE_S: Final = 120.0  # how long a caller may take for one part
NO_JSON: Final = (
    *("text/event-stream", "application/x-ndjson", "application/jsonl", "application/octet-stream"),
    *("video/", "audio/", "image/", "multipart/"),
)
"""Types of answers that are only streamed. Some aggregators send their JSON with another type."""


@dataclass(slots=True, kw_only=True)
class AnswerPassing:
    """Sends one answer to the caller.

    `path` is below the base URL. `wish`: the answer may contain a new task. `status`: the request polls a task, as
    genbridge does. `asked_at` is steady time. `has_begun`: the status line has been sent, so that no other answer is
    possible.
    """

    services: Services
    traffic: Poller
    account: GatewayAccount
    method: str
    path: str
    below: str
    wish: WatchWish | None
    status: NamedTask | None
    asked_at: float
    answer: StreamedAnswer
    send: Send
    has_begun: bool = False

    @property
    def _rules(self) -> PassThrough:
        return self.account.rules

    @property
    def _has_body(self) -> bool:
        return self.method != "HEAD" and self.answer.status not in WITHOUT_BODY

    async def run(self, receive: Receive) -> None:
        """Forward the answer. If that fails, HttpProblem 502 or 504 before it has begun, BodyStopped afterwards.

        An answer that may be about a task is read to its end even if the caller disconnects.
        """
        if self.answer.status > 599:
            raise HttpProblem(HTTPStatus.BAD_GATEWAY, f"the provider answered with the status {self.answer.status}")
        chunks = self.answer.chunks()
        cap_bytes = self._cap_bytes()
        read, is_whole = await _read(chunks, cap_bytes) if cap_bytes else (b"", False)
        if not cap_bytes:
            return await self._stream(chunks, read, [], receive)
        async with anyio.create_task_group() as group:  # a slow commit continues after the answer
            watch = await self._take_in(read, is_whole=is_whole, group=group)
            if is_whole:
                await self._whole(read, watch)
            else:
                await self._stream(chunks, read, watch, receive)

    def _cap_bytes(self) -> int:
        """How much of the answer is read before it is forwarded; 0 for an answer that is only streamed."""
        status = self.answer.status
        if not self._has_body:
            return 0
        if status >= HTTPStatus.BAD_REQUEST:
            return ERROR_BYTES
        may_be_json = not self._header(b"content-type").decode("latin-1").strip().lower().startswith(NO_JSON)
        return self._rules.most_bytes if may_be_json and (self.wish or self.status) else 0

    async def _take_in(self, read: bytes, *, is_whole: bool, group: anyio.abc.TaskGroup) -> list[Pair]:
        """Process the answer, and commit a new watch. Returns the headers to add."""
        answer = self._decoded(read, is_whole=is_whole)
        if (limited := self._rules.limited(answer)) is not None:
            self.traffic.limited(self.account.name, limited, asked_at=self.asked_at)
        if self.status is not None and (reading := self._rules.reading(self.status, answer)) is not None:
            self.traffic.submit(self.account.name, self.status.task_id, reading)
        if self.wish is None:
            return []
        commit = WatchCommit(self.services, self.account.name)
        try:
            wish = self.wish.named_by(answer, self.path, self._rules)
            if wish is None:
                return []
            await commit.finish(wish, group)
        except (NotCreated, TaskProblem) as problem:
            commit.fail(str(problem))
        return [commit.header]

    def _decoded(self, read: bytes, *, is_whole: bool) -> Answer:
        """The answer as genbridge's own client would return it, without the account's keys."""
        cap_bytes = max(self._cap_bytes(), 1)
        answer = whole_answer(self.answer.status, self.answer.headers, read, cap_bytes=cap_bytes)
        if not is_whole:
            trouble = f"body over {cap_bytes} bytes"
            answer = answer._replace(complete=False, trouble=trouble, is_over_cap=True)
        return answer._replace(body=masked(answer.body, self._rules.secrets))

    async def _whole(self, read: bytes, more: list[Pair]) -> None:
        """Forward an answer that has been read. One that contains a key is sent uncompressed, with the key masked."""
        body, headers = masked(read, self._rules.secrets), self._headers()
        decoded = whole_answer(self.answer.status, self.answer.headers, read, cap_bytes=DECODED_BYTES)
        if self._header(b"content-encoding") and decoded.complete:
            clean = masked(decoded.body, self._rules.secrets)
            if clean != decoded.body:
                body = clean
                headers = _without(b"content-encoding", headers)
        await self._begin([*_without(b"content-length", headers), (b"content-length", b"%d" % len(body)), *more])
        await self.send({"type": "http.response.body", "body": body})

    async def _stream(self, chunks: AsyncIterator[bytes], read: bytes, more: list[Pair], receive: Receive) -> None:
        """Forward an answer while it arrives, until the caller disconnects."""
        if self._has_body and int(self._header(b"content-length") or b"0") > MOST_BYTES:
            raise HttpProblem(HTTPStatus.BAD_GATEWAY, f"the answer is too large: {TOO_LARGE}")
        headers = self._headers()
        if self.answer.status in WITHOUT_BODY:
            headers = _without(b"content-length", headers)
        await self._begin([*headers, *more])
        if self._has_body:
            async with anyio.create_task_group() as watching:
                watching.start_soon(cancel_when_gone, receive, watching.cancel_scope)
                await self._send_chunks(chunks, read)
                watching.cancel_scope.cancel()
        await self.send({"type": "http.response.body", "body": b""})

    async def _send_chunks(self, chunks: AsyncIterator[bytes], read: bytes) -> None:
        mask, size = KeyMask(self._rules.secrets), len(read)
        if read:
            await self._send_part(mask.feed(read))
        async for chunk in chunks:
            size += len(chunk)
            if size > MOST_BYTES:
                raise BodyStopped(TOO_LARGE)
            await self._send_part(mask.feed(chunk))
        await self._send_part(mask.rest())

    async def _send_part(self, part: bytes) -> None:
        """Send a part of the body. BodyStopped if the caller does not read it in time."""
        with anyio.move_on_after(WRITE_S) as time_limit:
            await self.send({"type": "http.response.body", "body": part, "more_body": True})
        if time_limit.cancelled_caught:
            raise BodyStopped(f"the caller read nothing for {WRITE_S:g} s")

    async def _begin(self, headers: Sequence[Pair]) -> None:
        self.has_begun = True
        await self.send({"type": "http.response.start", "status": self.answer.status, "headers": list(headers)})

    def _headers(self) -> list[Pair]:
        given = returned_headers(self.answer.headers, base_url=self._rules.base_url, below=self.below)
        return [(name, masked(value, self._rules.secrets)) for name, value in given]

    def _header(self, wanted: bytes) -> bytes:
        return next((value for name, value in self.answer.headers if name.lower() == wanted), b"")


def _without(name: bytes, headers: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in headers if pair[0].lower() != name]


async def _read(chunks: AsyncIterator[bytes], cap_bytes: int) -> tuple[bytes, bool]:
    """The beginning of an answer, up to its end or to more than `cap_bytes`, and whether it is complete. HttpProblem
    502 if the answer is cut off, 504 if it takes too long."""
    read = bytearray()
    try:
        with anyio.fail_after(READ_S):
            async for chunk in chunks:
                read += chunk
                if len(read) > cap_bytes:
                    return bytes(read), False
    except BodyStopped as cut:
        raise HttpProblem(HTTPStatus.BAD_GATEWAY, str(cut)) from None
    except TimeoutError:
        late = f"the provider's answer did not end within {READ_S:g} s"
        raise HttpProblem(HTTPStatus.GATEWAY_TIMEOUT, late) from None
    return bytes(read), True
