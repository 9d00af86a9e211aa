"""Values as receivers of JSON read them: bytes, and instants as text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from bridge.domain.task import Json

_MOST_DEPTH: Final = 100


def encode(value: Json, *, default: Callable[[Any], Json] | None = None) -> bytes:
    """Compact, valid UTF-8 JSON for every value; `default` says what to make of a type that JSON lacks."""
    try:
        return orjson.dumps(value, default=default)
    except orjson.JSONEncodeError:
        # A number beyond 64 bits, a lone surrogate, a key that is no text: told all the same, mended.
        return json.dumps(_mended(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def rfc3339(ms: Json) -> str | None:
    """`2026-01-31T12:00:00.250Z` from milliseconds since 1970; None for what is no instant of this calendar."""
    if isinstance(ms, bool) or not isinstance(ms, int | float):
        return None
    try:
        at = datetime.fromtimestamp(round(ms) / 1000, UTC)  # as `data` has it: isoformat cuts off
    except (ValueError, OverflowError, OSError):
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _mended(value: Json, depth: int = 0) -> Json:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Exact while a double of the receiver has room for it; beyond that no receiver reads it as a number.
        return value if abs(value) < 10**300 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= _MOST_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {_mended(str(key)): _mended(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_mended(item, depth + 1) for item in value]
    return _mended(str(value))
