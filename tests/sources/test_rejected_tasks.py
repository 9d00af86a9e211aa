"""The rejected tasks of a file, and the reasons."""

from __future__ import annotations

import pytest

from bridge.sources.entry import Entry
from bridge.sources.rejects import RejectedTasks
from tests.sources.task_file_reading import read, values

NESTED = """\
tasks:
  - id: a
    meta:
      n: |
        two

        lines
    # why
  - b # c
  - {id: c,
   d: e}
"""


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("a\nb\n", ".txt"),
        ('"a"\n{"id": "b"}\n', ".jsonl"),
        ('["a",\n {"id": "b",\n  "meta": {}}, 3]', ".json"),
        (NESTED, ".yaml"),
        ("[a, {id: b,\n c: d}, 'e\n f']", ".yml"),
        ("- &x a\n- [*x]\n", ".yaml"),
        ("id: a\nlabel: b\n---\nc\n", ".yaml"),
    ],
)  # fmt: skip
def test_the_rest_is_a_file_of_the_same_form(text: str, suffix: str) -> None:
    entries = read(text, suffix)
    rest = RejectedTasks(suffix)
    for entry in entries:
        rest.add(entry, "no")
    assert values(rest.data(), suffix) == [entry.value for entry in entries]
    again = [entry.line for entry in read(rest.data(), suffix)]
    if suffix in {".yaml", ".yml"}:
        again = [line for line, text in enumerate(rest.data().splitlines(), 1) if text.startswith(b"-")]
    tasks = [f", task {entry.number}," if entry.number else "" for entry in entries]
    was = {
        line: "" if line == entry.line and not task else f" (line {entry.line}{task} of the dropped file)"
        for line, entry, task in zip(again, entries, tasks, strict=True)
    }
    assert rest.reason("n", whole=False) == "".join(f"n:{line}: no{was[line]}\n" for line in again)
    assert rest.reason("n", whole=True) == "".join(f"n:{entry.line}: {entry.said('no')}\n" for entry in entries)


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ('["a", "b",\n"c", "d",\n"e"]', ".json", [(1, 1), (1, 2), (2, 3), (2, 4), (3, 0)]),
        ('{"tasks": ["a", {"id": "b"}]}', ".json", [(1, 1), (1, 2)]),
        ('["a"]', ".json", [(1, 0)]),
        ("[a, {id: b}]\n", ".yaml", [(1, 1), (1, 2)]),
        ("- a\n- {id: b}\n", ".yaml", [(1, 0), (2, 0)]),
        ("a\nb\n", ".txt", [(1, 0), (2, 0)]),
    ],
)
def test_tasks_that_share_a_line_have_numbers(text: str, suffix: str, expected: list[tuple[int, int]]) -> None:
    assert [(entry.line, entry.number) for entry in read(text, suffix)] == expected


def test_reasons_are_counted_where_there_are_too_many() -> None:
    rest = RejectedTasks(".txt")
    for line in range(1000):
        rest.add(Entry(line=line + 1, text="x"), "no")
    assert rest.reason("n", whole=True).endswith("n:100: no\n... and 900 more\n")
