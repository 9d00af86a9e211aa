"""Rows: the text and JSON that every engine takes, and rows that cannot be read.

A person or a disk fault may have changed a row. Such a row is ignored, and the log names it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Final, TypeVar

import orjson

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.task import LIVE, Json, Kind, Phase
from bridge.store.statements import SQL

T = TypeVar("T")
Row = tuple[Any, ...]

MOST_LOGGED: Final = 1000  # maximum number of different rows that one process logs
MOST_COUNTED: Final = 1000  # by `status`

_WATCHES: Final = "SELECT 'watch', account || '/' || task_id FROM watches WHERE"
_DELIVERIES: Final = "SELECT 'delivery', delivery_id || '/' || event_id FROM deliveries WHERE"
_logged: set[tuple[str, str]] = set()


def json_text(value: Json) -> str:
    """JSON text of any value. Read it with `json.loads`: it may hold integers and strings that orjson refuses."""
    try:
        return orjson.dumps(value, default=dict).decode()  # a mapping of another type
    except TypeError:
        return json.dumps(value, default=dict)


def plain(text: str) -> str:
    """Text that every database takes: lone surrogates, which no encoding has, and NUL become question marks."""
    if "\0" in text:
        text = text.replace("\0", "?")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def within(sizes: Iterable[tuple[int, int]], most_bytes: int) -> list[int]:
    """The first of these rows (number, length) whose total length is within the limit; at least one."""
    ids: list[int] = []
    for delivery_id, length in sizes:
        most_bytes -= length
        if ids and most_bytes < 0:
            break
        ids.append(delivery_id)
    return ids


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


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


_WRONG: Final = f"doubt_kind NOT IN ({_words(Kind)}) {{sqlite:OR {SQL['reads.wrong_types']}}}"


def _none_of(select: str, column: str, words: Iterable[str]) -> str:
    """Rows whose value is not in the list: one SELECT for each gap between two neighboring values. With an index on the
    column, each SELECT reads only the rows that it finds. NOT IN would read every row."""
    known = sorted(words)
    gaps = (f"{column} > '{low}' AND {column} < '{high}'" for low, high in pairwise(known))
    return " UNION ".join(f"{select} {gap}" for gap in (f"{column} < '{known[0]}'", *gaps, f"{column} > '{known[-1]}'"))


# The kinds and keys of unreadable rows. Only the phase of finished watches is checked, because there may be millions.
UNREADABLE: Final = f"""
    {_none_of(_WATCHES, "phase", Phase)}
    UNION {_WATCHES} phase IN ({_words(sorted(LIVE))}) AND ({_WRONG})
    UNION {_none_of(_DELIVERIES + " state <> 'waiting' AND", "state", DeliveryState)} LIMIT {MOST_COUNTED}
"""


def unreadable_rows(found: Iterable[Any]) -> list[str]:
    """The found kinds and keys, and the ones that this process has logged, as text."""
    return sorted(f"{what} {_text(key)}" for what, key in {*map(tuple, found), *_logged})
