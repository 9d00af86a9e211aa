"""The one HTTP client: one exchange under one deadline, at most so many bytes, every failure a value.

No redirects, no cookies, no environment, no rewriting of addresses. `Transport` is the seam.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from bridge.errors import ConfigError
from bridge.net.exchange import Message, Reply, Transport
from bridge.net.failures import FAILURES, Failure, explain
from bridge.net.head import Head, origin_of, split
from bridge.net.lanes import Lanes
from bridge.net.transport import Connections

NO_HEADERS: Final[Mapping[str, str]] = {}


class Request(NamedTuple):
    """One question. `url` is sent to the letter: already encoded, dot segments and all; a fragment is dropped.
    Whoever asks often gives the same `headers` object each time, and leaves it as it is: they are built once. What
    is of this request alone is in `more`, under other names."""

    method: str
    url: str
    headers: Mapping[str, str] = NO_HEADERS
    body: bytes | None = None
    more: Mapping[str, str] = NO_HEADERS


class Answer(NamedTuple):
    """A status line and headers that have arrived, and what there is of the body.

    `headers` are the few of `exchange.KEPT_HEADERS`, in lower case, the first of each; `date` is always there. When
    `complete` is False, `trouble` says why (cap, deadline, reset, cut, damage); `is_over_cap` marks the cap.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool
    trouble: str
    is_over_cap: bool


class _Like(NamedTuple):
    """What requests like the last one have in common."""

    method: str
    headers: Mapping[str, str]
    origin: str
    root: str  # with the slash behind it
    at: httpx.URL
    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """No answer. `reason` is one line for people, without secrets and query strings."""

    kind: Failure
    reason: str


class HttpClient:
    """Connections of one account or endpoint; `concurrency` of them are kept alive between exchanges.

    Callers bound their own concurrency: each exchange at once is a connection. Certificates are verified against
    the authorities of `ca_file`, or the public ones. `headers` go with every request; a request's own win.
    ConfigError when `proxy` or `ca_file` cannot be used. `kind` names the transport: asyncio's takes a tenth of the
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
        kind: str = "asyncio",
        transport: Transport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._headers = dict(headers or {})
        self._transport = transport or _transport(kind, concurrency, proxy, ca_file)
        self._like: _Like | None = None

    async def fetch(self, request: Request, *, cap_bytes: int) -> Answer | Unanswered:
        """One exchange, within the total deadline and with at most `cap_bytes` of decoded body.

        Nothing but cancellation is raised, and no connection is left behind by it. Answers count from their status
        line on, whatever befalls the body. A GET that meets a kept-alive connection the other side has just closed
        is asked again, once; nothing else ever is.
        """
        reply, failure = Reply(cap_bytes), None
        try:
            await self._transport.exchange(self._message(request), reply, timeout_s=self._timeout_s)
        except FAILURES as error:
            failure = error
        return _outcome(request.url, reply, failure)

    async def aclose(self) -> None:
        """Close the connections; those of exchanges still under way when they end."""
        await self._transport.aclose()

    def _message(self, request: Request) -> Message:
        """For the transport; headers that a request has in common with the one before it are not built again."""
        method, url, headers, body, more = request
        like = self._like
        if (
            like is not None
            and like.headers is headers
            and like.method == method
            and url.startswith(like.root)
            and "#" not in url
        ):
            target = url[len(like.root) - 1 :]
        else:
            origin, target = split(url)
            at = origin_of(origin)
            like = self._like = _Like(method, headers, origin, f"{origin}/", at, self._head(request, at))
        head = like.head
        if more or body is not None or method != "GET":
            own = [(name.encode("ascii"), value.encode("ascii")) for name, value in more.items()]
            if body is not None or method != "GET":
                own.append((b"Content-Length", b"%d" % len(body or b"")))
            head = Head(own, head)
        return Message(method, like.origin, like.at, target.encode("ascii"), head, body or b"")

    def _head(self, request: Request, at: httpx.URL) -> Head:
        """What requests like this one have in common."""
        merged = httpx.Headers(self._headers)
        merged.update(request.headers)
        # As of a GET, which has no body: the length is each request's own.
        return Head(httpx.Request("GET", at, headers=merged).headers.raw)


def _outcome(url: str, reply: Reply, failure: Exception | None) -> Answer | Unanswered:
    """What an exchange came to that has ended with `failure` (None: in good order)."""
    if reply.body is None:
        assert failure is not None
        kind, reason = explain(failure, _where(url))
        return Unanswered(kind=kind, reason=reason)
    trouble = reply.body.trouble
    if failure is not None and not trouble:
        late = isinstance(failure, TimeoutError)
        trouble = "the time-out passed" if late else "the connection was closed"
        trouble += " in the middle of the body"
    body = reply.body
    return Answer(reply.status, reply.headers, bytes(body.content), not trouble, trouble, body.is_over_cap)


def _where(url: str) -> str:
    """Host and port for people; never user info."""
    return split(url)[0].rpartition("://")[2].rpartition("@")[2] or "nowhere"


def _transport(kind: str, concurrency: int, proxy: str | None, ca_file: str | None) -> Transport:
    context = _tls(ca_file, Path(ca_file).stat().st_mtime_ns if ca_file and Path(ca_file).exists() else 0)
    made = Connections if kind == "asyncio" else Lanes
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
