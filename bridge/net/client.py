"""The one HTTP client: one exchange under one deadline, at most so many bytes, every failure a value.

It works below httpx's client layer, on the transport: no redirects, no cookies, no environment, no rewriting of
addresses, and a third of the cost. `httpx.AsyncBaseTransport` is the seam.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio
import httpx

from bridge.clock import http_date, monotonic_us
from bridge.errors import ConfigError
from bridge.net.body import Body
from bridge.net.failures import FAILURES, Failure, explain
from bridge.net.head import ExactUrl, Head, Sent, origin_of, split
from bridge.net.lanes import Lanes
from bridge.net.transport import Connections

KEPT_HEADERS: Final = {
    name.encode("ascii"): name for name in ("content-encoding", "content-type", "date", "location", "retry-after")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. `url` is sent to the letter: already encoded, dot segments and all; a fragment is dropped.
    Whoever asks often gives the same `headers` object each time, and leaves it as it is: they are built once."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status line and headers that have arrived, and what there is of the body.

    `headers` are the few of `KEPT_HEADERS`, in lower case, the first of each; `date` is always there. When
    `complete` is False, `trouble` says why (cap, deadline, reset, cut, damage); `is_over_cap` marks the cap.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool
    trouble: str
    is_over_cap: bool
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """No answer. `reason` is one line for people, without secrets and query strings."""

    kind: Failure
    reason: str
    elapsed_s: float


class HttpClient:
    """Connections of one account or endpoint; `concurrency` of them are kept alive between exchanges.

    Callers bound their own concurrency: each exchange at once is a connection. Certificates are verified against
    the authorities of `ca_file`, or the public ones. `headers` go with every request; a request's own win.
    ConfigError when `proxy` or `ca_file` cannot be used. `kind` names the transport: aiohttp's takes a tenth of the
    CPU of httpx's own and runs on asyncio alone.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        concurrency: int,
        proxy: str | None = None,
        ca_file: str | None = None,
        headers: Mapping[str, str] | None = None,
        kind: str = "aiohttp",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._headers = dict(headers or {})
        self._transport = transport or _transport(kind, concurrency, proxy, ca_file)
        self._keeps_time = isinstance(self._transport, Connections)  # so that no scope is needed: a tenth of a poll
        self._like: tuple[str, str, Mapping[str, str], httpx.Request] | None = None

    async def fetch(self, request: Request, *, cap_bytes: int) -> Answer | Unanswered:
        """One exchange, within the total deadline and with at most `cap_bytes` of decoded body.

        Nothing but cancellation is raised, and no connection is left behind by it. Answers count from their status
        line on, whatever befalls the body. A GET that meets a kept-alive connection the other side has just closed
        is asked again, once; nothing else ever is.
        """
        exchange = _Exchange(self._transport, cap_bytes)
        begun_us = monotonic_us()
        if self._keeps_time:
            failure = await self._try(exchange, request)
        else:
            with anyio.move_on_after(self._timeout_s) as deadline:
                failure = await self._try(exchange, request)
            if deadline.cancelled_caught:
                failure = TimeoutError()
        return exchange.outcome(request.url, failure, (monotonic_us() - begun_us) / 1e6)

    async def aclose(self) -> None:
        """Close the connections; those of exchanges still under way when they end."""
        await self._transport.aclose()

    async def _try(self, exchange: _Exchange, request: Request) -> BaseException | None:
        """What the exchange failed with, if it did."""
        try:
            await exchange.run(self._built(request))
        except FAILURES as error:
            return error
        return None

    def _built(self, request: Request) -> httpx.Request:
        """For httpx; what a request has in common with the one before it is not built again."""
        origin, target = split(request.url)
        at = origin_of(origin)
        url = ExactUrl(at, target.encode("ascii"))
        like = self._like
        if like is None or request.body is not None or like[:2] != (request.method, origin):
            return self._anew(request, origin, url)
        return Sent(like[3], url) if like[2] is request.headers else self._anew(request, origin, url)

    def _anew(self, request: Request, origin: str, url: ExactUrl) -> httpx.Request:
        merged = httpx.Headers(self._headers)
        merged.update(request.headers)
        built = httpx.Request(request.method, url, headers=merged, content=request.body)
        built.extensions = {"timeout": {"total": self._timeout_s}}
        built.headers = Head(built.headers)
        built.url = url  # the constructor made a copy, of the plain kind
        if request.body is None:
            self._like = (request.method, origin, request.headers, built)
        return built


class _Exchange:
    """One request on its way, and what has come back so far."""

    def __init__(self, transport: httpx.AsyncBaseTransport, cap_bytes: int) -> None:
        self._transport = transport
        self._cap_bytes = cap_bytes
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: Body | None = None

    async def run(self, request: httpx.Request) -> None:
        """Send and read. Raises FAILURES; what has been read by then is kept."""
        response = await self._transport.handle_async_request(request)
        self._status = response.status_code
        for name, value in response.headers.raw:
            if (key := name.lower()) in KEPT_HEADERS:
                self._headers.setdefault(KEPT_HEADERS[key], value.decode("latin-1"))
        if "date" not in self._headers:
            self._headers["date"] = http_date()  # as RFC 9110, 6.6.1 asks of whoever receives none
        self._body = Body(encoding=self._headers.get("content-encoding", ""), cap_bytes=self._cap_bytes)
        await self._read(response, self._body)

    def outcome(self, url: str, failure: BaseException | None, elapsed_s: float) -> Answer | Unanswered:
        """What the exchange came to, after `run` has ended with `failure` (None: in good order)."""
        if self._body is None:
            assert failure is not None
            kind, reason = explain(failure, _where(url))
            return Unanswered(kind=kind, reason=reason, elapsed_s=elapsed_s)
        trouble = self._body.trouble
        if failure is not None and not trouble:
            late = isinstance(failure, TimeoutError)
            trouble = "the time-out passed" if late else "the connection was closed"
            trouble += " in the middle of the body"
        return Answer(
            status=self._status,
            headers=self._headers,
            body=bytes(self._body.content),
            complete=not trouble,
            trouble=trouble,
            is_over_cap=self._body.is_over_cap,
            elapsed_s=elapsed_s,
        )

    async def _read(self, response: httpx.Response, body: Body) -> None:
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        try:
            async for chunk in stream:
                if not body.feed(chunk):
                    return
            body.finish()
        finally:
            await stream.aclose()


def _where(url: str) -> str:
    """Host and port for people; never user info."""
    return split(url)[0].rpartition("://")[2].rpartition("@")[2] or "nowhere"


def _transport(kind: str, concurrency: int, proxy: str | None, ca_file: str | None) -> httpx.AsyncBaseTransport:
    context = _tls(ca_file, Path(ca_file).stat().st_mtime_ns if ca_file and Path(ca_file).exists() else 0)
    made = Connections if kind == "aiohttp" else Lanes
    return made(context=context, most_idle=concurrency, proxy=_proxy(proxy, context) if proxy else None)


def _proxy(proxy: str, context: ssl.SSLContext) -> httpx.Proxy:
    try:
        parts = urlsplit(proxy)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return httpx.Proxy(proxy, ssl_context=context if parts.scheme == "https" else None)
    except (ValueError, httpx.InvalidURL):
        pass
    raise ConfigError(["proxy: only http://host:port and https://host:port are supported"])


@lru_cache(maxsize=32)
def _tls(ca_file: str | None, _written_ns: int) -> ssl.SSLContext:
    """One context for all who trust the same file: each costs 20 ms and a megabyte."""
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    try:
        if ca_file is not None:
            context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ConfigError([f"ca_file: {ca_file}: {error.strerror or 'not a file of PEM certificates'}"]) from None
    return context
