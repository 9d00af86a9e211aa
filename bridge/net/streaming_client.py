"""The HTTP client of the gateway: bodies are streamed in both directions, and headers and status are not changed."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Final, NamedTuple

import anyio
import httpx

from bridge.domain.proxies import ProxyRules
from bridge.net.client import NO_RULES, Answer, Unanswered, proxy_at, shared_context, usable_proxy
from bridge.net.exchange import WireResponse
from bridge.net.failure_kinds import FAILURES, NO_ANSWER, explain
from bridge.net.httpx_transport import KEEP_ALIVE_S, has_unread_bytes
from bridge.net.request_head import ExactUrl, Pair, origin_of, split

CONNECT_S: Final = 15.0
WRITE_S: Final = 60.0  # for one chunk of the request
READ_S: Final = 600.0  # until the headers, and between two chunks; a call that generates at once may take minutes
CLOSE_S: Final = 2.0
TIMEOUTS: Final = {"connect": CONNECT_S, "read": READ_S, "write": WRITE_S, "pool": None}
REPEATABLE: Final = frozenset({"GET", "HEAD"})


class StreamedRequest(NamedTuple):
    """A request to the client's origin. `target` is sent unchanged. `headers` has all headers except Host, including
    Content-Length or Transfer-Encoding: chunked for the body."""

    method: str
    target: bytes
    headers: Sequence[Pair]
    body: bytes | AsyncIterable[bytes] = b""


class BodyCut(Exception):
    """The body of an answer ended early. The text is one line for people."""


class StreamedAnswer:
    """Status and headers of an answer, and its body while it arrives. Must be closed."""

    def __init__(self, response: httpx.Response, connection: httpx.AsyncHTTPTransport, client: StreamingClient) -> None:
        self.status: Final = response.status_code
        self.headers: Final[Sequence[Pair]] = response.headers.raw
        self._response = response
        self._connection = connection
        self._client = client

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, still encoded. BodyCut if it ends early."""
        stream = self._response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        try:
            async for chunk in stream:
                yield chunk
        except FAILURES as error:
            late = isinstance(error, httpx.TimeoutException)
            why = "the provider sent nothing for a long time" if late else "the connection was closed"
            raise BodyCut(f"{why} in the middle of the body") from error

    async def aclose(self) -> None:
        """Keep the connection if the body has been read to its end; otherwise close it."""
        with anyio.move_on_after(CLOSE_S, shield=True):
            try:
                await self._response.stream.aclose()  # type: ignore[union-attr]  # an asynchronous one, as above
            finally:
                await self._client.take_back(self._connection)


class StreamingClient:
    """Sends requests to the origin of `base_url`, and to no other host. A redirect is an answer like any other.

    Callers limit their own concurrency; at most `most_idle` connections are kept for later requests. `proxy`, `ca_file`
    and `environment` are as for `HttpClient`. ConfigError if the proxy or the file cannot be used.
    """

    def __init__(
        self,
        *,
        base_url: str,
        most_idle: int,
        proxy: str | None = None,
        ca_file: str | None = None,
        environment: ProxyRules = NO_RULES,
    ) -> None:
        at = self._at = origin_of(split(base_url)[0])
        self._context = shared_context(ca_file)
        chosen = proxy_at(at, environment.with_own(proxy))
        self._proxy = None if chosen is None else usable_proxy(chosen, self._context)
        self._most_idle = most_idle
        self._idle: deque[tuple[float, httpx.AsyncHTTPTransport]] = deque()
        self._is_closed = False

    async def send(self, request: StreamedRequest) -> StreamedAnswer | Unanswered:
        """The answer, as soon as its headers have arrived. Raises only cancellation, and exceptions of `body`.

        If the other side has just closed a kept-alive connection, a GET or HEAD is sent again, once.
        """
        try:
            connection = self._kept()
            if connection is not None:
                try:
                    return await self._sent(request, connection)
                except NO_ANSWER:
                    if request.method not in REPEATABLE or request.body:
                        raise
            return await self._sent(request, self._new())
        except FAILURES as error:
            return self._unanswered(error)

    def _unanswered(self, error: BaseException) -> Unanswered:
        kind, reason = explain(error, str(self._at), None if self._proxy is None else str(self._proxy.url))
        return Unanswered(kind=kind, reason=reason)

    async def take_back(self, connection: httpx.AsyncHTTPTransport) -> None:
        """Return a connection that is no longer in use."""
        if has_unread_bytes(connection):
            return await connection.aclose()
        self._idle.append((anyio.current_time(), connection))
        await self._trim()

    async def aclose(self) -> None:
        """Close idle connections now, and those in use when they are returned."""
        self._is_closed = True
        await self._trim()

    async def _sent(self, request: StreamedRequest, connection: httpx.AsyncHTTPTransport) -> StreamedAnswer:
        message = httpx.Request(request.method, self._at, content=request.body, extensions={"timeout": TIMEOUTS})
        message.url = ExactUrl(self._at, request.target)
        message.headers = httpx.Headers([(b"Host", self._at.netloc), *request.headers])
        try:
            response = await connection.handle_async_request(message)
        except BaseException:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await connection.aclose()
            raise
        return StreamedAnswer(response, connection, self)

    def _kept(self) -> httpx.AsyncHTTPTransport | None:
        """The most recently used connection, if it is not closed locally."""
        if self._idle and self._idle[-1][0] > anyio.current_time() - KEEP_ALIVE_S:
            return self._idle.pop()[1]
        return None

    def _new(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        return httpx.AsyncHTTPTransport(verify=self._context, limits=limits, proxy=self._proxy, trust_env=False)

    async def _trim(self) -> None:
        stale_at = anyio.current_time() - KEEP_ALIVE_S
        while self._idle and (self._is_closed or len(self._idle) > self._most_idle or self._idle[0][0] < stale_at):
            await self._idle.popleft()[1].aclose()


def whole_answer(status: int, headers: Sequence[Pair], raw: bytes, *, cap_bytes: int) -> Answer:
    """A buffered answer as `HttpClient.fetch` returns it: with the headers that readers need, and the body decoded up
    to `cap_bytes`."""
    reply = WireResponse(cap_bytes)
    reply.begin(status, headers)
    body = reply.body
    assert body is not None
    if body.feed(raw):
        body.finish()
    return Answer(status, reply.headers, bytes(body.content), not body.trouble, body.trouble, body.is_over_cap)
