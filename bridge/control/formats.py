"""Times and durations, formatted for people and for JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from bridge.config.duration_syntax import parse_duration
from bridge.domain.quoting import quoted
from bridge.encoding import rfc3339_of_ms

FIRST: Final = -62_135_596_800.0  # the range of a date, years 1 to 9999; a store may contain any number
LAST: Final = 253_402_300_799.0


def rfc3339(at: float | None) -> str | None:
    """A time for JSON: in UTC, with milliseconds; None stays None."""
    return None if at is None else rfc3339_of_ms(_shown(at) * 1000)


def instant(text: str, now: float) -> float:
    """Parse a time (RFC 3339; UTC without an offset), or a duration back from now. ValueError explains the syntax."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass  # not a duration, so it must be a time
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        what = f"{quoted(text)} is neither a time, as in 2025-11-01T12:00:00Z, nor a duration, as in 2h"
        raise ValueError(what) from None


def span(seconds: float) -> str:
    """A duration for people: `0.4s`, `12s`, `3m 5s`, `2h 4m`, `3d 1h`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, size, below, small in (("d", 86_400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // small}{below}"
    return f"{whole}s"


def clock_span(seconds: float) -> str:
    """A duration as a clock shows it: `0:07`, `12:05`, `2:00:00`."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def ago(at: float | None, now: float) -> str:
    """A time for people, relative to `now`: `12s ago`, `in 3m 5s`, or `-`."""
    if at is None:
        return "-"
    at = _shown(at)
    return f"{span(now - at)} ago" if at <= now else f"in {span(at - now)}"


def age(at: float, now: float) -> str:
    """How long ago a time was, in one unit: `now`, `12s`, `3m`, `2h`, `5d`. For narrow columns."""
    seconds = max(0.0, now - _shown(at))
    if seconds < 1:
        return "now"
    return span(max(10.0, seconds)).split()[0] if seconds >= 9.95 else f"{seconds:.0f}s"


def due(at: float | None, now: float) -> str:
    """When something is due, relative to `now`: `now`, `in 3m 5s`, or `-`."""
    return "now" if at is not None and at <= now else ago(at, now)


def _shown(at: float) -> float:
    """The nearest time that a date can represent."""
    return max(FIRST, at) if at < LAST else LAST
