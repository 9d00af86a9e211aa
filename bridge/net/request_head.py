"""The parts of a request before the body: the exact address, and headers that are validated once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import httpx

NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE: Final = re.compile(rb"[^\x00\r\n]*")
TARGET: Final = re.compile(rb"[\x21-\x7e]+")

Pair = tuple[bytes, bytes]


class RequestHead:
    """Fixed headers, and the `lines` to send for them. LocalProtocolError if HTTP does not allow one."""

    __slots__ = ("lines", "pairs")

    def __init__(self, pairs: Sequence[Pair], before: RequestHead | None = None) -> None:
        """`pairs` come after the headers of `before`. The lines of `before` are reused."""
        for name, value in pairs:
            if NAME.fullmatch(name) is None or VALUE.fullmatch(value) is None:
                raise httpx.LocalProtocolError("HTTP does not allow a header")
        lines = [b"%b: %b\r\n" % (name, value.strip(b" \t")) for name, value in pairs]
        self.lines: Final[bytes] = b"".join(lines if before is None else (before.lines, *lines))
        self.pairs: Final[tuple[Pair, ...]] = tuple(pairs) if before is None else (*before.pairs, *pairs)


class ExactUrl(httpx.URL):
    """A URL whose path and query are sent as written; httpx itself would resolve dot segments."""

    def __init__(self, origin: httpx.URL, target: bytes) -> None:
        self._uri_reference = origin._uri_reference  # httpx would copy it, too, but after checks that take 2 us
        self._target = target

    @property
    def raw_path(self) -> bytes:
        return self._target


def request_line(method: str, target: bytes) -> bytes:
    """The first line. LocalProtocolError if HTTP does not allow it."""
    if TARGET.fullmatch(target) is None:
        raise httpx.LocalProtocolError("HTTP does not allow the address")
    return b"%b %b HTTP/1.1\r\n" % (_verb(method), target)


@lru_cache(maxsize=32)
def _verb(method: str) -> bytes:
    verb = method.encode("ascii")
    if NAME.fullmatch(verb) is None:
        raise httpx.LocalProtocolError("HTTP does not allow the method")
    return verb


def split(url: str) -> tuple[str, str]:
    """Scheme and authority; path and query."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    authority, slash, path = rest.partition("/")
    if "?" not in authority:
        return f"{scheme}://{authority}", f"/{path}" if slash else "/"
    at = rest.index("?")
    return f"{scheme}://{rest[:at]}", f"/{rest[at:]}"


def named_by_tls(url: httpx.URL) -> str:
    """The host as certificates name it: without the dot at the end that keeps search domains away (RFC 6066, 3)."""
    return url.raw_host.decode("ascii").rstrip(".")


@lru_cache(maxsize=256)
def parse_origin(origin: str) -> httpx.URL:
    """The parsed origin. ValueError if it has no host or an impossible port."""
    url = httpx.URL(origin)
    if not url.host or not 0 < (url.port or 80) < 65536:
        raise ValueError("no host, or no port")
    return url
