"""The URL of a store in PostgreSQL: passed to libpq unchanged, and shown without its secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NoReturn
from urllib.parse import parse_qsl, quote, unquote, urlencode

MIN_SECRET_CHARS: Final = 4  # shorter secrets would match in every line

_SCHEME: Final = re.compile(r"postgres(?:ql)?://")
_HIDDEN: Final = re.compile(r"pass|key|cert|options", re.IGNORECASE)  # parameters that are not shown
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODE: Final = "percent-encode special characters in user and password (% is %25, @ %40, / %2F, : %3A)"
_KEYWORD: Final = (  # compiled when it is first needed
    r"(?i)(?:^|[\s;:&?'\"])(?:host|hostaddr|port|dbname|user|password|passfile|service|ssl[a-z_]+|options)\s*="
)
# Parameters whose values libpq restricts: https://www.postgresql.org/docs/current/libpq-connect.html
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "sslcertmode": ("disable", "allow", "require"),
    "sslnegotiation": ("postgres", "direct"),
    "load_balance_hosts": ("disable", "random"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_NUMBERS: Final = frozenset(
    {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)
_SECRET: Final = re.compile(r"password", re.IGNORECASE)


class PostgresUrl:
    """A connection string for libpq. It prints without its password; `reveal` returns the full string."""

    __slots__ = ("_shown", "_url")

    def __init__(self, url: str) -> None:
        self._url = url
        self._shown = _shown(url)

    def reveal(self) -> str:
        """The string as written, with the password."""
        return self._url

    @property
    def secrets(self) -> frozenset[str]:
        """Its passwords, as written and percent-decoded."""
        rest, query = _parts(self._url)
        user, at, _ = rest.rpartition("@")
        found = {user.partition(":")[2]} if at else set()
        found |= {value for name, value in parse_qsl(query) if _SECRET.search(name)}
        found |= {piece.partition("=")[2] for piece in query.split("&") if _SECRET.search(piece.partition("=")[0])}
        return frozenset(text for one in found for text in (one, unquote(one), quote(one, safe="")) if text)

    def hide(self, text: str) -> str:
        """`text`, such as a message of libpq, without the secrets of this URL."""
        for secret in sorted({*self.secrets, self._url}, key=len, reverse=True):
            text = text.replace(secret, "***") if len(secret) >= MIN_SECRET_CHARS else text
        return text

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"PostgresUrl({self._shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PostgresUrl) and self._url == other._url

    def __hash__(self) -> int:
        return hash(self._url)

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


def names_postgres(text: str) -> bool:
    """Whether the store is in PostgreSQL, and not at a path."""
    return _SCHEME.match(text) is not None


def names_keywords(text: str) -> bool:
    """Whether this is a connection string in libpq's keyword format, `host=... password=...`."""
    return re.search(_KEYWORD, text) is not None


def url_problem(url: str) -> str | None:
    """Why libpq cannot parse this URL. None if it can, as far as that is known without libpq.

    The answer repeats no part of the URL, because what looks like a port may be part of a password.
    """
    if _STRAY_PERCENT.search(url):
        return f"has a % that begins no percent-encoding; {_ENCODE}"
    rest = _SCHEME.sub("", url, count=1)
    user, at, hosts = rest.partition("/")[0].partition("@")  # like libpq: up to the first @ before the first /
    authority = hosts if at else user
    where, _, query = rest[len(user) + len(at) :].partition("?")
    if "@" in where or any("@" in piece.partition("=")[0] for piece in query.split("&")):
        return f"has more than one @, or one in the wrong place; {_ENCODE}"
    for host in authority.partition("?")[0].split(","):
        port = re.fullmatch(r"(?:\[[^\]]*\]|[^:]*)(?::(.*))?", host)
        if port is None or not _is_port(port[1] or ""):
            return f"has a port that is not between 1 and 65535; {_ENCODE}"
    given = parse_qsl(query, keep_blank_values=True)
    return next((wrong for name, value in given if (wrong := _parameter_problem(name, value))), None)


def _parameter_problem(name: str, value: str) -> str | None:
    if name == "port" and not all(_is_port(port) for port in value.split(",")):
        return "has a port that is not between 1 and 65535"
    if name in _NUMBERS and not re.fullmatch(r" *[+-]?[0-9]+ *", value):
        return f"has a {name} that is not a whole number"
    if name in _WORDS and value not in _WORDS[name]:
        return f"has an {'unknown' if value else 'empty'} {name}; there are: {', '.join(_WORDS[name])}"
    return None


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536)


def _parts(url: str) -> tuple[str, str]:
    """The parts before and after the first question mark."""
    rest, _, query = _SCHEME.sub("", url, count=1).partition("?")
    return rest, query


def _shown(url: str) -> str:
    """User, hosts, database, and the parameters without secrets."""
    rest, query = _parts(url)
    if "@" in query:
        return "postgresql://***"  # the password may contain an unencoded question mark
    user, at, where = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    shown_parameters = [(key, value) for key, value in parse_qsl(query) if not _HIDDEN.search(key)]
    shown = f"postgresql://{name}{':***' if colon else ''}{at}{where}"
    return shown + (f"?{urlencode(shown_parameters, safe='/,:')}" if shown_parameters else "")
