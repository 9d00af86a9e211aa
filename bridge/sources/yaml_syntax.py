"""YAML task files, read task by task: every scalar is text, and at most one task is in memory.

`bridge.config.yaml` builds each task from the parser's events and rejects what is not allowed in it, so an invalid task
does not affect the others. Aliases may refer to another task in the same document.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml

from bridge.config.yaml import LOADER, AliasProblem, Composer, YamlProblem
from bridge.config.yaml_nodes import Node, Pairs, as_free, as_text
from bridge.sources.entry import NO_TASK, NOT_A_LIST, WINDOW_BYTES, Entry, SyntaxProblem, numbered, too_long

_OPENS: Final = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSES: Final = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
_NULLS: Final = frozenset({"", "~", "null"})
_EXPLAINED_BYTES: Final = 1024 * 1024  # in a larger file, the likely cause of a syntax error is not determined
_MAX_DEPTH: Final = 1000  # nesting of a rejected task; deeper nesting makes the whole file invalid

Events = Iterator[Any]


class _Task(NamedTuple):
    """One task: its value, and its beginning and end in characters."""

    start: int
    end: int
    line: int
    column: int  # from 0
    node: Node | None
    problem: str | None
    is_linked: bool  # has anchors or aliases, so its text alone may be meaningless


class _Text:
    """Extracts pieces of UTF-8 text in increasing order, without decoding the file as a whole."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0
        self._chars = 0  # number of characters before the offset

    def cut(self, start: int, end: int) -> str:
        """The characters from `start` to `end`. `start` must not be before that of the previous call."""
        while left := start - self._chars:
            passed = self._decoded(min(left, WINDOW_BYTES))
            self._offset += len(passed.encode())
            self._chars += len(passed)
        return self._decoded(end - start)

    def _decoded(self, chars: int) -> str:
        data = self._data[self._offset : self._offset + 4 * chars]
        return data.decode(errors="ignore")[:chars]  # the last character may be incomplete


def read_yaml(data: bytes, *, lists_only: bool) -> Iterator[Entry]:
    """The tasks of a `.yaml` file: in each document a list, a mapping whose only key is `tasks`, or one task."""
    for _ in _tasks(data, lists_only=lists_only):
        pass  # the file must be valid to its end before any of its tasks counts
    text = _Text(data)
    yield from numbered(_entry(text, task) for task in _tasks(data, lists_only=lists_only))


def _tasks(data: bytes, *, lists_only: bool) -> Iterator[_Task]:
    composer, events, is_empty = Composer("tasks"), yaml.parse(data, Loader=LOADER), True
    try:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                composer.forget_anchors()
                if not _is_null(root := next(events)):
                    is_empty = False
                    yield from _document(root, events, composer, lists_only=lists_only)
    except yaml.reader.ReaderError as error:
        line = data.count(b"\n", 0, error.position) + 1
        raise SyntaxProblem(line, "a control character, which YAML does not allow") from None
    except yaml.YAMLError as error:
        text = data.decode() if len(data) <= _EXPLAINED_BYTES else ""
        raise _whole(composer.syntax_problem(error, text)) from None
    if is_empty:
        raise SyntaxProblem(1, NO_TASK)


def _whole(problem: YamlProblem) -> SyntaxProblem:
    return SyntaxProblem(problem.line, f"{problem.message} (column {problem.column})")


def _document(root: Any, events: Events, composer: Composer, *, lists_only: bool) -> Iterator[_Task]:
    if isinstance(root, yaml.SequenceStartEvent):
        yield from _items(root, events, composer)
        return
    if isinstance(root, yaml.MappingStartEvent):
        key = next(events)
        if isinstance(key, yaml.ScalarEvent) and key.value == "tasks":
            yield from _under_key(next(events), events, composer)
            return
        events = itertools.chain([key], events)
    if lists_only:
        raise SyntaxProblem(root.start_mark.line + 1, NOT_A_LIST)
    yield _task(root, events, composer)


def _under_key(tasks: Any, events: Events, composer: Composer) -> Iterator[_Task]:
    if not isinstance(tasks, yaml.SequenceStartEvent):
        raise SyntaxProblem(tasks.start_mark.line + 1, NOT_A_LIST)
    yield from _items(tasks, events, composer)
    after = next(events)
    if not isinstance(after, yaml.MappingEndEvent):
        raise SyntaxProblem(after.start_mark.line + 1, "other keys besides `tasks`")


def _items(root: Any, events: Events, composer: Composer) -> Iterator[_Task]:
    try:
        composer.check_tag(root)
    except YamlProblem as problem:
        raise _whole(problem) from None
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            return
        yield _task(event, events, composer)


def _task(first: Any, events: Events, composer: Composer) -> _Task:
    """Read the task that begins with this event, and its further events, even after a mistake in it."""
    begin = first.start_mark
    line, event, depth, problem, is_linked = begin.line + 1, first, 0, None, False
    while True:
        if problem is None:
            try:
                composer.add_event(event)
            except AliasProblem as error:
                raise _whole(error) from None
            except YamlProblem as error:
                line, problem = error.line, error.message
            problem = problem or too_long(event.end_mark.index - begin.index)
        is_linked = is_linked or getattr(event, "anchor", None) is not None
        depth += isinstance(event, _OPENS) - isinstance(event, _CLOSES)
        if depth == 0:
            break
        if depth > _MAX_DEPTH:
            raise SyntaxProblem(line, problem or "nested too deeply")
        event = next(events)
    return _Task(begin.index, event.end_mark.index, line, begin.column, composer.take(), problem, is_linked)


def _is_null(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value.lower() in _NULLS


def _entry(text: _Text, task: _Task) -> Entry:
    if problem := too_long(task.end - task.start):
        return Entry(line=task.line, text=None, problem=problem)
    raw = _as_item(text.cut(task.start, task.end).rstrip(" \t\r\n"), task.column)
    if task.problem is not None:
        return Entry(line=task.line, text=raw, problem=task.problem)
    assert task.node is not None
    value = as_text(task.node)
    if isinstance(task.node, Pairs) and "meta" in task.node.values:
        value["meta"] = as_free(task.node.values["meta"])
    return Entry(line=task.line, text=json.dumps(value, ensure_ascii=False) if task.is_linked else raw, value=value)


def _as_item(raw: str, column: int) -> str:
    """The text of the task in a form that can follow `- ` at the beginning of a line."""
    if "\n" not in raw:
        return raw
    first, *rest = raw.split("\n")
    margin = " " * column
    if all(line.startswith(margin) or not line.strip() for line in rest):
        return "\n".join([first, *(f"  {line[column:]}" if line.strip() else "" for line in rest)])
    return "\n".join(["", *(f"  {line}" for line in (margin + first, *rest))])
