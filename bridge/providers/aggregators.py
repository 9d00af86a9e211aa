"""Status words, keys of results and reasons, and refusals that aggregators use for all vendors.

The words and keys are in `aggregators.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridge.config.yaml import plain_yaml
from bridge.domain.task import Json, ReadingKind
from bridge.providers.json_values import opened
from bridge.providers.task_rules import listed

SEPARATORS: Final = re.compile(r"[\s_-]+")


def fold(word: str) -> str:
    """A word in a form for comparisons: lower case, without spaces, hyphens and underscores. A number keeps its
    sign."""
    folded = word.strip().casefold()
    return SEPARATORS.sub("", folded) if folded.strip("-0123456789") else folded


def _kinds(groups: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The kind for each key, "" for any kind."""
    named = ((kind, keys) for group in groups for kind, keys in group.items())
    return {key: "" if kind == "any" else kind for kind, keys in named for key in keys.split()}


_DATA: Final[Any] = plain_yaml(Path(__file__).with_suffix(".yaml"))

WORDS: Final = {fold(word): ReadingKind(kind) for kind, words in _DATA["words"].items() for word in words.split()}
"""The meaning of each normalized status word."""

_SURE: Final = _kinds(_DATA["results"])
_PERHAPS: Final = _kinds(_DATA["perhaps_input"])
_INPUT: Final = _kinds(_DATA["input_of_videos"])
_IN_OUTPUTS: Final = _kinds(_DATA["inside_outputs"])
_OUTPUTS, _CONTAINERS, _ADDRESSES, STATUSES, _REASONS, _MESSAGES = (
    tuple(_DATA[name].split()) for name in ("outputs", "containers", "addresses", "statuses", "reasons", "messages")
)
_ACCOUNT_TROUBLES: Final = {
    ReadingKind.ACCOUNT_ERROR: tuple(map(fold, f"{_DATA['no_credit']} {_DATA['used_up']}".split())),
    ReadingKind.AUTH_ERROR: tuple(map(fold, _DATA["wrong_key"].split())),
}
_TOO_MANY: Final = tuple(map(fold, _DATA["too_many"].split()))
_OUTPUT_CONTAINERS: Final = tuple(name for name in _CONTAINERS if name != "metadata")
_ADDRESS_KEYS: Final = frozenset(_ADDRESSES)
_REASON_KEYS: Final = frozenset(_REASONS)
_MESSAGE_KEYS: Final = frozenset({*_REASONS, *_MESSAGES})
# Until 2025, new-api put the address where failures have their reason.
ADDRESSED: Final = (
    "http://",
    "https://",
    "data:",
)
DEPTH: Final = 2  # maximum depth of nested objects


class ResultCandidate(NamedTuple):
    """What an aggregator may have sent as a result: its kind ("": unknown), and addresses, or items with a `url`."""

    kind: str
    values: tuple[Json, ...]


def reasons(task: Mapping[str, Json]) -> list[Json]:
    """The reasons why a task has no result."""
    if _REASON_KEYS.isdisjoint(task):  # true for most answers about a running task
        return []
    return [task[key] for key in _REASONS if task.get(key)]


def messages(task: Mapping[str, Json]) -> list[Json]:
    """The messages about a task, reasons first."""
    if not any(map(task.get, _MESSAGE_KEYS.intersection(task))):  # true for most answers about a running task
        return []
    return [*reasons(task), *(task[key] for key in _MESSAGES if task.get(key))]


def account_trouble(texts: Sequence[str]) -> ReadingKind | None:
    """What the texts and codes of a refusal say about the account; None if they are about something else."""
    folded = [fold(text) for text in texts]
    for kind, phrases in _ACCOUNT_TROUBLES.items():
        if any(phrase in text for text in folded for phrase in phrases):
            return kind
    return None


def are_too_many(texts: Sequence[str]) -> bool:
    """Whether the texts and codes of a refusal say that there were too many requests."""
    return any(phrase in text for text in map(fold, texts) for phrase in _TOO_MANY)


def result_candidates(task: Json, *, makes: str) -> Iterator[ResultCandidate]:
    """Possible results, in the order of preference: at the top level of the task, then inside. `makes` is the expected
    kind of results."""
    values = (task, *_inside(task, DEPTH))
    # The metadata of a task that makes videos repeats its input.
    outputs = (task, *_inside(task, DEPTH, _OUTPUT_CONTAINERS)) if makes == "videos" else values
    for keys, places in ((_SURE, values), (_PERHAPS, outputs), *(() if makes == "videos" else ((_INPUT, values),))):
        for value in places:
            yield from _in_list(value, keys) if isinstance(value, list) else _in_object(value, keys)
    for value in values:
        for key in _OUTPUTS if isinstance(value, dict) else ():
            yield from _in_object(value.get(key), _IN_OUTPUTS)
    reason = task.get("fail_reason") if isinstance(task, dict) else None
    if isinstance(reason, str) and reason.startswith(ADDRESSED):
        yield ResultCandidate("", (reason,))


def without_address(task: Json) -> Iterator[dict[str, Json]]:
    """Items of result lists that contain no address."""
    for value in (task, *_inside(task, DEPTH)):
        held = [value.get(key) for key in (*_SURE, *_PERHAPS, *_INPUT)] if isinstance(value, dict) else [value]
        for items in (each for each in held if isinstance(each, list)):
            yield from (item for item in items if isinstance(item, dict) and not any(_addressed(item)))


def _inside(value: Json, depth: int, containers: Sequence[str] = _CONTAINERS) -> Iterator[Json]:
    """The objects and lists that may contain results. An object with a status of its own is a vendor's answer, and is
    read as one."""
    for key in containers if isinstance(value, dict) else ():
        inner = opened(value.get(key))
        objects = (item for item in listed(inner) if isinstance(item, dict))
        if inner is not None and not any(item.get(name) for item in objects for name in STATUSES):
            yield inner
            if depth > 1:
                yield from _inside(inner, depth - 1, containers)


def _in_object(value: Json, keys: Mapping[str, str]) -> Iterator[ResultCandidate]:
    for key, kind in keys.items() if isinstance(value, dict) else ():
        if values := tuple(_addressed(value.get(key))):
            yield ResultCandidate(kind, values)


def _in_list(items: list[Json], keys: Mapping[str, str]) -> Iterator[ResultCandidate]:
    """For each key that any item has: the values of all items for this key, with their other keys."""
    named = {key for item in items if isinstance(item, dict) for key in item}
    for key in filter(named.__contains__, keys):
        those = [item for item in items if isinstance(item, dict) and isinstance(item.get(key), str)]
        if values := tuple(_addressed([{**item, "url": item[key]} for item in those])):
            yield ResultCandidate(keys[key], values)


def _addressed(value: Json) -> Iterator[Json]:
    """The addresses in a value: the text itself, or the value of the first key of an object that contains an
    address."""
    for each in listed(opened(value)):
        if isinstance(each, str) and each.strip():
            yield each
        elif isinstance(each, dict) and not _ADDRESS_KEYS.isdisjoint(each):
            held: list[str] = next(filter(None, (_texts(each[key]) for key in _ADDRESSES if key in each)), [])
            yield from ({**each, "url": text} for text in held)


def _texts(value: Json) -> list[str]:
    return [text for text in listed(value) if isinstance(text, str) and text.strip()]
