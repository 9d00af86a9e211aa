"""Collecting the results of a task that has succeeded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, NamedTuple
from urllib.parse import quote

import orjson

from bridge.domain.links import why_refused
from bridge.domain.task import Json
from bridge.providers.description import Form, Results
from bridge.providers.selector import selected
from bridge.providers.values import one_line

KINDS: Final = ("videos", "images", "audios", "texts", "files")
EXTENSIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys((".mp4", ".webm", ".mov", ".m4v", ".mkv", ".avi"), "videos"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".bmp"), "images"),
    **dict.fromkeys((".mp3", ".wav", ".flac", ".ogg", ".m4a", ".aac", ".opus"), "audios"),
    **dict.fromkeys((".txt", ".srt", ".vtt"), "texts"),
}

ADDRESS: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*:|/)")  # a bare text that is none is no result

Item = dict[str, Json]  # the provider's own keys, and `url` (of a text: `text`)


class Question(NamedTuple):
    """What was asked: the task, by which action, of which account."""

    task_id: str
    action: str | None
    own_host: str
    base_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The results worth telling, and of each other one why it is not. All empty: there is no result."""

    result: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.result and not self.refused


def collect(form: Form, task: Mapping[str, Json], *, asked: Question, needs_key: str | None = None) -> Collected:
    """The results from the first place of the form that has any.

    A kind comes from the key it stands under or the item's own word, then from the file's extension, then from the
    action. The same URL counts once; an empty one is no result. Those that only the key can fetch are marked so.
    """
    for place in form.results:
        found: dict[str, tuple[str, Item]] = {}
        for key, item in _items(place, form, task, asked):
            name = item["url"] if "url" in item else f"text {item['text']}"
            kind = _kind(key) or _kind_of_file(name) or _kind_of_action(asked.action) or form.otherwise
            found.setdefault(name, (kind, item))
        embedded = [data for value in selected(place.embedded, task) for data in _each(value) if data]
        if sum(1 for name in found if name) + len(embedded) >= place.at_least:
            return _sifted(found, len(embedded), asked.own_host, needs_key)
    return Collected()


def _sifted(found: Mapping[str, tuple[str, Item]], embedded: int, own_host: str, needs_key: str | None) -> Collected:
    result: dict[str, list[Item]] = {}
    refused: list[str] = []
    urls: list[str] = []
    for url, (kind, item) in found.items():
        if "url" not in item:
            result.setdefault("texts", []).append(item)
        elif (reason := _why_refused(url, own_host)) is not None:
            refused.append(f"{_shown(url)}: {reason}")
        else:
            is_closed = needs_key is not None and re.search(needs_key, url) is not None
            result.setdefault(kind, []).append({**item, "needs_key": True} if is_closed else item)
            urls.append(url)
    refused += ["data within the answer: not kept"] * embedded
    ordered: dict[str, list[Item]] = {kind: result[kind] for kind in KINDS if kind in result}
    return Collected(result=ordered, urls=tuple(urls), refused=tuple(refused))


def _items(place: Results, form: Form, task: Mapping[str, Json], asked: Question) -> Iterator[tuple[str, Item]]:
    """Each result of one place with the key that names its kind ("" when none does)."""
    named = [("videos", place.videos), ("images", place.images), ("audios", place.audios), ("files", place.files)]
    for key, selectors in [*named, ("", place.url)]:
        for value in selected(selectors, task):
            for raw in _each(value):
                yield from _split(raw, form, key) if raw != "" else ()
    for value in selected(place.texts, task):
        for raw in _each(value):
            yield from _text(raw)
    if place.lists is not None:
        yield from _lists(place.lists(task), form)
    if place.walk is not None:
        yield from _walked(place.walk(task))
    for key, path in place.content.items():
        yield key, {"url": asked.base_url.rstrip("/") + path.replace("{id}", quote(asked.task_id, safe=""))}


def _lists(lists: Json, form: Form) -> Iterator[tuple[str, Item]]:
    for key, value in lists.items() if isinstance(lists, dict) else [("", lists)]:
        if isinstance(value, str) and _kind(key) is None:
            continue  # an attribute beside the lists
        for raw in _each(value):
            yield from _split(raw, form, key)


def _split(raw: Json, form: Form, key: str) -> Iterator[tuple[str, Item]]:
    """One entry for each address an item has, each with all of the item's keys."""
    if isinstance(raw, str):
        if ADDRESS.match(raw):
            yield key, {"url": raw.strip()}
    elif isinstance(raw, dict):
        own = form.result_kind(raw) if form.result_kind is not None else None
        lacking = {name: select(raw) for name, select in form.attributes.items() if raw.get(name) in (None, "")}
        item = {**raw, **{name: value for name, value in lacking.items() if value is not None}}
        urls = [(name, url.strip()) for name in form.result_urls if isinstance(url := raw.get(name), str)]
        for name, url in [each for each in urls if each[1]]:
            kind = form.result_urls[name]
            named = own if isinstance(own, str) and _kind(key) is None else key
            yield named if kind == "any" else kind, {**item, "url": url}


def _text(raw: Json) -> Iterator[tuple[str, Item]]:
    text = raw.get("text") if isinstance(raw, dict) else raw
    if isinstance(text, str) and text.strip():
        yield "texts", {**raw, "text": text} if isinstance(raw, dict) else {"text": text}


def _walked(value: Json) -> Iterator[tuple[str, Item]]:
    """Every address in a value of any shape, depth first; without one, the value itself as text."""
    urls = list(_addresses(value, ""))
    if urls:
        yield from urls
    elif isinstance(value, str):
        yield from _text(value)
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        yield from _text("".join(value))  # tokens of a language model
    elif value is not None and value != [] and value != {}:
        yield from _text(orjson.dumps(value).decode())


def _addresses(value: Json, key: str) -> Iterator[tuple[str, Item]]:
    if isinstance(value, str):
        if value.startswith(("https://", "http://", "data:")):
            yield ("" if _kind_of_file(value) else key), {"url": value.strip()}
        return
    inner = (
        value.items() if isinstance(value, dict) else [(key, each) for each in value] if isinstance(value, list) else []
    )
    for name, each in inner:
        yield from _addresses(each, name)


def _each(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else [value]


def _kind(key: str) -> str | None:
    plural = key.strip().casefold().removesuffix("s") + "s"
    return plural if plural in KINDS else None


def _kind_of_file(url: str) -> str | None:
    return EXTENSIONS.get(PurePosixPath(re.split(r"[?#]", url, maxsplit=1)[0]).suffix.lower())


def _kind_of_action(action: str | None) -> str | None:
    return _kind((action or "").partition("/")[0])


def _why_refused(url: str, own_host: str) -> str | None:
    if url.startswith("data:"):
        return "data within the answer, not kept"
    return why_refused(url, own_host=own_host)


def _shown(url: str) -> str:
    """An URL for people: without its query, where signatures stand, and without user info."""
    if url.startswith("data:"):
        return one_line(url.partition(",")[0], 40)
    return one_line(re.sub(r"//[^/?#]*@", "//***@", re.split(r"[?#]", url, maxsplit=1)[0]), 80) or "(empty)"
