"""Collecting the results of a task that has succeeded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from bridge.domain.links import why_refused
from bridge.domain.task import Json
from bridge.providers.description import Form, Results
from bridge.providers.values import one_line

KINDS: Final = ("videos", "images", "audios", "texts", "files")
EXTENSIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys((".mp4", ".webm", ".mov", ".m4v", ".mkv", ".avi"), "videos"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".bmp"), "images"),
    **dict.fromkeys((".mp3", ".wav", ".flac", ".ogg", ".m4a", ".aac", ".opus"), "audios"),
    **dict.fromkeys((".txt", ".srt", ".vtt"), "texts"),
}

ADDRESS: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*:|/)")  # a bare text that is none is no result

Item = dict[str, Json]  # the provider's own keys, and `url`


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The results worth telling, and of each other one why it is not. Both empty: there is no result."""

    result: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def collect(form: Form, task: Mapping[str, Json], *, action: str | None, own_host: str) -> Collected:
    """The results from the first place of the form that has any.

    A kind comes from the key it stands under, then from the file's extension, then from the action. The same URL
    counts once; an empty one is no result.
    """
    for place in form.results:
        found: dict[str, tuple[str, Item]] = {}
        for key, item in _items(place, form.result_urls, task):
            url = item["url"]
            found.setdefault(url, (_kind(key) or _kind_of_file(url) or _kind_of_action(action) or "files", item))
        if sum(1 for url in found if url) >= place.at_least:
            return _sifted(found, own_host)
    return Collected()


def _sifted(found: Mapping[str, tuple[str, Item]], own_host: str) -> Collected:
    result: dict[str, list[Item]] = {}
    refused: list[str] = []
    for url, (kind, item) in found.items():
        if (reason := why_refused(url, own_host=own_host)) is None:
            result.setdefault(kind, []).append(item)
        else:
            refused.append(f"{_shown(url)}: {reason}")
    urls = tuple(item["url"] for kind in KINDS for item in result.get(kind, ()))
    return Collected(result={kind: result[kind] for kind in KINDS if kind in result}, urls=urls, refused=tuple(refused))


def _items(place: Results, keys: Sequence[str], task: Mapping[str, Json]) -> Iterator[tuple[str, Item]]:
    """Each result of one place with the key it stands under ("" when there is none)."""
    if place.url is not None:
        url = place.url(task)
        if isinstance(url, str):
            yield "", {"url": url.strip()}
        return
    lists = place.lists(task) if place.lists is not None else None
    for key, value in lists.items() if isinstance(lists, dict) else [("", lists)]:
        named = isinstance(value, str) and _kind(key) is None  # an attribute beside the lists
        for raw in value if isinstance(value, list) else [] if named else [value]:
            for item in _split(raw, keys):
                yield key, item


def _split(raw: Json, keys: Sequence[str]) -> Iterator[Item]:
    """One entry for each address an item has, each with all of the item's keys."""
    if isinstance(raw, str):
        if ADDRESS.match(raw):
            yield {"url": raw.strip()}
    elif isinstance(raw, dict):
        urls = [url.strip() for key in keys if isinstance(url := raw.get(key), str)]
        for url in [url for url in urls if url] or urls[:1]:
            yield {**raw, "url": url}


def _kind(key: str) -> str | None:
    plural = key.strip().casefold().removesuffix("s") + "s"
    return plural if plural in KINDS else None


def _kind_of_file(url: str) -> str | None:
    return EXTENSIONS.get(PurePosixPath(re.split(r"[?#]", url, maxsplit=1)[0]).suffix.lower())


def _kind_of_action(action: str | None) -> str | None:
    return _kind((action or "").partition("/")[0])


def _shown(url: str) -> str:
    """An URL for people: without its query, where signatures stand, and without user info."""
    return one_line(re.sub(r"//[^/?#]*@", "//***@", re.split(r"[?#]", url, maxsplit=1)[0]), 80) or "(empty)"
