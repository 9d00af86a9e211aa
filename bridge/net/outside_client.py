"""The HTTP client for URLs from outside the settings: every hop is checked, and bodies may have any length."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

import anyio
import httpx

from bridge.domain.proxies import ProxyRules
from bridge.domain.public_addresses import AllowedHosts, IpNetwork
from bridge.domain.result_urls import is_private, plain_host, why_refused
from bridge.errors import ConfigError
from bridge.net.client import NO_HEADERS, NO_RULES, Unanswered, proxy_at, shared_context, usable_proxy
from bridge.net.connection import Connection, Headers
from bridge.net.connector import Connector, Resolve, resolved
from bridge.net.exchange import NOT_COMPRESSED, Body
from bridge.net.failure_kinds import (
    FAILURES,
    AddressRefused,
    BodyStopped,
    Failure,
    explain,
    explain_cut,
    explain_network,
)
from bridge.net.request_head import RequestHead, parse_origin, split

MOST_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
READ_BYTES: Final = 512 * 1024  # bytes per read; the fastest value in measurements
INFLATED_BYTES: Final = 1024  # compressed bytes at a time, which are at most 1 MiB of content
VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))

KeyFor = Callable[[str], Mapping[str, str]]
"""Returns the headers with the key for this URL; usually empty."""


def no_key(_url: str) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Limits for slow answers: `head_s` until the headers, `stall_s` without any byte, and at least `least_bytes` in
    each `window_s`, so that an extremely slow answer ends, too."""

    head_s: float = 60.0
    stall_s: float = 30.0
    window_s: float = 60.0
    least_bytes: int = 64 * 1024


class OutsideAnswer:
    """Status and headers (lower case, the first of each) of an answer, and its body while it arrives. Must be
    closed."""

    def __init__(self, url: str, status: int, headers: Headers, connection: Connection, pace: Pace) -> None:
        self.url: Final = url  # after redirects
        self.status: Final = status
        self.headers: Final[Mapping[str, str]] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in reversed(headers.items())
        }
        self._encoding = self.headers.get("content-encoding", "").strip().lower()
        self._connection = connection
        self._pace = pace

    @property
    def is_compressed(self) -> bool:
        """Whether the body is compressed, although that was not requested."""
        return self._encoding not in {"", *NOT_COMPRESSED}

    @property
    def has_end(self) -> bool:
        """Whether the end of the body is marked. Otherwise it ends when either side closes the connection."""
        return self.is_compressed or "content-length" in self.headers or "transfer-encoding" in self.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content as it arrives. BodyStopped if it ends early, is damaged, or is too slow."""
        if not self.is_compressed:
            async for chunk in self._arriving():
                yield chunk
            return
        body = Body(encoding=self._encoding, cap_bytes=sys.maxsize - 1)
        async for chunk in self._arriving():
            for at in range(0, len(chunk), INFLATED_BYTES):
                body.feed(chunk[at : at + INFLATED_BYTES])
                if body.content:
                    yield bytes(body.content)
                    body.content.clear()
        body.finish()
        if body.trouble:
            raise BodyStopped(body.trouble)

    async def _arriving(self) -> AsyncIterator[bytes]:
        connection, pace = self._connection, self._pace
        now = anyio.current_time()
        window_ends_at, window_bytes = now + pace.window_s, 0
        try:
            while not connection.has_ended:
                connection.end_at(min(anyio.current_time() + pace.stall_s, window_ends_at))
                try:
                    chunk = await connection.more()
                except TimeoutError:
                    late = anyio.current_time() < window_ends_at
                    raise BodyStopped(
                        f"the server sent nothing for {pace.stall_s:g} s" if late else "the server is too slow"
                    ) from None
                window_bytes += len(chunk)
                now = anyio.current_time()
                if now >= window_ends_at:
                    if window_bytes < pace.least_bytes:
                        raise BodyStopped("the server is too slow")
                    window_ends_at, window_bytes = now + pace.window_s, 0
                if chunk:
                    yield chunk
        except FAILURES as error:
            raise BodyStopped(explain_cut(error)) from error

    def close(self) -> None:
        self._connection.drop()


class OutsideClient:
    """Downloads URLs that come from outside the settings. Runs on asyncio.

    No connection is made to an address that is not public, except to `hosts` and `networks`, which the operator allows.
    The address of the connection itself is checked, and again after each redirect. A proxy resolves names and connects
    itself, so only the URL is checked then: addresses in it, and names of private networks. `proxy`, `ca_file` and
    `environment` are as for `HttpClient`. ConfigError if the proxy or the file cannot be used.
    """

    def __init__(
        self,
        *,
        hosts: Collection[str] = (),
        networks: Collection[IpNetwork] = (),
        proxy: str | None = None,
        ca_file: str | None = None,
        environment: ProxyRules = NO_RULES,
        user_agent: str = "genbridge",
        pace: Pace | None = None,
        resolve: Resolve = resolved,
    ) -> None:
        self._allowed = AllowedHosts(hosts=frozenset(map(_plain, hosts)), networks=tuple(networks))
        self._context = shared_context(ca_file)
        self._proxies = environment.with_own(proxy)
        self._headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        self._pace = pace or Pace()
        self._resolve = resolve
        self._openers: dict[str | None, Connector] = {}
        self._opener(self._proxies.every)  # at once, so that its mistakes are found

    async def open(
        self, url: str, *, headers: Mapping[str, str] = NO_HEADERS, key_for: KeyFor = no_key
    ) -> OutsideAnswer | Unanswered:
        """The answer to a GET, as soon as its headers have arrived, after at most `MOST_REDIRECTS` redirects. `key_for`
        is called for each hop. Nothing is raised except cancellation."""
        for _ in range(MOST_REDIRECTS + 1):
            problem = why_refused(url, own_host=_host_of(url))
            if problem is not None:
                return Unanswered(kind=Failure.FORBIDDEN, reason=f"the address is not a result URL: {problem}")
            answer = await self._hop(url, {**self._headers, **headers, **key_for(url)})
            location = answer.headers.get("location") if isinstance(answer, OutsideAnswer) else None
            if not isinstance(answer, OutsideAnswer) or answer.status not in REDIRECTS or not location:
                return answer
            answer.close()
            try:
                url = urljoin(url, quote(location.encode("latin-1"), safe=VISIBLE)).partition("#")[0]
            except ValueError:
                return Unanswered(kind=Failure.PROTOCOL, reason="a redirect leads to an invalid address")
        return Unanswered(kind=Failure.PROTOCOL, reason=f"more than {MOST_REDIRECTS} redirects")

    async def _hop(self, url: str, headers: Mapping[str, str]) -> OutsideAnswer | Unanswered:
        proxy, connection = None, None
        try:
            origin, target = split(url)
            at = parse_origin(origin)
            proxy = proxy_at(at, self._proxies)
            opener = self._opener(proxy)
            if proxy is not None:
                self._judge_name(at)
            head = RequestHead(httpx.Request("GET", at, headers=headers).headers.raw)
            request = opener.request("GET", at, quote(target, safe=VISIBLE).encode("ascii"), head)
            ends_at = anyio.current_time() + self._pace.head_s
            connection = await opener.open(at, ends_at)
            status, found = await connection.send(request, ends_at)
            if (in_between := explain_network(status, url, proxy)) is not None:
                return Unanswered(kind=Failure.CONNECT, reason=in_between)
            answer = OutsideAnswer(url, status, found, connection, self._pace)
            connection = None
            return answer
        except ConfigError as error:  # about a proxy from the environment
            return Unanswered(kind=Failure.REQUEST, reason=str(error))
        except FAILURES as error:
            kind, reason = explain(error, url, None if isinstance(error, AddressRefused) else proxy)
            return Unanswered(kind=kind, reason=reason)
        finally:
            if connection is not None:
                connection.drop()

    def _judge_name(self, at: httpx.URL) -> None:
        host = _plain(at.raw_host.decode("ascii"))
        if is_private(host) and not self._allowed.has(host):
            raise AddressRefused(f"{host} is in a private network")

    def _opener(self, proxy: str | None) -> Connector:
        """Opens connections through a proxy or directly. ConfigError if the proxy cannot be used."""
        if proxy not in self._openers:
            self._openers[proxy] = Connector(
                context=self._context,
                proxy=usable_proxy(proxy, self._context) if proxy else None,
                allowed=self._allowed,
                read_bytes=READ_BYTES,
                resolve=self._resolve,
            )
        return self._openers[proxy]


def _host_of(url: str) -> str:
    try:
        return _plain(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def _plain(host: str) -> str:
    """The host in the form of `plain_host`; ValueError if it is not a host."""
    return plain_host(host.partition("%")[0] if ":" in host else host)
