"""Rows: the text and JSON that every engine takes, and rows that cannot be read.

A person or a disk fault may have changed a row. Such a row is ignored, and the log names it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import orjson

from bridge.domain.task import Json

T = TypeVar("T")
Row = tuple[Any, ...]

MOST_LOGGED: Final = 1000  # maximum number of different rows that one process logs

_logged: set[tuple[str, str]] = set()


def json_text(value: Json) -> str:
    """JSON text of any value. Read it with `json.loads`: it may hold integers and strings that orjson refuses."""
    try:
        return orjson.dumps(value, default=dict).decode()  # a mapping of another type
    except TypeError:
        return json.dumps(value, default=dict)


def plain(text: str) -> str:
    """Text that every database takes: NUL and lone surrogates, which UTF-8 cannot encode, become question marks."""
    if "\0" in text:
        text = text.replace("\0", "?")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def readable(what: str, make: Callable[[Any], T], rows: Iterable[Any]) -> list[T]:
    """The results of `make` for the readable rows. Each unreadable row is logged once, by its first two columns."""
    found: list[T] = []
    for row in rows:
        try:
            found.append(make(row))
        except Exception as error:
            report(what, "/".join(map(_text, row[:2])), error)
    return found


def stored_json(what: str, key: str, text: str, kind: type[T]) -> T | None:
    """The value of a JSON text. None when it is of another type or invalid; this is logged."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        report(what, key, error)
        return None
    return found if isinstance(found, kind) else None


def report(what: str, key: str, error: Exception) -> None:
    """Log that a row could not be read, once in a process."""
    if (what, key) not in _logged and len(_logged) < MOST_LOGGED:
        from bridge.logs import get_logger  # here, because commands that only read do not log

        log = get_logger()
        _logged.add((what, key))
        log.error("store.unreadable", what=what, key=key, reason=f"{type(error).__name__}: {error}")


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def unreadable_rows(found: Iterable[Any]) -> list[str]:
    """The found kinds and keys, and the ones that this process has logged, as text."""
    return sorted(f"{what} {_text(key)}" for what, key in {*map(tuple, found), *_logged})
