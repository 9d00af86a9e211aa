"""Times, durations and numbers in the reader's language, and the texts of the page.

English texts are in the templates; `texts/zh.yaml` has their Chinese translations. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Final

from bridge.chinese_reasons import in_language
from bridge.config.yaml import plain_yaml
from bridge.control.formats import FIRST, LAST, rfc3339

DAY_S: Final = 86_400.0
_UNITS: Final = {
    "en": {"d": "d", "h": "h", "m": "min", "s": "s", "ms": "ms", "minutes": "min"},
    "zh": {"d": "天", "h": "小时", "m": "分", "s": "秒", "ms": "毫秒", "minutes": "分钟"},
}
_SIZES: Final = (("d", 86_400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1))


@cache
def translations(language: str) -> Mapping[str, str]:
    """The texts of one language, by their English; empty for English."""
    if language == "en":
        return {}
    found: Mapping[str, str] = plain_yaml(Path(__file__).with_name("texts") / f"{language}.yaml")
    return found


class Wording:
    """Formats values for one reader. `now` is the time of the page."""

    def __init__(self, language: str, zone: tzinfo, now: float) -> None:
        self.language = language
        self.now = now
        self._zone = zone
        self._texts = translations(language)

    def text(self, english: str, **values: object) -> str:
        """The text in the reader's language, with `{name}` replaced. Numbers are written with separators."""
        text = self._texts.get(english, english)
        return text.format(**{name: self._shown(value) for name, value in values.items()}) if values else text

    def reason(self, text: str) -> str:
        """A reason: genbridge's own texts are translated, other texts stay as they are."""
        return in_language(text, self.language)

    def counted(self, number: int, one: str, many: str, **values: object) -> str:
        """`one` for 1, otherwise `many`; `{n}` is the number."""
        return self.text(one if number == 1 else many, n=number, **values)

    def number(self, value: float) -> str:
        """`12,345`, `45.6`, `0.123`: three digits for a fraction, but never fewer than before the point."""
        return f"{round(value):,}" if isinstance(value, int) or abs(value) >= 99.95 else f"{value:.3g}"

    def size(self, size_bytes: float) -> str:
        """`812 B`, `3.4 MB`, `120 GB`."""
        for unit in ("B", "kB", "MB", "GB"):
            if size_bytes < 999.5:
                return f"{size_bytes:.3g} {unit}"
            size_bytes /= 1000
        return f"{self.number(size_bytes)} TB"

    def duration(self, seconds: float) -> str:
        """`0.4 s`, `12 s`, `3 min 12 s`, `2 h 4 min`, `3 d 1 h`."""
        unit = _UNITS[self.language]
        if seconds < 9.95:
            return f"{max(0.0, seconds):.1f} {unit['s']}".replace(".0 ", " ")
        whole = round(seconds)
        for name, size, below, small in _SIZES:
            if whole >= size:
                rest = whole % size // small
                end = f"{unit[name]} {rest} {unit[below]}" if rest else unit["minutes" if name == "m" else name]
                return f"{whole // size} {end}"
        return f"{whole} {unit['s']}"

    def days(self, seconds: float) -> str:
        """`30 days`, or a duration if it is not a whole number of days."""
        days, rest = divmod(seconds, DAY_S)
        return self.counted(int(days), "{n} day", "{n} days") if days and not rest else self.duration(seconds)

    def took(self, seconds: float) -> str:
        """How long something quick took: `4 ms`, or a `duration` from a tenth of a second on."""
        ms = max(1, round(seconds * 1000))
        return f"{ms} {_UNITS[self.language]['ms']}" if ms < 100 else self.duration(seconds)

    def ago(self, at: float | None) -> str:
        """`46 s ago`, `2 min ago`, `in 3 min 5 s`; from one day on, the date and the time. From a minute ago on,
        without seconds, so that a list does not change all the time."""
        if at is None:
            return self.text("never")
        age = self.now - at
        if abs(age) >= DAY_S:
            return self.moment(at)
        if abs(age) < 0.95:
            return self.text("now")
        span = self.duration(age - age % 60 if age >= 60 else max(1.0, round(abs(age))))
        return self.text("{span} ago", span=span) if age > 0 else self.text("in {span}", span=span)

    def moment(self, at: float) -> str:
        """`17:31:16` today, otherwise `28 Nov, 17:31`; in another year with the year."""
        when, today = self._local(at), self._local(self.now)
        if when.date() == today.date():
            return f"{when:%H:%M:%S}"
        year = "" if when.year == today.year else f" {when.year}"
        if self.language == "zh":
            return f"{year.strip()}{'年' if year else ''}{when.month}月{when.day}日 {when:%H:%M}"
        return f"{when.day} {when:%b}{year}, {when:%H:%M}"

    def minute(self, at: float) -> str:
        """`17:31`, for the axis of a chart."""
        return f"{self._local(at):%H:%M}"

    def exact(self, at: float) -> str:
        """The time with its zone, shown on hover: `2026-11-28 17:31:16 UTC+1`."""
        return f"{self._local(at):%Y-%m-%d %H:%M:%S} {self.zone_name(at)}"

    def zone_name(self, at: float | None = None) -> str:
        """`UTC`, `UTC+1`, `UTC-3:30`."""
        offset = self._local(self.now if at is None else at).utcoffset()
        minutes = round(offset.total_seconds() / 60) if offset else 0
        sign, hours, rest = "-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60
        return "UTC" + (f"{sign}{hours}" if minutes else "") + (f":{rest:02d}" if rest else "")

    @property
    def zone_key(self) -> str:
        """The time zone for browsers: a name, or an offset such as `+01:00`."""
        return getattr(self._zone, "key", None) or self._local(self.now).isoformat()[-6:]

    def client_texts(self) -> dict[str, str]:
        """The texts of the page's script."""
        unit = _UNITS[self.language]
        said = {
            "ago": self.text("{span} ago"),
            "in": self.text("in {span}"),
            "range": self.text("in {low} to {high}"),
            "up_to": self.text("in up to {high}"),
            "late": self.text("longer than usual"),
            "held": self.text("held back"),
            "unknown": self.text("no estimate yet"),
            "now": self.text("now"),
            "new": self.text("{n} new"),
            "live": self.text("Live"),
            "connecting": self.text("Connecting"),
            "not_live": self.text("Not live: this is as of {time}. Trying again."),
            "title_need": self.text("{n} needs you"),
            "title_needs": self.text("{n} need you"),
            "title_running": self.text("{n} running"),
            "copied": self.text("Copied"),
            "not_copied": self.text("Not copied"),
            "succeeded": self.text("Succeeded, show"),
            "failed": self.text("Failed, show"),
            "canceled": self.text("Canceled, show"),
            "not_found": self.text("Not found, show"),
            "timed_out": self.text("Timed out, show"),
            "withdrawn": self.text("Withdrawn"),
        }
        return unit | said

    def iso(self, at: float) -> str:
        """For `<time datetime>`."""
        return rfc3339(at) or ""

    def _local(self, at: float) -> datetime:
        at = min(max(at, FIRST + DAY_S), LAST - DAY_S)
        return datetime.fromtimestamp(at, UTC).astimezone(self._zone)

    def _shown(self, value: object) -> object:
        return self.number(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
