"""The HTTP client of the gateway: bodies are streamed in both directions, and headers and status are not changed."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import AsyncIterable, Sequence
from typing import Final, NamedTuple

import httpx

from bridge.domain.proxies import ProxyRules
from bridge.net.client import NO_RULES, Answer, Unanswered, proxy_at, shared_context, usable_proxy
from bridge.net.exchange import WireResponse, first_values
from bridge.net.failure_kinds import FAILURES, Failure, explain, explain_network
from bridge.net.httpx_connections import HttpxConnections, StreamedAnswer
from bridge.net.request_head import Pair, parse_origin, split

CONNECT_S: Final = 15.0
WRITE_S: Final = 60.0  # for one chunk of the request
READ_S: Final = 600.0  # until the headers, and between two chunks; a call that generates at once may take minutes
TIMEOUTS: Final = {"connect": CONNECT_S, "read": READ_S, "write": WRITE_S, "pool": None}
REPEATABLE: Final = frozenset({"GET", "HEAD"})


class StreamedRequest(NamedTuple):
    """A request to the client's origin. `target` is sent unchanged. `headers` has all headers except Host, including
    Content-Length or Transfer-Encoding: chunked for the body."""

    method: str
    target: bytes
    headers: Sequence[Pair]
    body: bytes | AsyncIterable[bytes] = b""


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
        at = self._at = parse_origin(split(base_url)[0])
        context = shared_context(ca_file)
        chosen = proxy_at(at, environment.with_own(proxy))
        self._proxy = None if chosen is None else usable_proxy(chosen, context)
        self._connections = HttpxConnections(context=context, most_idle=most_idle, proxy=self._proxy)

    async def send(self, request: StreamedRequest) -> StreamedAnswer | Unanswered:
        """The answer, as soon as its headers have arrived. Raises only cancellation, and exceptions of `body`.

        If the other side has just closed a kept-alive connection, a GET or HEAD is sent again, once.
        """
        message = httpx.Request(request.method, self._at, content=request.body, extensions={"timeout": TIMEOUTS})
        message.headers = httpx.Headers([(b"Host", self._at.netloc), *request.headers])
        is_repeatable = request.method in REPEATABLE and not request.body
        where, proxy = str(self._at), None if self._proxy is None else str(self._proxy.url)
        try:
            answer = await self._connections.send(message, request.target, is_repeatable=is_repeatable)
            if (in_between := explain_network(answer.status, where, proxy)) is None:
                return answer
            await answer.aclose()
            return Unanswered(kind=Failure.CONNECT, reason=in_between)
        except FAILURES as error:
            kind, reason = explain(error, where, proxy)
            return Unanswered(kind=kind, reason=reason, is_unsent=isinstance(error, httpx.ConnectTimeout))

    async def aclose(self) -> None:
        """Close idle connections now, and those in use when they are returned."""
        await self._connections.aclose()


def whole_answer(status: int, headers: Sequence[Pair], raw: bytes, *, cap_bytes: int) -> Answer:
    """A buffered answer as `HttpClient.fetch` returns it: with the headers that readers need, and the body decoded up
    to `cap_bytes`."""
    reply = WireResponse(cap_bytes)
    body = reply.begin(status, first_values(headers))
    if body.feed(raw):
        body.finish()
    content = bytes(body.content).removeprefix(BOM_UTF8)
    return Answer(status, reply.headers, content, not body.trouble, body.trouble, body.is_over_cap)
