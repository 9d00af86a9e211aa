"""Durations and times, formatted for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from bridge.sinks.chat_wording import ENGLISH

LOCAL: Final = "local"
SOON_S: Final = 48 * 3600.0  # an expiry later than this is not mentioned

_MOST_MS: Final = 1e15
_FORMAT: Final = re.compile(r"(?:[^%]|%[A-Za-z%])*")  # no field widths: large ones produce gigabytes
_MOST_FORMAT: Final = 64


def human_duration(seconds: float | None, units: tuple[str, str, str, str, str] = ENGLISH.units) -> str | None:
    """`45 s`, `2 min 5 s`, `24 h`, `2 d 4 h`."""
    if seconds is None or not 0 <= seconds < 1e10:
        return None
    day, hour, minute, second, minutes_alone = units
    whole = round(seconds)
    spans = ((day, hour, 86_400, 3600, 2), (hour, minute, 3600, 60, 1), (minute, second, 60, 1, 1))
    for large, small, size, part, least in spans:
        if whole >= least * size:
            rest = whole % size // part
            if not rest and large == minute:
                return f"{whole // size} {minutes_alone}"
            return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} {second}"


def clock_length(seconds: float) -> str:
    """The duration of a song: `2:34`."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def zone(name: str) -> tzinfo | None:
    """The time zone with this name; None for the machine's own. ValueError if it is unknown."""
    return None if name == LOCAL else _zone(name)


def human_instant(ms: float | None, timezone: str = "UTC") -> str | None:
    """`2026-01-31 12:00 UTC` from milliseconds; None for an invalid time."""
    found = _instant(ms, timezone)
    return None if found is None else f"{found:%Y-%m-%d %H:%M} {_zone_name(found)}".rstrip()


def human_expiry(ms: float, *, since_ms: float, timezone: str) -> str | None:
    """`17:36 CET`, with the date if it is not the day of `since_ms`."""
    found, since = _instant(ms, timezone), _instant(since_ms, timezone)
    if found is None or since is None:
        return None
    clock = f"{found:%H:%M} {_zone_name(found)}".rstrip()
    return clock if found.date() == since.date() else f"{found:%Y-%m-%d} {clock}"


def format_time(value: object, timezone: str, style: str | None = None) -> str:
    """The template filter `time`: a time in ms or RFC 3339, shown in the endpoint's time zone; "" for any other value.
    ValueError for a format that is not valid for `strftime`, or that has a width."""
    if style is not None and (len(style) > _MOST_FORMAT or not _FORMAT.fullmatch(style)):
        raise ValueError("the format of time is too long, or has more than letters after %")
    found = _instant(_ms(value), timezone)
    if found is None:
        return ""
    return found.strftime(style) if style else f"{found:%Y-%m-%d %H:%M} {_zone_name(found)}".rstrip()


def _ms(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < _MOST_MS else None
    if isinstance(value, str):
        try:
            given = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1000
    return None


def _instant(ms: float | None, timezone: str) -> datetime | None:
    if ms is None:
        return None
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone(timezone))
    except (ValueError, OverflowError, OSError):
        return None


def _zone_name(instant: datetime) -> str:
    """`CET`, or `UTC+8` if the zone has no abbreviation, or one that several zones share."""
    name = instant.tzname() or ""
    if name in {"CST", "IST", "BST"} or not name.isalpha():
        offset = f"{instant:%z}"
        return f"UTC{offset[0]}{int(offset[1:3])}" + (f":{offset[3:5]}" if offset[3:5] != "00" else "")
    return name


@lru_cache(64)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name}") from error
