"""Why there was no answer: from the exceptions of the libraries to one word and one line for people.

No text of a library reaches the line: it may quote an URL with its query string, or a header with its key.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum
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
    OSError,  # ssl.SSLError and TimeoutError too
    ValueError,  # UnicodeError too
)
"""Everything an exchange may fail with."""

GARBLED: Final = (h11.ProtocolError, httptools.HttpParserError)
"""What the parsers of the two transports find wrong with an answer."""

NO_ANSWER: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""What a kept-alive connection fails with when the other side has closed it meanwhile."""


class Failure(StrEnum):
    """The kinds of having no answer."""

    DNS = "dns"  # the name does not resolve
    CONNECT = "connect"  # nobody listens, no route, or the proxy refused
    TLS = "tls"  # no trust, or no TLS at all; nothing was sent
    TIMEOUT = "timeout"  # the total deadline passed
    RESET = "reset"  # closed before a whole status line and headers; the request may have been handled
    PROTOCOL = "protocol"  # what came is not HTTP
    REQUEST = "request"  # the request itself cannot be put into HTTP; nothing was sent


def explain(error: BaseException, where: str) -> tuple[Failure, str]:
    """The kind and one line for an exception of `FAILURES`; `where` names the other side (host and port)."""
    where = _plain(where)
    chain = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in chain):
        return Failure.DNS, f"the name of {where} does not resolve"
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure.TLS, f"the certificate of {where} is not accepted: {_plain(cause.verify_message)}"
        if isinstance(cause, ssl.SSLError):
            return Failure.TLS, f"no TLS connection with {where}: {_plain(cause.reason or 'handshake failed')}"
    match error:
        case httpx.TimeoutException() | TimeoutError():
            return Failure.TIMEOUT, f"no answer from {where} in time"
        case httpx.ProxyError():
            said = re.match(r"\d{3}\b", str(error))
            return Failure.CONNECT, f"the proxy refused to connect to {where}" + (f" (HTTP {said[0]})" if said else "")
        case httpx.ConnectError():
            return Failure.CONNECT, _explain_connect(chain, where)
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | httpx.InvalidURL() | ValueError():
            return Failure.REQUEST, "the address or a header holds what HTTP does not allow; nothing was sent"
        case httpx.RemoteProtocolError() if any(isinstance(cause, GARBLED) for cause in chain):
            return Failure.PROTOCOL, f"the answer of {where} is not HTTP, or has too many headers"
        case _:
            return Failure.RESET, f"{where} closed the connection before it had answered"


def _explain_connect(chain: list[BaseException], where: str) -> str:
    numbers = {cause.errno for cause in chain if isinstance(cause, OSError)}
    if errno.ECONNREFUSED in numbers:
        return f"{where} refused the connection"
    if numbers & {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        return f"{where} cannot be reached"
    if numbers & {errno.EMFILE, errno.ENFILE}:
        return f"no connection to {where}: too many open files (raise the limit, or lower limits.concurrency)"
    return f"no connection to {where}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, what it came from, and what was bundled in it."""
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


def _plain(text: str) -> str:
    """One printable line."""
    return "".join(char if char.isprintable() else " " for char in text)[:200]
