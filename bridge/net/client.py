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
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import httpx

from bridge.clock import http_date
from bridge.errors import ConfigError
from bridge.net.body import Body
from bridge.net.failures import FAILURES, NO_ANSWER, Failure, explain
from bridge.net.transport import Lanes

CLOSE_S: Final = 2.0  # the most a connection may take to close
KEPT_HEADERS: Final = frozenset({b"content-encoding", b"content-type", b"date", b"location", b"retry-after"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. `url` is sent to the letter: already encoded, dot segments and all; a fragment is dropped."""

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
    ConfigError when `proxy` or `ca_file` cannot be used.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        concurrency: int,
        proxy: str | None = None,
        ca_file: str | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._headers = dict(headers or {})
        self._transport = transport or _transport(concurrency, proxy, ca_file)

    async def fetch(self, request: Request, *, cap_bytes: int) -> Answer | Unanswered:
        """One exchange, within the total deadline and with at most `cap_bytes` of decoded body.

        Nothing but cancellation is raised, and no connection is left behind by it. Answers count from their status
        line on, whatever befalls the body. A GET that meets a kept-alive connection the other side has just closed
        is asked again, once; nothing else ever is.
        """
        exchange = _Exchange(self._transport, cap_bytes)
        begun_at = anyio.current_time()
        failure: BaseException | None = None
        with anyio.move_on_after(self._timeout_s) as deadline:
            try:
                await exchange.run(request, self._headers)
            except FAILURES as error:
                failure = error
        elapsed_s = anyio.current_time() - begun_at
        if deadline.cancelled_caught:
            failure = TimeoutError()
        return exchange.outcome(request, failure, elapsed_s)

    async def aclose(self) -> None:
        """Close the connections; those of exchanges still under way when they end."""
        await self._transport.aclose()


class _Exchange:
    """One request on its way, and what has come back so far."""

    def __init__(self, transport: httpx.AsyncBaseTransport, cap_bytes: int) -> None:
        self._transport = transport
        self._cap_bytes = cap_bytes
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: Body | None = None
        self._opened: list[Any] = []  # network streams opened for this request
        self._is_sent = False

    async def run(self, request: Request, headers: Mapping[str, str]) -> None:
        """Send and read. Raises FAILURES; what has been read by then is kept."""
        sent = _built(request, headers, self._note)
        try:
            response = await self._send(sent)
        except NO_ANSWER:
            is_reused = self._is_sent and not self._opened
            if request.method != "GET" or not is_reused:
                raise
            response = await self._send(sent)
        self._status = response.status_code
        for name, value in response.headers.raw:
            if (key := name.lower()) in KEPT_HEADERS:
                self._headers.setdefault(key.decode("ascii"), value.decode("latin-1"))
        self._headers.setdefault("date", http_date())  # as RFC 9110, 6.6.1 asks of whoever receives none
        self._body = Body(encoding=self._headers.get("content-encoding", ""), cap_bytes=self._cap_bytes)
        await self._read(response, self._body)

    def outcome(self, request: Request, failure: BaseException | None, elapsed_s: float) -> Answer | Unanswered:
        """What the exchange came to, after `run` has ended with `failure` (None: in good order)."""
        if self._body is None:
            assert failure is not None
            kind, reason = explain(failure, _where(request.url))
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

    async def _send(self, sent: httpx.Request) -> httpx.Response:
        try:
            return await self._transport.handle_async_request(sent)
        except BaseException:
            # httpcore forgets a socket whose TLS handshake is cancelled; closing one twice does no harm.
            with anyio.move_on_after(CLOSE_S, shield=True):
                for stream in self._opened:
                    await stream.aclose()
            raise

    async def _read(self, response: httpx.Response, body: Body) -> None:
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        try:
            async for chunk in stream:
                if not body.feed(chunk):
                    return
            body.finish()
        finally:
            # Shielded: a connection that was not closed or handed back would be lost to the pool for ever.
            with anyio.move_on_after(CLOSE_S, shield=True):
                await stream.aclose()

    async def _note(self, step: str, facts: Mapping[str, Any]) -> None:
        """httpcore's trace hook: whether the connection is a new one, and whether sending began."""
        if step == "connection.connect_tcp.complete":
            self._opened.append(facts["return_value"])
        elif step == "http11.send_request_headers.started":
            self._is_sent = True


class _ExactUrl(httpx.URL):
    """An URL whose path and query go out as they were written; httpx itself would resolve dot segments."""

    def __init__(self, origin: httpx.URL, target: bytes) -> None:
        super().__init__(origin)
        self._target = target

    @property
    def raw_path(self) -> bytes:
        return self._target


def _built(request: Request, headers: Mapping[str, str], note: Any) -> httpx.Request:
    origin, target = _split(request.url)
    merged = httpx.Headers(headers)
    merged.update(request.headers)
    url = _ExactUrl(_origin(origin), target.encode("ascii"))
    built = httpx.Request(request.method, url, headers=merged, content=request.body, extensions={"trace": note})
    built.url = url  # the constructor made a copy, of the plain kind
    return built


def _split(url: str) -> tuple[str, str]:
    """Scheme and authority; path and query."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    ends = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    target = rest[ends:]
    return f"{scheme}://{rest[:ends]}", target if target.startswith("/") else f"/{target}"


@lru_cache(maxsize=256)
def _origin(origin: str) -> httpx.URL:
    """ValueError when nobody can be connected to there."""
    url = httpx.URL(origin)
    if not url.host or not 0 < (url.port or 80) < 65536:
        raise ValueError("no host, or no port")
    return url


def _where(url: str) -> str:
    """Host and port for people; never user info."""
    return _split(url)[0].rpartition("://")[2].rpartition("@")[2] or "nowhere"


def _transport(concurrency: int, proxy: str | None, ca_file: str | None) -> httpx.AsyncBaseTransport:
    context = _tls(ca_file, Path(ca_file).stat().st_mtime_ns if ca_file and Path(ca_file).exists() else 0)
    return Lanes(context=context, most_idle=concurrency, proxy=_proxy(proxy, context) if proxy else None)


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
    try:
        if ca_file is not None:
            context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ConfigError([f"ca_file: {ca_file}: {error.strerror or 'not a file of PEM certificates'}"]) from None
    return context
