"""YAML as people write tasks in it: every scalar text, cut into tasks before any is composed.

The parser's events say where each task begins and ends; each is then read alone by `bridge.config.yaml`, which knows
the traps. So memory stays in bounds, and a task with a key twice leaves the others. Aliases may reach from one task
into another: a file that has any is composed whole.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml

from bridge.config.yaml import (
    MAX_DEPTH,
    Items,
    Node,
    Pairs,
    YamlProblem,
    as_free,
    as_text,
    read_documents,
)
from bridge.sources.entry import MAX_TASK_CHARS, NO_TASK, NOT_A_LIST, Entry, FormProblem, too_long

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENS: Final = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSES: Final = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
_MAYBE_NULL: Final = frozenset({"", "~", "null"})
_PLACE: Final = re.compile(r"(first|begun) in line ([0-9]+)")
_OTHER_KEYS: Final = "other keys beside `tasks`"


class _Cut(NamedTuple):
    """Where one task stands; `scalar` is its text when it is a scalar without traps."""

    start: int
    end: int
    line: int  # from 0
    column: int  # from 0
    scalar: str | None


class _NeedsWhole(Exception):
    """This file cannot be cut: it has aliases, a tag on its list, or is nested too deeply."""


def read_yaml(text: str, *, lists_only: bool) -> Iterator[Entry]:
    """The tasks of a `.yaml` file: in each document a list, a mapping whose only key is `tasks`, or one task."""
    try:
        for _ in _cuts(text, lists_only=lists_only):
            pass  # first whether the file is sound to its end
    except (yaml.YAMLError, _NeedsWhole):
        yield from _composed(text, lists_only=lists_only)
        return
    for cut in _cuts(text, lists_only=lists_only):
        yield _entry(text, cut)


def _cuts(text: str, *, lists_only: bool) -> Iterator[_Cut]:
    events = yaml.parse(text, Loader=_LOADER)
    holds_any = False
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            root = next(events)
            if _is_null(root):
                continue
            holds_any = True
            yield from _document(root, events, lists_only=lists_only)
    if not holds_any:
        raise FormProblem(1, NO_TASK)


def _document(root: Any, events: Iterator[Any], *, lists_only: bool) -> Iterator[_Cut]:
    if isinstance(root, _OPENS) and root.tag is not None:
        raise _NeedsWhole
    if isinstance(root, yaml.SequenceStartEvent):
        yield from _items(events)
        return
    if isinstance(root, yaml.MappingStartEvent):
        key = next(events)
        if isinstance(key, yaml.ScalarEvent) and key.value == "tasks":
            yield from _under_key(events)
            return
        events = itertools.chain([key], events)
    if lists_only:
        raise FormProblem(root.start_mark.line + 1, NOT_A_LIST)
    yield _cut(root, events)


def _under_key(events: Iterator[Any]) -> Iterator[_Cut]:
    tasks = next(events)
    if isinstance(tasks, yaml.AliasEvent) or tasks.tag is not None:
        raise _NeedsWhole
    if not isinstance(tasks, yaml.SequenceStartEvent):
        raise FormProblem(tasks.start_mark.line + 1, NOT_A_LIST)
    yield from _items(events)
    after = next(events)
    if not isinstance(after, yaml.MappingEndEvent):
        raise FormProblem(after.start_mark.line + 1, _OTHER_KEYS)


def _items(events: Iterator[Any]) -> Iterator[_Cut]:
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            return
        yield _cut(event, events)


def _cut(first: Any, events: Iterator[Any]) -> _Cut:
    """The task that begins with this event; takes its further events."""
    last, depth = first, 0
    while True:
        if isinstance(last, _OPENS):
            depth += 1
        elif isinstance(last, _CLOSES):
            depth -= 1
        if depth > MAX_DEPTH or isinstance(last, yaml.AliasEvent):
            raise _NeedsWhole
        if depth == 0:
            break
        last = next(events)
    begin = first.start_mark
    is_simple = last is first and first.tag is None and first.value.lower() not in _MAYBE_NULL
    return _Cut(begin.index, last.end_mark.index, begin.line, begin.column, first.value if is_simple else None)


def _is_null(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value.lower() in _MAYBE_NULL


def _entry(text: str, cut: _Cut) -> Entry:
    raw = text[cut.start : cut.end].rstrip()
    line, item = cut.line + 1, _as_item(raw, cut.column)
    if cut.scalar is not None:
        return Entry(line=line, text=item, value=cut.scalar)
    if len(raw) > MAX_TASK_CHARS:
        return Entry(line=line, text=item, problem=too_long(len(raw)))
    try:
        documents = read_documents(" " * cut.column + raw, name="task")
    except YamlProblem as problem:
        message = _PLACE.sub(lambda found: f"{found[1]} in line {int(found[2]) + cut.line}", problem.message)
        return Entry(line=problem.line + cut.line, text=item, problem=message)
    return Entry(line=line, text=item, value=_value(documents[0]) if documents else None)


def _as_item(raw: str, column: int) -> str:
    """The task as it can stand behind `- ` at the left edge."""
    if "\n" not in raw:
        return raw
    first, *rest = raw.split("\n")
    margin = " " * column
    if all(line.startswith(margin) or not line.strip() for line in rest):
        return "\n".join([first, *(f"  {line[column:]}" if line.strip() else "" for line in rest)])
    return "\n".join(["", *(f"  {line}" for line in (margin + first, *rest))])


def _value(node: Node) -> Any:
    value = as_text(node)
    if isinstance(node, Pairs) and "meta" in node.values:
        value["meta"] = as_free(node.values["meta"])
    return value


def _composed(text: str, *, lists_only: bool) -> Iterator[Entry]:
    try:
        documents = read_documents(text, name="tasks")
    except YamlProblem as problem:
        raise FormProblem(problem.line, f"{problem.message} (column {problem.column})") from None
    nodes = [node for document in documents for node in _task_nodes(document, lists_only=lists_only)]
    for node in nodes:
        value = _value(node)
        yield Entry(line=node.line, text=json.dumps(value, ensure_ascii=False), value=value)


def _task_nodes(root: Node, *, lists_only: bool) -> list[Node]:
    if isinstance(root, Pairs) and "tasks" in root.values:
        if len(root.values) > 1:
            raise FormProblem(root.line, _OTHER_KEYS)
        root, lists_only = root.values["tasks"], True
    if isinstance(root, Items):
        return list(root.items)
    if lists_only:
        raise FormProblem(root.line, NOT_A_LIST)
    return [root]
