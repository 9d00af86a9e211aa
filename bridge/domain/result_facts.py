"""The results of a task, with the facts that messages and the page show: kinds, URLs, durations, pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from bridge.domain.archive_names import copies_by_mark, result_mark
from bridge.domain.result_urls import why_refused
from bridge.domain.task import Json

RESULT_KINDS: Final = ("videos", "images", "audios", "texts", "files")
_WANTED_FIRST: Final = ("videos", "audios", "images", "files", "texts")
_MODELS: Final = frozenset((".glb", ".gltf", ".fbx", ".obj", ".usdz", ".stl", ".ply", ".3mf", ".blend"))  # 3D
MOST_RESULTS: Final = 500  # maximum for one kind
MOST_LENGTH_S: Final = 6 * 3600.0  # a longer clip means that the unit was misread

_EXTENSIONS: Final = {
    f".{extension}": kind
    for kind, extensions in {
        "videos": "mp4 webm mov m4v mkv avi",
        "images": "png jpg jpeg webp gif avif bmp",
        "audios": "mp3 wav flac ogg m4a aac opus",
        "texts": "txt srt vtt",
    }.items()
    for extension in extensions.split()
}
_COVERS: Final = (
    "cover_url",
    "cover_image_url",
    "coverUrl",
    "thumbnail_url",
    "thumbnail",
    "poster_url",
    "poster",
    "image_url",
    "image_large_url",
    "first_frame",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeResult:
    """One result. `url` is "" for a text and for a file inside the answer; `size` is the size of such a file.

    `covers` are URLs of preview pictures, best first. `is_rendition`: it belongs to another result, like the cover or
    the video of a song.
    """

    kind: str
    url: str = ""
    text: str = ""
    title: str = ""
    ident: str = ""  # the provider's id of the result
    length_s: float | None = None
    width: int = 0
    height: int = 0
    size: int = 0
    covers: tuple[str, ...] = ()
    needs_key: bool = False
    is_rendition: bool = False
    sha256: str = ""  # hash of a file inside the answer that the archive keeps
    copy: str = ""  # the path of its copy in the archive

    @property
    def mark(self) -> str:
        return result_mark(self.url, self.sha256)

    @property
    def is_model(self) -> bool:
        return _extension(self.url) in _MODELS

    @property
    def pictures(self) -> tuple[str, ...]:
        """The image itself, or else the covers."""
        return (self.url,) if self.kind == "images" else self.covers


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFacts:
    """Every result, in the order of `urls`; those without a URL follow. `made` are the results to announce: no
    renditions, and no URLs that were left out of `urls`. `kind` is the kind that people most likely want; "" without
    results."""

    every: tuple[MadeResult, ...]
    made: tuple[MadeResult, ...]

    @property
    def kind(self) -> str:
        kinds = {each.kind for each in self.made}
        return next((kind for kind in wanted_first(self.made) if kind in kinds), "")

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.made if each.url]

    @property
    def covers(self) -> list[str]:
        """One picture of each result, from public hosts only."""
        found = [next(filter(_is_public, each.pictures), "") for each in self.made if not each.needs_key]
        return list(dict.fromkeys(filter(None, found)))


def result_texts(result: Json) -> list[str]:
    """The results in a `task_result` that are texts (lyrics)."""
    return [each.text for each in _items(result) if each.kind == "texts" and each.text.strip()]


def result_facts(result: Json, urls: Json = (), action: Json = None) -> ResultFacts:
    """The facts of a `task_result` and its `urls`. Accepts any JSON value."""
    listed = [url for url in _list(urls)[:MOST_RESULTS] if isinstance(url, str) and url]
    every = list(_items(result))
    named = {each.url for each in every}
    by_action = kind_of_action(action)
    every += [MadeResult(kind=kind_of_file(url) or by_action or "files", url=url) for url in listed if url not in named]
    place = {url: number for number, url in enumerate(listed)}
    every = _with_renditions(sorted(every, key=lambda each: place.get(each.url, len(place))))
    pictures = tuple(each.url for each in every if each.kind == "images" and each.url)
    every = [replace(each, covers=each.covers or pictures) if each.is_model else each for each in every]
    made = [each for each in every if not each.is_rendition and (not each.url or each.url in place)]
    return ResultFacts(every=tuple(every), made=tuple(made))


def with_paths_of(data: Mapping[str, Json], found: ResultFacts) -> ResultFacts:
    """The same results with the paths of their copies, if an event's `archive` has them. A result from inside the
    answer gets the URL of its copy."""
    copies = copies_by_mark(data)
    known = ((each, copies.get(each.mark)) for each in found.made)
    made = (replace(each, copy=one.path, url=each.url or one.url or "") if one else each for each, one in known)
    return replace(found, made=tuple(made))


def with_copies_of(data: Mapping[str, Json], found: ResultFacts) -> ResultFacts:
    """The same results with the URLs of their copies from an event's `archive`. Unchanged if any copy has no URL."""
    urls = {mark: one.url for mark, one in copies_by_mark(data).items() if one.url}
    if not urls or any(each.url and each.url not in urls for each in found.made):
        return found
    return replace(found, made=tuple(replace(each, url=urls.get(each.mark, "")) for each in found.made))


def wanted_first(results: Iterable[MadeResult]) -> Sequence[str]:
    """Kinds of results, most wanted first. Beside a 3D model, pictures and videos only show the model."""
    return ("files", *_WANTED_FIRST) if any(each.is_model for each in results) else _WANTED_FIRST


def kind_of_file(url: str) -> str | None:
    """The kind of a file according to its extension; None if unknown."""
    return _EXTENSIONS.get(_extension(url))


def kind_of_action(action: Json) -> str:
    """The kind of result that this action makes; "" if the action does not show it."""
    text = action.lower() if isinstance(action, str) else ""
    for sign, kind in (("video", "videos"), ("image", "images"), ("music", "audios"), ("audio", "audios")):
        if sign in text:
            return kind
    return "texts" if text == "lyrics" else ""


def _items(result: Json) -> Iterator[MadeResult]:
    for kind, items in result.items() if isinstance(result, Mapping) else ():
        if kind in RESULT_KINDS:
            yield from (_made(kind, item) for item in _list(items)[:MOST_RESULTS] if isinstance(item, Mapping))


def _made(kind: str, item: Mapping[str, Json]) -> MadeResult:
    url, length_s = _text(item.get("url")), _number(item.get("duration"))
    covers = [cover for name in _COVERS if (cover := _text(item.get(name))) and cover != url]
    return MadeResult(
        kind=kind,
        url=url,
        text=_text(item.get("text")),
        title=_text(item.get("title")),
        ident=_text(item.get("id")),
        length_s=None if length_s is None or length_s > MOST_LENGTH_S else length_s,
        width=int(_number(item.get("width")) or 0),
        height=int(_number(item.get("height")) or 0),
        size=int(_number(item.get("bytes")) or 0),
        covers=tuple(covers),
        needs_key=item.get("needs_key") is True,
        sha256=_text(item.get("sha256")) if item.get("embedded") is True else "",
    )


def _with_renditions(results: Sequence[MadeResult]) -> list[MadeResult]:
    """Mark videos and images that belong to a song: those with its id, and those without any id if the song has a title
    or a cover."""
    audios = [each for each in results if each.kind == "audios"]
    idents = {each.ident for each in audios if each.ident}
    is_song = any(each.title or each.covers for each in audios)
    return [
        replace(each, is_rendition=True)
        if each.kind in {"videos", "images"} and (each.ident in idents if each.ident else is_song)
        else each
        for each in results
    ]


def _extension(url: str) -> str:
    return PurePosixPath(re.split(r"[?#]", url, maxsplit=1)[0]).suffix.lower()


def _is_public(url: str) -> bool:
    return why_refused(url, own_host="") is None


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list | tuple) else ()


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Json) -> float | None:
    """A number of reasonable size, also as text: `"5.1"`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 < number < 1e12 else None
