"""Which result URLs are safe to pass on to people and programs."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from bridge.domain.origins import ascii_host
from bridge.domain.public_addresses import NO_HOSTS, AllowedHosts, IpAddress, why_not_public

MAX_URL_CHARS: Final = 8192
MAX_HOST_CHARS: Final = 253
MOST_HOSTS: Final = 1024  # cached verdicts; results come from few hosts


def why_refused(url: str, *, own_host: str, allowed: AllowedHosts = NO_HOSTS) -> str | None:
    """Why this URL is left out of `urls`; None when it is safe.

    Safe URLs are absolute, http or https, without user info, and do not point into a private network. The account's own
    host is always safe, so that a gateway in the local network works, and so are the `allowed` hosts.
    """
    plain = _PLAIN_URL.fullmatch(url)
    if plain is not None and len(url) <= MAX_URL_CHARS and ".." not in plain[2]:
        return _why_host_refused(plain_host(plain[1]), own_host, allowed)
    if not url:
        return "empty"
    if len(url) > MAX_URL_CHARS:
        return f"{len(url)} characters long"
    if not _VISIBLE.fullmatch(url) and (
        "\\" in url
        or "\ufffd" in url
        or any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"} for char in url)
    ):
        return "holds control or damaged characters, blanks or backslashes"
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"}:
            return f'the scheme is "{parts.scheme[:20]}"' if parts.scheme else "relative"
        host, _ = plain_host(parts.hostname or ""), parts.port
    except ValueError:
        return "not a URL"
    return _why_parts_refused(parts, host) or _why_host_refused(host, own_host, allowed)


def _why_parts_refused(parts: SplitResult, host: str) -> str | None:
    if not host:
        return "no host"
    if "@" in parts.netloc:
        return "holds user info"
    if not _NETLOC.fullmatch(parts.netloc):
        return "not a URL"
    path = unquote(parts.path)
    if ".." in path and ".." in re.split(r"[/\\]", path):
        return "has a .. segment in its path"
    return None


def _why_host_refused(host: str, own_host: str, allowed: AllowedHosts) -> str | None:
    if host != own_host.lower().rstrip(".") and is_private(host) and not allowed.has(host):
        return "points into a private network"
    return None


# Matches most URLs. They contain nothing ambiguous and need no parsing.
_PLAIN_URL: Final = re.compile(r"https?://([a-z0-9][a-z0-9.-]{,200}[a-z0-9])(/[A-Za-z0-9_./~-]*)(?:\?[!-\[\]-~]*)?")
_VISIBLE: Final = re.compile(r"[!-\[\]-~]*")  # the ASCII characters that are valid in a URL
_NETLOC: Final = re.compile(r"(\[[^]]*]|[^[\]:]*)(:[0-9]*)?")
_PLAIN: Final = re.compile(r"[a-z0-9._:-]*")


@lru_cache(MOST_HOSTS)
def plain_host(host: str) -> str:
    """The host as resolvers see it: lower-case ASCII without a trailing dot. ValueError if it is not a host.

    Browsers and resolvers normalize Unicode digits, letters and dots (`①②⑦。0。0。1` is 127.0.0.1), so this does, too.
    """
    if len(host) > MAX_HOST_CHARS:
        raise ValueError("too long for a host")
    name = ascii_host(host).lower().rstrip(".")
    if not _PLAIN.fullmatch(name):
        raise ValueError("not a host name or address")
    return ipaddress.IPv6Address(name).compressed if ":" in name else name


_PRIVATE_NAMES: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


@lru_cache(MOST_HOSTS)
def is_private(host: str) -> bool:
    """Whether the name of a plain host shows that it is this machine or in a private network. Names are not resolved.

    An address in an unusual notation (octal, hexadecimal, shortened) counts as private: programs read it differently,
    and no real provider uses it.
    """
    address = _address(host)
    if address is None:
        return host.endswith(_PRIVATE_NAMES) or "." not in host  # a name without dots is local
    return str(address) != host or why_not_public(address) is not None


def _address(name: str) -> IpAddress | None:
    """The address that a host name spells, also in the notations that resolvers accept (`127.1`, `0x7f.1`,
    `2130706433`)."""
    if ":" in name:
        return ipaddress.IPv6Address(name)
    pieces = name.split(".")
    if len(pieces) > 4:
        return None
    try:
        *heads, tail = [_number(piece) for piece in pieces]
    except ValueError:
        return None
    if any(head > 255 for head in heads) or tail >= 256 ** (4 - len(heads)):
        return None
    return ipaddress.IPv4Address(tail + sum(head << (24 - 8 * place) for place, head in enumerate(heads)))


def _number(piece: str) -> int:
    """Parse a decimal, hexadecimal (`0x7f`) or octal (`0177`) number; ValueError for anything else."""
    if not piece.isalnum():
        raise ValueError("not a number")
    if piece.startswith("0x"):
        return int(piece[2:] or "0", 16)
    return int(piece, 8 if piece.startswith("0") else 10)
