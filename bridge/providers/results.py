"""Collects the results of a task that has succeeded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from bridge.domain.answer_file import AnswerFile
from bridge.domain.public_addresses import NO_HOSTS, AllowedHosts
from bridge.domain.result_facts import RESULT_KINDS, kind_of_file
from bridge.domain.result_urls import why_refused
from bridge.domain.task import Json
from bridge.expressions.pattern import Pattern
from bridge.providers.aggregators import result_candidates, without_address
from bridge.providers.answer_form import Form, OwnFiles, Results
from bridge.providers.json_values import as_code, as_message, inline_file, one_line, without_files
from bridge.providers.selector import selected
from bridge.providers.task_requests import content_url
from bridge.providers.task_rules import listed

ADDRESS: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*:|/)")  # a text without one is not a result URL
CLOUD: Final = ("gs://", "s3://")  # only a cloud account can read these
MOST_LOST: Final = 1000  # items whose reasons are read, because an answer may have 300,000 empty ones

Item = dict[str, Json]  # the provider's keys, and `url` (a text has `text`; base64 inside the answer has `embedded`)
Items = Iterator[tuple[str, Item]]  # each with the key that it was found under


class PollContext(NamedTuple):
    """The poll: the task, its action, the account. `now` is genbridge's clock, in seconds since the epoch."""

    task_id: str
    action: str | None
    base_url: str = ""
    now: float = math.inf
    allowed: AllowedHosts = NO_HOSTS  # private hosts that result URLs may use, in addition to the account's own host

    @property
    def own_host(self) -> str:
        return urlsplit(self.base_url).hostname or ""


class MissingResult(NamedTuple):
    """Why an item has no result, and its error code."""

    why: str
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The results, and why others were refused. If all fields are empty, no result was found. `lost` are the reasons in
    items without a result. `files` are the contents of items without an address."""

    result: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    lost: tuple[MissingResult, ...] = ()
    files: tuple[AnswerFile, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.result and not self.refused


class _Collector:
    """Collects the results of one place, without repetition."""

    def __init__(self, form: Form, asked: PollContext) -> None:
        self._form = form
        self._action = asked.action
        self.items: dict[str, tuple[str, Item]] = {}
        self.files: dict[str, str] = {}  # the encoded files, by the keys of their items

    def add(self, key: str, item: Item) -> None:
        """Add an item that has `url`, `text` or `embedded` (base64), and the key that it was found under."""
        held = "url" if "url" in item else "text" if "text" in item else "embedded"
        file = inline_file(item[held], expected=held == "embedded")
        if file is not None:
            others = {name: value for name, value in item.items() if value != item[held]}
            kind = _kind(key) or _kind(file.media_type.partition("/")[0]) or _usual_kind(self._form, self._action)
            place = f"file {len(self.items)}"
            self.items[place], self.files[place] = (kind, {**others, **file.item}), item[held]
        elif held == "text":
            self.items.setdefault(f"text {item['text']}", ("texts", item))
        elif url := _without_blanks(item["url"]):
            kind = _kind(key) or kind_of_file(url) or _usual_kind(self._form, self._action)
            self.items.setdefault(url, (kind, {**item, "url": url}))


def collect(
    form: Form, task: Mapping[str, Json], *, asked: PollContext, needs_key: Pattern | None = None, is_sure: bool = True
) -> Collected:
    """The results from the first place of the form that has any.

    The kind of a result comes from its key or from the item itself, then from the file extension, then from the action.
    A repeated URL is skipped, and so is an empty one. Results that need the key are marked. Paths on the account's own
    server (`content`) count only if `is_sure`, which means that nothing in the answer says that the result is missing.
    """
    places = [place for place in form.results if is_sure or not place.content]
    results = _found(places, form, task, asked)
    for place, found in results:
        whole = _whole(found, results)
        return _sifted(whole, asked, needs_key, lost=_said_of_lost(place, form, task))
    missing = [lost for place in places for lost in _said_of_lost(place, form, task)]
    return Collected(lost=tuple(dict.fromkeys(missing)))


def _found(
    places: Sequence[Results], form: Form, task: Mapping[str, Json], asked: PollContext
) -> Iterator[tuple[Results, _Collector]]:
    """Each place that has enough, with what it has."""
    for place in places:
        for alternative in _alternatives(place, form, task, asked):
            found = _Collector(form, asked)
            for key, item in alternative:
                found.add(key, item)
            if len(found.items) >= place.at_least:
                yield place, found


def _whole(found: _Collector, others: Iterator[tuple[Results, _Collector]]) -> _Collector:
    """The whole list, if `found` is only its first result: aggregators put the first in `output` and all in `outputs`.
    `others` are the later places. A place that selects the whole answer, or all files of a server, is not such a list.
    """
    if len(found.items) > 1 or found.files:
        return found
    lists = (each for place, each in others if place.walk is None and not place.content)
    return next((each for each in lists if found.items.keys() < each.items.keys()), found)


def _sifted(
    found: _Collector,
    asked: PollContext,
    needs_key: Pattern | None,
    *,
    lost: Sequence[MissingResult],
) -> Collected:
    result: dict[str, list[Item]] = {}
    refused: list[str] = []
    urls: list[str] = []
    files: list[AnswerFile] = []
    for url, (kind, held) in found.items.items():
        item = without_files(held)
        if (text := found.files.get(url)) is not None:
            files.append(AnswerFile(kind, len(result.get(kind, ())), text))
        if "url" not in item or url.startswith(CLOUD):
            result.setdefault(kind, []).append(item)
        elif (reason := why_refused(url, own_host=asked.own_host, allowed=asked.allowed)) is not None:
            refused.append(f"{_shown(url)}: {reason}")
        else:
            is_closed = needs_key is not None and needs_key.is_in(url)
            result.setdefault(kind, []).append({**item, "needs_key": True} if is_closed else item)
            urls.append(url)
    ordered: dict[str, list[Item]] = {kind: result[kind] for kind in RESULT_KINDS if kind in result}
    return Collected(
        result=ordered,
        urls=tuple(urls),
        refused=tuple(refused),
        lost=tuple(dict.fromkeys(lost)),
        files=tuple(files),
    )


def _alternatives(place: Results, form: Form, task: Mapping[str, Json], asked: PollContext) -> Iterator[Items]:
    """The items of a place. For `usual`: each candidate in turn."""
    yield _items(place, form, task, asked)
    if place.usual:
        for stands in result_candidates(task, makes=_usual_kind(form, asked.action)):
            yield _usual(stands.kind, stands.values, form)


def _usual(kind: str, values: Sequence[Json], form: Form) -> Items:
    for value in values:
        own = "" if isinstance(value, str) else _own_kind(value, form)
        for _, found in _split(value if isinstance(value, str) else value["url"], form, kind):
            yield kind or own, found if isinstance(value, str) else {**value, **found}


def _said_of_lost(place: Results, form: Form, task: Mapping[str, Json]) -> list[MissingResult]:
    """The reasons for a missing result in the items of this place."""
    values = [place.lists(task)] if place.lists is not None else []
    for selectors in place.addresses.values():
        values += selected(selectors, task)
    items = without_address(task) if place.usual else iter(())
    for value in values:
        lists = value.values() if isinstance(value, dict) else [value]
        those = (item for each in lists if isinstance(each, list) for item in each if isinstance(item, dict))
        items = chain(items, (item for item in those if not any(map(item.get, form.result_urls))))
    return [why for item in islice(items, MOST_LOST) if (why := _why(item))]


def _why(item: Item) -> MissingResult | None:
    """Why an item has no result: its own message or error code; None if it has neither."""
    said = as_message([item.get(key) for key in ("error", "error_message", "message", "reason", "metadata", "code")])
    error = item.get("error")
    own = error.get("code") if isinstance(error, dict) else None
    return (
        MissingResult(one_line(said, 200), as_code([item.get("code"), item.get("error_code"), own])) if said else None
    )


def _items(place: Results, form: Form, task: Mapping[str, Json], asked: PollContext) -> Items:
    """Each result of one place, with the key that shows its kind ("" if none does)."""
    yield from _named(place, form, task)
    for value in selected(place.texts, task):
        for raw in listed(value):
            yield from _text(raw)
    if place.lists is not None:
        yield from _lists(place.lists(task), form)
    if place.walk is not None:
        yield from _walked(place.walk(task))
    for key, content in place.content.items():
        yield from _own_files(key, content, task, asked)


def _own_files(
    key: str, content: str | OwnFiles, task: Mapping[str, Json], asked: PollContext
) -> Iterator[tuple[str, Item]]:
    given = {"id": asked.task_id, "action": asked.action or ""}
    if isinstance(content, str):
        yield key, {"url": content_url(asked.base_url, content, given)}
        return
    for raw in listed(content.each(task)):
        own = raw if isinstance(raw, dict) else {"value": raw}
        texts = {name: str(value) for name, value in own.items() if isinstance(value, str | int | float)}
        if texts:
            named = key if key != "any" else next(filter(None, map(kind_of_file, texts.values())), "")
            item = dict(raw) if isinstance(raw, dict) else {}
            yield named, {**item, "url": content_url(asked.base_url, content.path, {**given, **texts})}


def _named(place: Results, form: Form, task: Mapping[str, Json]) -> Items:
    """Addresses, and files inside the answer."""
    for key, selectors in place.addresses.items():
        for value in selected(selectors, task):
            for raw in listed(value):
                yield from _split(raw, form, key) if raw != "" else ()
    for value in selected(place.embedded, task):
        for raw in listed(value):
            if inline_file(raw, expected=True) is not None:
                yield "", {"embedded": raw}


def _lists(lists: Json, form: Form) -> Items:
    for key, value in lists.items() if isinstance(lists, dict) else [("", lists)]:
        if isinstance(value, str) and _kind(key) is None:
            continue  # an attribute next to the lists
        for raw in listed(value):
            yield from _split(raw, form, key)


def _split(raw: Json, form: Form, key: str) -> Items:
    """One entry for each address of an item, each with all keys of the item."""
    if isinstance(raw, str):
        if ADDRESS.match(raw) or inline_file(raw) is not None:
            yield key, {"url": raw.strip()}
    elif isinstance(raw, dict):
        lacking = {name: select(raw) for name, select in form.attributes.items() if raw.get(name) in (None, "")}
        item = {**raw, **{name: value for name, value in lacking.items() if value is not None}}
        texts = [(name, raw[name]) for name in form.result_urls if isinstance(raw.get(name), str)]
        urls = [(name, url) for name, text in texts if (url := text.strip())]
        if not urls and (file := next((each for each in raw.values() if inline_file(each) is not None), None)):
            yield key, {**item, "url": file}
        for name, url in urls:
            kind = form.result_urls[name]
            named = key if _kind(key) is not None else _own_kind(raw, form) or key
            yield named if kind == "any" else kind, {**item, "url": url}


def _text(raw: Json) -> Items:
    text = raw.get("text") if isinstance(raw, dict) else raw
    if isinstance(text, str) and text.strip():
        yield "texts", {**raw, "text": text} if isinstance(raw, dict) else {"text": text}


def _walked(value: Json) -> Items:
    """Every address in any value, depth first; without addresses, the value as text."""
    urls = list(_addresses(value, ""))
    if urls:
        yield from urls
    elif isinstance(value, str):
        yield from _text(value)
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        yield from _text("".join(value))  # tokens of a language model
    elif _holds_anything(value):
        yield from _text(orjson.dumps(value).decode())


def _holds_anything(value: Json) -> bool:
    """Whether a value has any content, and not only keys: `{"urls": []}` has none."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return value not in (None, "") if inner is None else any(map(_holds_anything, inner))


def _addresses(value: Json, key: str) -> Items:
    if isinstance(value, str):
        if (url := value.strip()).startswith(("https://", "http://", *CLOUD)):
            yield ("" if kind_of_file(url) else key), {"url": url}
        elif inline_file(value) is not None:
            yield key, {"url": value}
        return
    inner = (
        value.items() if isinstance(value, dict) else [(key, each) for each in value] if isinstance(value, list) else []
    )
    for name, each in inner:
        yield from _addresses(each, name)


def _without_blanks(url: str) -> str:
    """Some servers leave the blanks of a file name in its URL. Other texts with blanks only begin like a URL."""
    is_file = " " in url and url.startswith("http") and "://" not in url.partition(" ")[2] and kind_of_file(url)
    return url.replace(" ", "%20") if is_file else url


def _kind(key: str) -> str | None:
    plural = key.strip().casefold().removesuffix("s") + "s"
    return plural if plural in RESULT_KINDS else None


def _own_kind(item: Item, form: Form) -> str:
    """What an item with a URL says of its kind; "" for nothing. A file of text is not a text."""
    own = form.result_kind(item)
    kind = _kind(own.partition("/")[0]) if isinstance(own, str) else None
    return kind if kind is not None and kind != "texts" else ""


def _usual_kind(form: Form, action: str | None) -> str:
    """The kind of results that nothing else shows."""
    return _kind((action or "").partition("/")[0]) or form.otherwise


def _shown(url: str) -> str:
    """A URL for people: without user info and without the query, which may contain a signature."""
    return one_line(re.sub(r"//[^/?#]*@", "//***@", re.split(r"[?#]", url, maxsplit=1)[0]), 80) or "(empty)"
