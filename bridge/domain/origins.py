"""The origins of URLs: scheme, host and port."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

PORTS: Final = {"http": 80, "https": 443}

Origin = tuple[str, str | None, int | None]


def origin_of(parts: SplitResult) -> Origin:
    """Scheme, host and port. ValueError for an invalid port."""
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


def ascii_host(host: str) -> str:
    """The host as it is sent: an international name in its ASCII form. UnicodeError if it has none."""
    return host if host.isascii() else host.encode("idna").decode()


def has_origin(url: str, origins: Iterable[str]) -> bool:
    """Whether this URL has one of these origins. `https://*.example.com` means every host below that domain."""
    try:
        parts = urlsplit(url)
        asked = origin_of(parts)
        return "@" not in parts.netloc and any(_covers(origin_of(urlsplit(each)), asked) for each in origins)
    except ValueError:
        return False


def _covers(allowed: Origin, asked: Origin) -> bool:
    (scheme, host, port), (asked_scheme, asked_host, asked_port) = allowed, asked
    if (scheme, port) != (asked_scheme, asked_port) or not host or not asked_host:
        return False
    return asked_host.endswith(host[1:]) and len(asked_host) >= len(host) if host[:2] == "*." else asked_host == host
