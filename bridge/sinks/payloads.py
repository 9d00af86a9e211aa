"""The body formats of webhooks; pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final

import orjson

from bridge.domain.event import Event
from bridge.domain.task import Json

_MOST_DEPTH: Final = 100


def documented(event: Event) -> bytes:
    """`{"topic", "data"}`, in that order: the documented envelope. Gives valid UTF-8 JSON for every event."""
    envelope = {"topic": event.topic.value, "data": event.data}
    try:
        return orjson.dumps(envelope)
    except orjson.JSONEncodeError:
        # A number beyond 64 bits, a lone surrogate, a key that is no text: told all the same, mended.
        return json.dumps(_mended(envelope), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


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
    if isinstance(value, list | tuple | set | frozenset):
        return [_mended(item, depth + 1) for item in value]
    return _mended(str(value))
