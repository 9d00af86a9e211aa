"""The size of a task's results and of their copies, in the words of a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bridge.domain.archive_names import CopyMade
from bridge.domain.result_facts import MadeResult, ResultFacts
from bridge.domain.task import Json
from bridge.sinks.chat_wording import ChatWording
from bridge.sinks.human_time import clock_length, human_duration
from bridge.sinks.neutral import neutral


def result_size(found: ResultFacts, words: ChatWording) -> str:
    """`5 s`, `4 images`, `2 versions, 2:34 and 2:41`; "" if the kind says enough."""
    of_kind = [each for each in found.made if each.kind == found.kind]
    if not of_kind:
        return ""
    count = words.one[found.kind] if len(of_kind) == 1 else words.many[found.kind].format(n=len(of_kind))
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


UNITS: Final = ("kB", "MB", "GB", "TB")


def copies_in(data: Mapping[str, Json]) -> Sequence[CopyMade]:
    """The copies in the `archive` of an event's data."""
    archive = data.get("archive")
    return list(filter(None, map(CopyMade.parse, archive if isinstance(archive, list | tuple) else ())))


def have_links(data: Mapping[str, Json]) -> bool:
    """Whether every copy has a URL."""
    archive = data.get("archive")
    items = archive if isinstance(archive, list | tuple) else ()
    return bool(items) and all(isinstance(item, Mapping) and item.get("url") for item in items)


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
