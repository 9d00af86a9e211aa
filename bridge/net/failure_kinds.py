"""Why there was no answer: turns an exception into its kind and one line for people.

The messages of libraries are not used, because they may quote a URL with its query string, or a header with its key.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import anyio
import h11
import httptools
import httpx

FAILURES: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    OSError,  # includes ssl.SSLError and TimeoutError
    ValueError,  # includes UnicodeError
)
"""Everything that an exchange can raise."""

GARBLED: Final = (h11.ProtocolError, httptools.HttpParserError)
"""The parsers of the two transports raise these for an answer that is not HTTP."""

NO_ANSWER: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""A kept-alive connection raises these if the other side has closed it."""

CUT_OFF: Final = (ConnectionResetError, ssl.SSLEOFError)
"""Raised if the other side closes a connection, also in the middle of a handshake."""

LACKING: Final = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""The errors of a machine that lacks threads, files or memory."""

NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
"""OpenSSL's reasons for an answer that is not TLS, usually plain HTTP."""

NEEDS_TLS: Final = re.compile(rb"HTTP request (was sent )?to (an )?HTTPS|plain HTTP to an SSL|port requires TLS")
"""What nginx, Go, Apache and Tomcat answer to plain HTTP on a port for TLS."""

_H11_CLOSED: Final = re.compile("peer closed connection")  # h11's message for a body that is cut off

_UNTRUSTED: Final = "its issuer is unknown; if you trust it, add the issuer's certificate to ca_file"
_SELF_SIGNED: Final = "it is self-signed; if you trust it, add it to ca_file"
_REFUSED: Final[Mapping[object, str]] = {  # by OpenSSL's number for a certificate, or by its reason
    9: "it is not valid yet; check this machine's clock",
    10: "it has expired; it must be renewed, or this machine's clock is wrong",
    18: _SELF_SIGNED,
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    62: "it is for another host; check the host in the URL",
    64: "it is for another host; check the host in the URL",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it does not support TLS 1.2 or later",
    "UNSUPPORTED_PROTOCOL": "it does not support TLS 1.2 or later",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it supports no common cipher, or requires a client certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it requires a client certificate, which genbridge does not support",
    "TLSV1_UNRECOGNIZED_NAME": "it does not know this host name",
}


class Failure(StrEnum):
    """Why there is no answer."""

    DNS = "dns"  # the host name does not resolve
    CONNECT = "connect"  # connection refused, no route, or the proxy refused
    TLS = "tls"  # the certificate is not trusted, or there is no TLS; nothing was sent
    TIMEOUT = "timeout"  # the total deadline passed
    RESET = "reset"  # closed before the end of the headers; the request may have been handled
    PROTOCOL = "protocol"  # the answer is not HTTP
    REQUEST = "request"  # HTTP does not allow the request; nothing was sent
    FORBIDDEN = "forbidden"  # the guard does not allow the address; nothing was sent
    LOCAL = "local"  # this machine lacks threads, files or memory for a connection; nothing was sent


class Unreached(httpx.ConnectError):
    """No connection to the other side, reported by another library than httpx. The cause says why."""


class ProxyUnreached(httpx.ConnectError):
    """No connection to the proxy itself. The cause says why."""


class NotConnected(TimeoutError):
    """The deadline passed before there was a connection, so nothing was sent."""


class MalformedHead(httpx.RemoteProtocolError):
    """The status line of the answer is valid, but its headers are not."""

    def __init__(self, status: int) -> None:
        super().__init__("malformed")
        self.status = status


class AddressRefused(httpx.ConnectError):
    """No connection may be made to this address. The text says why."""


class BodyStopped(Exception):
    """The body of an answer ended early. The text is one line for people."""


def explain(error: BaseException, where: str, proxy: str | None = None) -> tuple[Failure, str]:
    """The kind and one line for an exception of `FAILURES`. `where` is the address of the other side, `proxy` that of
    the proxy in between. The line contains only their hosts and ports."""
    is_connecting = where.startswith("https:") and isinstance(error, httpx.ConnectError)
    chain, target, proxy = list(_causes(error)), _place(where), proxy and _place(proxy)
    where = target if proxy is None else _on_the_way(error, chain, target, proxy)
    if any(isinstance(cause, socket.gaierror) for cause in chain):
        return Failure.DNS, f"the name of {where} does not resolve"
    tls = next((cause for cause in chain if isinstance(cause, ssl.SSLError) and not isinstance(cause, CUT_OFF)), None)
    if tls is not None or (is_connecting and any(isinstance(cause, CUT_OFF) for cause in chain)):
        return Failure.TLS, _explain_tls(tls, where)
    if _is_timeout(error) or _is_lost(chain):
        return Failure.TIMEOUT, f"no answer from {where} in time"
    match error:
        case AddressRefused():
            return Failure.FORBIDDEN, f"{where} is not on the public internet: {_plain(str(error))}"
        case httpx.ProxyError():
            said = re.match(r"\d{3}\b", str(error))
            return Failure.CONNECT, explain_refusal(target, proxy, int(said[0]) if said else None)
        case httpx.ConnectError():
            return Failure.LOCAL if is_local(error) else Failure.CONNECT, _explain_connect(chain, where)
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | httpx.InvalidURL() | ValueError():
            return Failure.REQUEST, "HTTP does not allow the address or a header; nothing was sent"
        case httpx.RemoteProtocolError() if any(isinstance(cause, GARBLED) for cause in chain):
            return Failure.PROTOCOL, f"the answer of {where} is not HTTP, or has too many headers"
        case _:
            return Failure.RESET, f"{where} closed the connection before it had answered"


def is_local(error: BaseException) -> bool:
    """Whether this machine lacked what a connection needs. The other side was not involved."""
    return any(isinstance(cause, OSError) and cause.errno in LACKING for cause in _causes(error))


def _explain_tls(error: ssl.SSLError | None, where: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _REFUSED.get(error.verify_code) or _plain(error.verify_message).rstrip(".")
        return f"the certificate of {where} is not accepted: {why}"
    reason = "" if error is None else error.reason
    if reason in NO_TLS:
        return f"{where} does not use TLS (does the URL need http://?)"
    why = _REFUSED.get(reason) or _plain(reason or "it closes the connection")
    return f"no TLS connection with {where}: {why}"


def explain_plain(where: str, body: bytes | bytearray) -> str | None:
    """One line if a 400 says that a request in plain HTTP has arrived at a port for TLS."""
    if not where.startswith("http:") or not NEEDS_TLS.search(body):
        return None
    return f"{_place(where)} requires TLS (does the URL need https://?)"


def explain_refusal(target: str, proxy: str | None, status: int | None) -> str:
    """One line if a proxy refused to connect to `target`. Both are host and port."""
    name = "the proxy" if proxy is None else f"the proxy {proxy}"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"{name} requires a valid user name and password (HTTP {status})"
    if status is None:
        return f"{name} refused to connect to {target}"
    return f"{name} refused to connect to {target} (HTTP {status})"


def explain_network(status: int, where: str, proxy: str | None) -> str | None:
    """One line if an answer comes from the network on the way to `where`, which the request has not reached."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        is_beyond = where.startswith("https:")  # it came through the proxy's tunnel, so another proxy sent it
        return explain_refusal(_place(where), None if is_beyond or proxy is None else _place(proxy), status)
    if status == HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED:
        return f"no connection to {_place(where)}: this network requires a login first (HTTP {status})"
    return None


def explain_cut(error: BaseException) -> str:
    """One line for an exception of `FAILURES` that ended a body too early."""
    if isinstance(error, TimeoutError | httpx.TimeoutException) or _is_lost(_causes(error)):
        return "the time-out passed in the middle of the body"
    parsed = next((cause for cause in _causes(error) if isinstance(cause, GARBLED)), None)
    if parsed is None or _H11_CLOSED.match(str(parsed)):
        return "the connection was closed in the middle of the body"
    return "the body is not valid HTTP"


def _is_lost(chain: Iterable[BaseException]) -> bool:
    """Whether the system has given up a connection, because the other side does not even acknowledge data."""
    return any(isinstance(cause, OSError) and cause.errno == errno.ETIMEDOUT for cause in chain)


def _is_timeout(error: BaseException) -> bool:
    cause = error.__cause__ if isinstance(error, ProxyUnreached) else error
    return isinstance(cause, httpx.TimeoutException | TimeoutError)


def _on_the_way(error: BaseException, chain: list[BaseException], target: str, proxy: str) -> str:
    """The place where a request through a proxy failed: at the proxy, or behind it. A TLS error is always behind it."""
    is_tls = any(isinstance(cause, ssl.SSLError) for cause in chain)
    is_connecting = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) and not is_tls
    is_unreached = is_connecting or isinstance(error, ProxyUnreached)
    return f"the proxy {proxy}" if is_unreached else f"{target} through the proxy {proxy}"


def _explain_connect(chain: list[BaseException], where: str) -> str:
    numbers = {cause.errno for cause in chain if isinstance(cause, OSError)}
    if errno.ECONNREFUSED in numbers:
        return f"{where} refused the connection"
    if numbers & {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        return f"{where} cannot be reached"
    if numbers & {errno.EMFILE, errno.ENFILE}:
        return f"no connection to {where}: too many open files (raise the limit, or lower limits.concurrency)"
    if any(isinstance(cause, httpx.ReadError) for cause in chain):
        return f"{where} closed the connection before it had answered"
    if errno.EAGAIN in numbers:
        return f"no connection to {where}: this machine has no free thread"
    return f"no connection to {where}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, its causes, and the members of groups."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [nested for nested in (cause.__cause__, cause.__context__) if nested is not None]
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions


def _place(address: str) -> str:
    """Host and port of an address, without user info."""
    authority = re.split(r"[/?#]", address.partition("://")[2] or address, maxsplit=1)[0]
    return _plain(authority.rpartition("@")[2]) or "nowhere"


def _plain(text: str) -> str:
    """One printable line."""
    return "".join(char if char.isprintable() else " " for char in text)[:200]
