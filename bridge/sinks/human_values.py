"""Durations, times, sizes and numbers of results, in the words of a message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from bridge.domain.archive_names import CopyMade
from bridge.domain.event import OPERATOR_TOPICS
from bridge.domain.ids import MAX_TASK_ID_CHARS
from bridge.domain.result_facts import MadeResult, ResultFacts
from bridge.sinks.chat_wording import ENGLISH, ChatWording
from bridge.sinks.neutral import neutral
from bridge.sinks.splitting import RestNotice

LOCAL: Final = "local"
UNITS: Final = ("kB", "MB", "GB", "TB")
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


class HumanInstant(str):
    """A time as text. The template filter `time` can show it in another format."""

    ms: float


def human_instant(ms: float | None, timezone: str = "UTC") -> HumanInstant | None:
    """`2026-01-31 12:00 UTC` from milliseconds; None for an invalid time."""
    found = _instant(ms, timezone)
    if found is None:
        return None
    shown = HumanInstant(f"{found:%Y-%m-%d %H:%M} {_zone_name(found)}".rstrip())
    shown.ms = found.timestamp() * 1000
    return shown


def human_expiry(ms: float, *, since_ms: float, timezone: str) -> str | None:
    """`17:36 CET`, with the date if it is not the day of `since_ms`."""
    found, since = _instant(ms, timezone), _instant(since_ms, timezone)
    if found is None or since is None:
        return None
    clock = f"{found:%H:%M} {_zone_name(found)}".rstrip()
    return clock if found.date() == since.date() else f"{found:%Y-%m-%d} {clock}"


def format_time(value: object, timezone: str, style: str | None = None) -> str:
    """The template filter `time`: an instant, a time in ms or RFC 3339, in the endpoint's zone; "" for any other value.
    ValueError for a format that is not valid for `strftime`, or that has a width."""
    if style is not None and (len(style) > _MOST_FORMAT or not _FORMAT.fullmatch(style)):
        raise ValueError("the format of time is too long, or has more than letters after %")
    found = _instant(_ms(value), timezone)
    if found is not None and style:
        return found.strftime(style)
    return human_instant(_ms(value), timezone) or ""


def _ms(value: object) -> float | None:
    if isinstance(value, HumanInstant):
        return value.ms
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
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(None if timezone == LOCAL else ZoneInfo(timezone))
    except (KeyError, ValueError, OverflowError, OSError):
        return None


def _zone_name(instant: datetime) -> str:
    """`CET`, or `UTC+8` if the zone has no abbreviation, or one that several zones share."""
    name = instant.tzname() or ""
    if name in {"CST", "IST", "BST"} or not name.isalpha():
        offset = f"{instant:%z}"
        return f"UTC{offset[0]}{int(offset[1:3])}" + (f":{offset[3:5]}" if offset[3:5] != "00" else "")
    return name


def result_size(found: ResultFacts, words: ChatWording) -> str:
    """`5 s`, `4 images`, `2 versions, 2:34 and 2:41`; "" if the kind says enough."""
    kind = found.kind
    of_kind = [each for each in found.made if each.kind == kind]
    if not of_kind:
        return ""
    count = words.one[kind] if len(of_kind) == 1 else words.many[kind].format(n=len(of_kind))
    lengths = [_length(each, words) for each in of_kind]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths) or not known:
        return count
    if len(known) == 1:
        return known[0]
    if len(set(known)) == 1:
        return words.each.format(count=count, length=known[0])
    if len(known) == 2:
        return count + words.comma + words.pair.format(first=known[0], last=known[1])
    return count


def _length(made: MadeResult, words: ChatWording) -> str | None:
    if made.length_s is None or made.kind not in {"videos", "audios"}:
        return None
    if made.kind == "audios":
        return clock_length(made.length_s)
    return human_duration(max(1.0, made.length_s), words.units)


def have_links(copies: Sequence[CopyMade]) -> bool:
    """Whether there are copies, and every one has a URL."""
    return bool(copies) and all(copy.url for copy in copies)


def copies_size(copies: Sequence[CopyMade], words: ChatWording) -> str:
    """`4 copies, 12.3 MB`."""
    if not copies:
        return ""
    size = human_size(sum(copy.bytes for copy in copies))
    return words.copies[len(copies) > 1].format(n=len(copies), size=size)


def copies_place(copies: Sequence[CopyMade]) -> str:
    """The location of the copies: the path of the first, and the name of the last."""
    if not copies:
        return ""
    first, last = copies[0].path, copies[-1].path
    return neutral(first if first == last else f"{first} … {last.rpartition('/')[2]}")


def rest_notice(topic: str, subject: str, words: ChatWording) -> RestNotice:
    """The notice about what does not fit into the messages of an event: `3 more results: genbridge show ID`."""
    is_task = topic not in OPERATOR_TOPICS
    place = (
        f"genbridge show {neutral(subject, most_chars=MAX_TASK_ID_CHARS)}".rstrip() if is_task else "genbridge status"
    )

    def notice(results: int) -> str:
        text = words.more[results > 1] if results else words.rest
        return text.format(n=results, place=place)

    return notice


def human_size(size: int) -> str:
    """`812 B`, `4.2 MB`: in powers of 1000, as file managers show it."""
    if size < 1000:
        return f"{size} B"
    value, unit = float(size), ""
    for unit in UNITS:
        value /= 1000
        if value < 999.5 or unit == UNITS[-1]:
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
