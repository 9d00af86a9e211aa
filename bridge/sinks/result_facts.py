"""What a task made, in the few facts that a chat message shows: kind, number, lengths, pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bridge.domain.result_urls import why_refused
from bridge.domain.task import Json
from bridge.sinks.chat_wording import KINDS, ChatWording
from bridge.sinks.human_time import clock_length, human_duration

MOST_LENGTH_S: Final = 6 * 3600.0  # a longer clip is a unit that was read wrongly
MOST_RESULTS: Final = 500

_COVERS: Final = ("cover_url", "cover_image_url", "thumbnail_url", "thumbnail", "image_url", "poster", "first_frame")


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeResult:
    """One result: its kind, its URL ("" when it has none), its length, and a picture of it."""

    kind: str
    url: str = ""
    length_s: float | None = None
    cover: str = ""
    needs_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFacts:
    """The results in the order of `urls`, the one a reader wants first. `kind` is "" when nothing was made.

    Renditions (a song's cover and its video) are left out of `made`.
    """

    kind: str
    made: tuple[MadeResult, ...]

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.made if each.url]

    @property
    def covers(self) -> list[str]:
        """Pictures at public hosts: the images themselves, else covers."""
        found = [each.url if each.kind == "images" else each.cover for each in self.made if not each.needs_key]
        return list(dict.fromkeys(url for url in found if url and why_refused(url, own_host="") is None))

    def size(self, words: ChatWording) -> str:
        """`5 s`, `4 images`, `2 versions, 2:34 and 2:41`; "" when the kind says enough."""
        of_kind = [each for each in self.made if each.kind == self.kind]
        if not of_kind:
            return ""
        count = words.one[self.kind] if len(of_kind) == 1 else words.many[self.kind].format(n=len(of_kind))
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


def result_facts(data: Mapping[str, Json]) -> ResultFacts:
    """The facts of an event's `data`, whatever it holds."""
    items = list(_items(data.get("task_result")))
    urls = [url for url in _list(data.get("urls"))[:MOST_RESULTS] if isinstance(url, str)]
    by_url = {made.url: made for made, _ in items if made.url}
    songs = {ident for made, ident in items if made.kind == "audios" and ident}
    extras = {made.url for made, ident in items if made.kind in {"videos", "images"} and ident in songs}
    main = [by_url.get(url) or MadeResult(kind=_kind_of_action(data) or "files", url=url) for url in urls]
    main = [made for made in main if made.url not in extras]
    main += [made for made, _ in items if not made.url][:MOST_RESULTS]
    kinds = [made.kind for made in main]
    kind = next((each for each in ("videos", "audios", "images", "files", "texts") if each in kinds), "")
    return ResultFacts(kind=kind, made=tuple(main))


def copied(data: Mapping[str, Json], found: ResultFacts) -> ResultFacts:
    """The same results with the URLs of their copies; unchanged if a copy has none."""
    copies = [item for item in _list(data.get("archive")) if isinstance(item, Mapping)]
    urls: list[Json] = [item.get("url") for item in copies]
    if not urls or len(urls) != len(found.made) or not all(isinstance(url, str) and url for url in urls):
        return found
    made = tuple(replace(each, url=url) for each, url in zip(found.made, urls, strict=True))
    return ResultFacts(kind=found.kind, made=made)


def likely_kind(data: Mapping[str, Json]) -> str:
    """The kind of what the task makes, from its action; "" when that does not say."""
    return _kind_of_action(data)


def _kind_of_action(data: Mapping[str, Json]) -> str:
    action = data.get("action")
    text = action.lower() if isinstance(action, str) else ""
    for sign, kind in (("video", "videos"), ("image", "images"), ("music", "audios"), ("audio", "audios")):
        if sign in text:
            return kind
    return "texts" if text == "lyrics" else ""


def _items(result: Json) -> Iterator[tuple[MadeResult, str]]:
    """Each result with its id at the provider."""
    if not isinstance(result, Mapping):
        return
    for kind in KINDS:
        for item in _list(result.get(kind))[:MOST_RESULTS]:
            if isinstance(item, Mapping):
                url, ident = item.get("url"), item.get("id")
                yield (
                    MadeResult(
                        kind=kind,
                        url=url if isinstance(url, str) else "",
                        length_s=_seconds(item.get("duration")),
                        cover=_cover(item) if kind != "images" else "",
                        needs_key=item.get("needs_key") is True,
                    ),
                    ident if isinstance(ident, str) else "",
                )


def _cover(item: Mapping[str, Json]) -> str:
    """A picture of the item."""
    found = (url for key in _COVERS if isinstance(url := item.get(key), str) and url != item.get("url"))
    return next(found, "")


def _seconds(value: Json) -> float | None:
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds <= MOST_LENGTH_S else None


def _length(made: MadeResult, words: ChatWording) -> str | None:
    if made.length_s is None or made.kind not in {"videos", "audios"}:
        return None
    if made.kind == "audios":
        return clock_length(made.length_s)
    return human_duration(max(1.0, made.length_s), words.units)


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list | tuple) else ()
