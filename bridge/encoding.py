"""JSON bytes, times and events in the form that receivers expect."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from bridge.domain.event import Event
from bridge.domain.task import Json

_MOST_DEPTH: Final = 100


def encode(value: Json, *, default: Callable[[Any], Json] | None = None) -> bytes:
    """Compact, valid UTF-8 JSON for every value. `default` converts types that JSON does not have."""
    try:
        return orjson.dumps(value, default=default)
    except orjson.JSONEncodeError:
        # A number beyond 64 bits, a lone surrogate or a key that is not a text is replaced, and the rest is sent.
        return json.dumps(_repaired(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def documented(event: Event) -> bytes:
    """The documented envelope of an event: `{"topic", "data"}`, in that order."""
    return encode({"topic": event.topic.value, "data": event.data})


def rfc3339_of_ms(ms: Json) -> str | None:
    """`2026-01-31T12:00:00.250Z` from milliseconds since 1970; None for anything that is not a valid time."""
    if isinstance(ms, bool) or not isinstance(ms, int | float):
        return None
    try:
        at = datetime.fromtimestamp(round(ms) / 1000, UTC)  # isoformat would truncate
    except (ValueError, OverflowError, OSError):
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _repaired(value: Json, depth: int = 0) -> Json:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # A larger number would not fit into a receiver's double.
        return value if abs(value) < 10**300 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= _MOST_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {_repaired(str(key)): _repaired(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_repaired(item, depth + 1) for item in value]
    return _repaired(str(value))
