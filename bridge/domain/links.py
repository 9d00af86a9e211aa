"""Which result URLs are worth telling people and programs."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

MAX_URL_CHARS: Final = 8192
MAX_HOST_CHARS: Final = 253
MOST_HOSTS: Final = 1024  # judged once: results stand on few


def why_refused(url: str, *, own_host: str) -> str | None:
    """Why this URL is kept out of `urls`, or None when it is fine.

    Only absolute http and https URLs without user info pass, and none that points into a private network, save
    the account's own host (a gateway at home is fine).
    """
    plain = _PLAIN_URL.fullmatch(url)
    if plain is not None and len(url) <= MAX_URL_CHARS and ".." not in plain[2]:
        return _why_host_refused(plain_host(plain[1]), own_host)
    if not url:
        return "empty"
    if len(url) > MAX_URL_CHARS:
        return f"{len(url)} characters long"
    if not _VISIBLE.fullmatch(url) and (
        "\\" in url or any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"} for char in url)
    ):
        return "holds control characters, blanks or backslashes"
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"}:
            return f'scheme "{parts.scheme[:20]}"' if parts.scheme else "relative"
        host, _ = plain_host(parts.hostname or ""), parts.port
    except ValueError:
        return "not a URL"
    return _why_parts_refused(parts, host, own_host)


def _why_parts_refused(parts: SplitResult, host: str, own_host: str) -> str | None:
    if not host:
        return "no host"
    if "@" in parts.netloc:
        return "holds user info"
    if not _NETLOC.fullmatch(parts.netloc):
        return "not a URL"
    path = unquote(parts.path)
    if ".." in path and ".." in re.split(r"[/\\]", path):
        return "climbs out of its path"
    return _why_host_refused(host, own_host)


def _why_host_refused(host: str, own_host: str) -> str | None:
    if host != own_host.lower().rstrip(".") and is_private(host):
        return "points into a private network"
    return None


# What most are, with nothing in it that could be read in two ways: it needs no taking apart.
_PLAIN_URL: Final = re.compile(r"https?://([a-z0-9][a-z0-9.-]{,200}[a-z0-9])(/[A-Za-z0-9_./~-]*)(?:\?[!-\[\]-~]*)?")
_VISIBLE: Final = re.compile(r"[!-\[\]-~]*")  # all of ASCII that may stand in an URL, and what most are made of
_NETLOC: Final = re.compile(r"(\[[^]]*]|[^[\]:]*)(:[0-9]*)?")
_PLAIN: Final = re.compile(r"[a-z0-9._:-]*")


@lru_cache(MOST_HOSTS)
def plain_host(host: str) -> str:
    """The host as resolvers will see it: lower-case ASCII without a final dot. ValueError when it cannot be one.

    Browsers and resolvers undo fancy digits, letters and dots (`①②⑦。0。0。1` is 127.0.0.1), so they are undone here.
    """
    if len(host) > MAX_HOST_CHARS:
        raise ValueError("too long for a host")
    name = (host if host.isascii() else host.encode("idna").decode()).lower().rstrip(".")
    if not _PLAIN.fullmatch(name):
        raise ValueError("not a host name or address")
    return ipaddress.IPv6Address(name).compressed if ":" in name else name


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # all that has been given to the public
_PRIVATE_NAMES: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


@lru_cache(MOST_HOSTS)
def is_private(host: str) -> bool:
    """Whether a plain host, by its name alone, is this machine or a private network. Names are not resolved.

    So is an address in disguise (octal, hexadecimal, shortened): readers differ on it, and nobody honest writes it.
    """
    address = _address(host)
    if address is None:
        return host.endswith(_PRIVATE_NAMES) or "." not in host  # a single label is a name of the local network
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None:
            return address not in _UNICAST or not address.is_global
        address = inner
    elif str(address) != host:
        return True
    return address.is_multicast or not address.is_global


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a host name spells, also in the shorthand that resolvers accept (`127.1`, `0x7f.1`, `2130706433`)."""
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
    """Decimal, hexadecimal (`0x7f`) or octal (`0177`); ValueError when it is none of these."""
    if not piece.isalnum():
        raise ValueError("not a number")
    if piece.startswith("0x"):
        return int(piece[2:] or "0", 16)
    return int(piece, 8 if piece.startswith("0") else 10)
