"""Where a store in PostgreSQL is: a connection string that is handed on unchanged, and shown without its secrets."""

from __future__ import annotations

import re
from typing import Final, NoReturn
from urllib.parse import parse_qsl, quote, unquote, urlencode

MIN_SECRET_CHARS: Final = 4  # what is shorter would hide half of every line

_SCHEME: Final = re.compile(r"postgres(?:ql)?://")
_TELLING: Final = re.compile(r"pass|key|cert|options", re.IGNORECASE)  # parameters that are not shown
_SECRET: Final = re.compile(r"password", re.IGNORECASE)


class PostgresUrl:
    """A connection string as libpq reads it. Printed without password; `reveal` is the only way to the whole."""

    __slots__ = ("_shown", "_url")

    def __init__(self, url: str) -> None:
        self._url = url
        self._shown = _shown(url)

    def reveal(self) -> str:
        """The string as it was written, password and all."""
        return self._url

    @property
    def secrets(self) -> frozenset[str]:
        """The passwords in it, as written and percent-decoded."""
        rest, query = _parts(self._url)
        user, at, _ = rest.rpartition("@")
        found = {user.partition(":")[2]} if at else set()
        found |= {value for name, value in parse_qsl(query) if _SECRET.search(name)}
        found |= {piece.partition("=")[2] for piece in query.split("&") if _SECRET.search(piece.partition("=")[0])}
        return frozenset(text for one in found for text in (one, unquote(one), quote(one, safe="")) if text)

    def hide(self, text: str) -> str:
        """`text` (a message of libpq's, say) without what must not be shown."""
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
    """Whether a store's place is in PostgreSQL, not a path."""
    return _SCHEME.match(text) is not None


def _parts(url: str) -> tuple[str, str]:
    """What stands before and behind the first question mark."""
    rest, _, query = _SCHEME.sub("", url, count=1).partition("?")
    return rest, query


def _shown(url: str) -> str:
    """User, hosts, database, and those parameters that tell no secret."""
    rest, query = _parts(url)
    if "@" in query and "@" not in rest:
        return "postgresql://***"  # a password that holds a raw question mark, or something worse
    user, at, where = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    told = [(key, value) for key, value in parse_qsl(query) if not _TELLING.search(key)]
    shown = f"postgresql://{name}{':***' if colon else ''}{at}{where}"
    return shown + (f"?{urlencode(told, safe='/,:')}" if told else "")
