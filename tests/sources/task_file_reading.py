"""Functions that read a file of tasks in tests."""

from __future__ import annotations

from typing import Any

from bridge.sources.entry import Entry
from bridge.sources.task_files import SUFFIXES, read_tasks

FORMS = sorted(SUFFIXES)


def read(text: str | bytes, suffix: str, **options: Any) -> list[Entry]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_tasks(data, suffix, **options))


def values(text: str | bytes, suffix: str) -> list[Any]:
    entries = read(text, suffix)
    assert [entry.problem for entry in entries] == [None] * len(entries)
    return [entry.value for entry in entries]


def only_problem(text: str | bytes, suffix: str, **options: Any) -> tuple[int, str]:
    entry, *more = read(text, suffix, **options)
    assert not more
    assert entry.problem is not None
    assert entry.problem.isprintable()
    return entry.line, entry.problem
