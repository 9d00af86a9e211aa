"""Durations as people write them."""

from __future__ import annotations

import re
from typing import Final

from bridge.domain.quoting import quoted

MAX_S: Final = 3650 * 86_400.0  # ten years; anything longer is a typing mistake
FORMS: Final = "30s, 5m, 1h30m, 24h, 30d, 500ms or a number of seconds"
PATTERN: Final = r"^([0-9]+(\.[0-9]+)?|([0-9]+(\.[0-9]+)?(d|h|m|s|ms))+)$"  # for the JSON Schema

_UNITS: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_WHOLE: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|d|h|m|s))+")
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|d|h|m|s)")


def parse_duration(text: str) -> float:
    """Seconds of `30s`, `5m`, `1h30m`, `24h`, `30d`, `500ms` or a plain number of seconds; zero is allowed.

    ValueError for anything else: negative, not finite, over ten years, units out of order.
    """
    written = text.strip()
    if written.startswith("-"):
        raise ValueError(f"{quoted(text)} is negative")
    if _NUMBER.fullmatch(written):
        seconds = float(written)
    elif _WHOLE.fullmatch(written):
        parts = _PART.findall(written)
        units = [unit for _, unit in parts]
        if units != sorted(set(units), key=list(_UNITS).index):
            raise ValueError(f"{quoted(written)} has units twice or out of order; write {FORMS}")
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        raise ValueError(f"{quoted(text)} is not a duration; write {FORMS}")
    if seconds > MAX_S:
        raise ValueError(f"{quoted(text)} is longer than ten years")
    return seconds
