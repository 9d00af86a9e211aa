"""Text and JSON as every engine takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from bridge.domain.task import Json
from bridge.store.unreadable import readable_json

Row = tuple[Any, ...]


def meta_of(key: str, text: str) -> Mapping[str, Json]:
    """An empty mapping when it cannot be read: the event is sent without it."""
    meta = readable_json("meta", key, text, {})
    return meta if isinstance(meta, dict) else {}


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
    """Of rows (number, length) the first that are together no longer than this; at least one."""
    ids: list[int] = []
    for delivery_id, length in sizes:
        most_bytes -= length
        if ids and most_bytes < 0:
            break
        ids.append(delivery_id)
    return ids
