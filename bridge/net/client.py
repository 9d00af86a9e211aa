"""The one HTTP client: one exchange within one deadline, with a size limit. Every failure is a value.

No redirects, no cookies, no changes to addresses. `Transport` is the interface to the network.
"""

from __future__ import annotations

import os
import re
import ssl
from codecs import BOM_UTF8
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from bridge.domain.proxies import ProxyRules
from bridge.errors import ConfigError
from bridge.net.asyncio_transport import AsyncioTransport
from bridge.net.exchange import FIRST_ERROR, Body, Transport, WireRequest, WireResponse
from bridge.net.failure_kinds import (
    FAILURES,
    Failure,
    MalformedHead,
    NotConnected,
    explain,
    explain_cut,
    explain_network,
    explain_plain,
)
from bridge.net.httpx_connections import HttpxTransport
from bridge.net.request_head import RequestHead, parse_origin, split

NO_RULES: Final = ProxyRules()
NO_HEADERS: Final[Mapping[str, str]] = {}


class Request(NamedTuple):
    """One request. `url` is already encoded and sent exactly as written, including dot segments, without a fragment.

    Use the same `headers` object for many requests and do not change it: it is encoded only once. `more` are additional
    headers of only this request; they must have other names.
    """

    method: str
    url: str
    headers: Mapping[str, str] = NO_HEADERS
    body: bytes | None = None
    more: Mapping[str, str] = NO_HEADERS


class Answer(NamedTuple):
    """Status and headers of an answer, and the part of the body that arrived, without a byte order mark.

    `headers` has the names of `exchange.KEPT_HEADERS` in lower case, with the first value of each; `date` is always
    present. If `complete` is False, `trouble` says why (limit, deadline, reset, cut off, damaged); `is_over_cap`: the
    limit.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool
    trouble: str
    is_over_cap: bool


class _Shared(NamedTuple):
    """The parts that consecutive requests have in common."""

    method: str
    headers: Mapping[str, str]
    origin: str
    root: str  # with a slash at the end
    at: httpx.URL
    head: RequestHead
    transport: Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """No answer. `reason` is one line for people, without secrets and query strings. `status`: from a valid status
    line, if only the headers after it are malformed; else 0. `is_unsent`: the time was over before there was a
    connection; `HttpxTransport` does not know."""

    kind: Failure
    reason: str
    status: int = 0
    is_unsent: bool = False

    @property
    def may_have_arrived(self) -> bool:
        """Whether the request may have been sent and processed."""
        return not self.is_unsent and self.kind in {Failure.TIMEOUT, Failure.RESET, Failure.PROTOCOL}


class HttpClient:
    """The HTTP client of one account or endpoint. It keeps up to `concurrency` connections alive between exchanges.

    Callers limit their own concurrency: every exchange in flight uses a connection. Certificates are verified as
    `trusting` says. `proxy` is used for every address, `NO_PROXY` means none; if it is None, `environment` chooses one
    by the address. ConfigError if `proxy` or `ca_file` cannot be used. `kind` is the transport: asyncio's takes a tenth
    of the CPU time of httpx's and runs on asyncio only.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        concurrency: int,
        proxy: str | None = None,
        ca_file: str | None = None,
        kind: str = "asyncio",
        environment: ProxyRules = NO_RULES,
        transport: Transport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._proxies = environment.with_own(proxy)
        self._made = partial(_transport, kind, concurrency, ca_file=ca_file)
        first = transport or self._made(self._proxies.every)
        self._transports: dict[str | None, Transport] = {self._proxies.every: first}
        self._shared: _Shared | None = None

    async def fetch(self, request: Request, *, cap_bytes: int) -> Answer | Unanswered:
        """One exchange, within the total deadline and with at most `cap_bytes` of decoded body.

        Nothing is raised except cancellation, which leaves no connection open. Once the headers have arrived, an answer
        is returned even if the body fails. If the other side has just closed a kept-alive connection, a GET is sent
        again, once; nothing else is.
        """
        reply, failure, transport = WireResponse(cap_bytes), None, None
        try:
            message, transport = self._message(request)
            await transport.exchange(message, reply, timeout_s=self._timeout_s)
        except ConfigError as error:  # about a proxy from the environment
            return Unanswered(kind=Failure.REQUEST, reason=str(error))
        except FAILURES as error:
            failure = error
        proxy = self._proxy_of(transport) if failure or reply.status >= FIRST_ERROR else None
        return _outcome(request.url, reply, failure, proxy)

    async def aclose(self) -> None:
        """Close idle connections now, and those in use when their exchanges end."""
        for transport in self._transports.values():
            await transport.aclose()

    def _through(self, at: httpx.URL) -> Transport:
        """The transport for an address. ConfigError if the environment sets a proxy that cannot be used."""
        proxy = proxy_at(at, self._proxies)
        if proxy not in self._transports:
            self._transports[proxy] = self._made(proxy)
        return self._transports[proxy]

    def _proxy_of(self, transport: Transport | None) -> str | None:
        return next((proxy for proxy, made in self._transports.items() if made is transport), None)

    def _message(self, request: Request) -> tuple[WireRequest, Transport]:
        """The request for the transport. Headers that are the same as in the last request are not encoded again."""
        method, url, headers, body, more = request
        shared = self._shared
        if (
            shared is not None
            and shared.headers is headers
            and shared.method == method
            and url.startswith(shared.root)
            and "#" not in url
        ):
            target = url[len(shared.root) - 1 :]
        else:
            origin, target = split(url)
            at = parse_origin(origin)
            # Encoded as for a GET, which has no body, because each request adds its own length.
            head = RequestHead(httpx.Request("GET", at, headers=headers).headers.raw)
            shared = self._shared = _Shared(method, headers, origin, f"{origin}/", at, head, self._through(at))
        head = shared.head
        if more or body is not None or method != "GET":
            own = [(name.encode("ascii"), value.encode("ascii")) for name, value in more.items()]
            if body is not None or method != "GET":
                own.append((b"Content-Length", b"%d" % len(body or b"")))
            head = RequestHead(own, head)
        message = WireRequest(method, shared.origin, shared.at, target.encode("ascii"), head, body or b"")
        return message, shared.transport


def address_problem(url: str) -> str | None:
    """Why no request can ever be sent to this address; None if one can."""
    try:
        parse_origin(split(url)[0])
    except (ValueError, httpx.InvalidURL):  # ValueError includes the UnicodeError for invalid host names
        return "has an invalid host"
    return None


def _outcome(url: str, reply: WireResponse, failure: Exception | None, proxy: str | None) -> Answer | Unanswered:
    """The result of an exchange that ended with `failure` (None: no failure)."""
    if reply.body is None:
        assert failure is not None
        kind, reason = explain(failure, url, proxy)
        status = failure.status if isinstance(failure, MalformedHead) else 0
        is_unsent = isinstance(failure, NotConnected | httpx.ConnectTimeout)
        return Unanswered(kind=kind, reason=reason, status=status, is_unsent=is_unsent)
    if reply.status >= FIRST_ERROR and (unreached := _unreached(url, reply.status, reply.body, proxy)) is not None:
        return unreached
    trouble = reply.body.trouble
    if failure is not None and not trouble:
        trouble = explain_cut(failure)
    content = bytes(reply.body.content).removeprefix(BOM_UTF8)
    return Answer(reply.status, reply.headers, content, not trouble, trouble, reply.body.is_over_cap)


def _unreached(url: str, status: int, body: Body, proxy: str | None) -> Unanswered | None:
    """The result of an exchange whose answer shows that it did not reach the address."""
    if status == HTTPStatus.BAD_REQUEST and (needs_tls := explain_plain(url, body.content)) is not None:
        return Unanswered(kind=Failure.TLS, reason=needs_tls)
    if (in_between := explain_network(status, url, proxy)) is not None:
        return Unanswered(kind=Failure.CONNECT, reason=in_between)
    return None


def proxy_at(at: httpx.URL, proxies: ProxyRules) -> str | None:
    return proxies.proxy_for(at.scheme, at.raw_host.decode("ascii", "replace"), at.port)


def proxy_problem(url: str, environment: ProxyRules) -> str | None:
    """Why the environment's proxy cannot be used for this address; None if it can, or if none is set."""
    try:
        named = proxy_at(parse_origin(split(url)[0]), environment)
        if named is not None:
            usable_proxy(named, _tls(None, 0))
    except (ValueError, httpx.InvalidURL):
        return None  # the address is invalid, which `address_problem` reports
    except ConfigError as error:
        return str(error).partition(": ")[2]
    return None


def _transport(kind: str, concurrency: int, proxy: str | None, *, ca_file: str | None) -> Transport:
    context = shared_context(ca_file)
    made = AsyncioTransport if kind == "asyncio" else HttpxTransport
    return made(context=context, most_idle=concurrency, proxy=usable_proxy(proxy, context) if proxy else None)


def usable_proxy(proxy: str, context: ssl.SSLContext) -> httpx.Proxy:
    """The proxy of the settings or the environment. ConfigError if it cannot be used."""
    try:
        parts = urlsplit(proxy)
        is_bare = parts.path in {"", "/"} and not parts.query and not parts.fragment
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and is_bare:
            return httpx.Proxy(proxy, ssl_context=context if parts.scheme == "https" else None)
    except (ValueError, httpx.InvalidURL):
        pass
    ways_out = "if it comes from the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY), proxy: none ignores it"
    raise ConfigError([f"proxy: only http://host:port and https://host:port are supported; {ways_out}"])


def shared_context(ca_file: str | None) -> ssl.SSLContext:
    """The context of all clients with this `ca_file`. ConfigError as below."""
    return _tls(ca_file, written_ns(ca_file))


def written_ns(ca_file: str | None) -> int:
    """When the file was last written, so that a context made of it can be kept until then; 0 without a file."""
    return Path(ca_file).stat().st_mtime_ns if ca_file and Path(ca_file).exists() else 0


@lru_cache(maxsize=32)
def _tls(ca_file: str | None, _written_ns: int) -> ssl.SSLContext:
    """One context for all clients that trust the same file, because each costs 20 ms and a megabyte."""
    return trusting(ca_file)


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """A new context that trusts the public authorities, those of this machine (its usual folder or file,
    `SSL_CERT_FILE`, `SSL_CERT_DIR`), and those of `ca_file`. ConfigError if it cannot be used."""
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    own = ssl.get_default_verify_paths()
    named = None if own.cafile == own.openssl_cafile else own.cafile
    for name, file in ((own.openssl_cafile_env, named), ("ca_file", ca_file)):
        try:
            if file is not None:
                context.load_verify_locations(cafile=file)
        except OSError as error:
            raise ConfigError([f"{name}: {file}: {error.strerror or 'not a file of PEM certificates'}"]) from None
    # `capath` is None if the variable names several folders, which OpenSSL allows.
    named_folders = os.environ.get(own.openssl_capath_env, "").split(os.pathsep)
    folders = [own.capath] if own.capath else [each for each in named_folders if each and Path(each).is_dir()]
    for folder in folders:
        context.load_verify_locations(capath=folder)
    # The usual file has the public authorities once more, in a megabyte; the folder is read only when needed. But some
    # systems, such as RHEL 9, have no certificates in the folder that OpenSSL finds.
    if named is None and own.cafile and not any(map(_has_certificates, folders)):
        with suppress(OSError):  # nobody has named it, so it is no mistake in the settings
            context.load_verify_locations(cafile=own.cafile)
    return context


def _has_certificates(folder: str) -> bool:
    """Whether the folder has certificates that OpenSSL can find: it looks for hashes as names."""
    try:
        return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", file.name) for file in Path(folder).iterdir())
    except OSError:
        return False
