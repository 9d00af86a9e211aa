"""Streams of server-sent events: the stored events, and the changes that pages follow.

The hub encodes each frame once and passes the same bytes to every stream. This is why sse-starlette, which encodes each
event for each stream, is not used. starlette's StreamingResponse is not used either, because it waits without limit for
a client that does not read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final

import anyio
import anyio.lowlevel
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from bridge.control.lookup import listed_account
from bridge.domain.event import Topic
from bridge.errors import Unavailable
from bridge.http.api_route import ApiCall, ApiModel, route
from bridge.http.request_filters import named_filters
from bridge.net.http_server import cancel_when_gone
from bridge.net.served_connection import ABORT

MAX_STREAMS: Final = 1000
SEND_S: Final = 30.0  # how long a client may take to read what was sent
MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = {
    "Content-Type": MEDIA_TYPE,
    "X-Accel-Buffering": "no",  # otherwise nginx would buffer frames
}
UNKNOWN_ID: Final = -1  # no event has this number, so the stream begins with `reset`


class EventsQuery(ApiModel):
    """Which events to send."""

    topic: Topic | None = None
    account: str | None = None


_OPTIONS: Final[Mapping[str, Any]] = {
    "media_type": MEDIA_TYPE,
    "problems": frozenset({HTTPStatus.SERVICE_UNAVAILABLE}),
}


@route("GET", "/api/v1/events", query=EventsQuery, headers=("Last-Event-ID",), **_OPTIONS)
async def events(call: ApiCall) -> Response:
    """Follow events as server-sent events. `Last-Event-ID` resumes; `reset` says that this id is too old."""
    after = _number(call.request.headers.get("last-event-id"))
    query, services = call.query, call.services
    with named_filters():
        await services.ask(listed_account, query.account)
    return await _stream(call, services.live.events.follow(after, topic=query.topic, account=query.account))


@route("GET", "/api/v1/changes", **_OPTIONS)
async def changes(call: ApiCall) -> Response:
    """Follow the current state of tasks, deliveries and counters, for pages."""
    return await _stream(call, call.services.live.changes.follow())


def _number(last_event_id: str | None) -> int | None:
    if not last_event_id:
        return None
    is_number = last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19
    return int(last_event_id) if is_number else UNKNOWN_ID


async def _stream(call: ApiCall, frames: AsyncGenerator[bytes, None]) -> Response:
    if call.request.method == "HEAD":
        head = Response(headers=HEADERS)
        del head.headers["content-length"]  # unknown, as for GET
        return head
    services = call.services
    if services.stopping.is_set() or services.live.followers >= MAX_STREAMS:
        reason = "the daemon is stopping" if services.stopping.is_set() else f"there are {MAX_STREAMS} streams already"
        raise Unavailable(reason)
    return _StreamResponse(frames, await anext(frames))


class _StreamResponse(Response):
    """Sends frames until there are no more, or the client disconnects or does not read."""

    def __init__(self, frames: AsyncGenerator[bytes, None], opening: bytes) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._frames = frames
        self._opening = opening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._frames) as frames, anyio.create_task_group() as group:
            group.start_soon(cancel_when_gone, receive, group.cancel_scope)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            is_read = await _sent(send, self._opening)
            while is_read and (data := await anext(frames, None)) is not None:
                is_read = await _sent(send, data)
            if is_read:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                group.cancel_scope.cancel()
            else:
                scope["extensions"][ABORT]["abort"]()  # a normal end would wait until the client reads


async def _sent(send: Send, data: bytes) -> bool:
    """Whether the client has read the data, or the data fits into the buffer for the client."""
    message: Message = {"type": "http.response.body", "body": data, "more_body": True}
    with anyio.move_on_after(SEND_S) as time_limit:
        await send(message)
        await anyio.lowlevel.checkpoint()  # so that a burst of frames ends when the client has left
    return not time_limit.cancelled_caught


ROUTES: Final = (events, changes)
