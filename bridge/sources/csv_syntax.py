"""CSV as spreadsheets write it: a header row with the keys of a task, or one column of ids."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from bridge.domain.id_rule import TASK_KEYS
from bridge.domain.quoting import quoted
from bridge.sources.entry import MAX_TASK_CHARS, NO_TASK, Entry, SyntaxProblem, lines_of, too_long
from bridge.sources.json_syntax import parse_json
from bridge.sources.task_reader import TaskProblem, check_keys

_DELIMITERS: Final = ",;\t"
_PIPED: Final = "| does not separate cells: use commas, semicolons or tabs, or put an id that contains | in quotes"
_OLD_MAC: Final = "a line ends with CR alone; save the file with LF or CRLF, e.g. as CSV UTF-8"
_HEADINGS: Final = frozenset({"task_id", "taskid", "task id", "task", "ids", "tasks"})
_NAMES: Final = re.compile(r"[,;|\s]+")  # separators of endpoints in a cell

csv.field_size_limit(MAX_TASK_CHARS)


class _Row(NamedTuple):
    line: int
    text: str
    cells: Sequence[str]

    @property
    def is_piped(self) -> bool:
        """Whether its only cell looks like several, separated by |. In quotes, | is part of the id."""
        return len(self.cells) == 1 and "|" in self.cells[0] and not self.text.lstrip().startswith('"')


def read_csv(data: bytes) -> Iterator[Entry]:
    """The tasks of a `.csv` file. The file is read twice, because it must be valid to its end before any task
    counts."""
    delimiter = _delimiter(data)
    first = None
    for row in _rows(data, delimiter):
        first = first or row
    if first is None:
        raise SyntaxProblem(1, NO_TASK)
    if first.is_piped:
        raise SyntaxProblem(first.line, _PIPED)
    columns = _columns(first)
    for row in _rows(data, delimiter):
        if columns is None:
            yield _entry(row, ("id",), "")
        elif row != first:
            yield _entry(row, columns, first.text)


def _delimiter(data: bytes) -> str:
    """The separator of cells in the first row: the one that gives the most keys, then the most cells."""
    first = next((line.decode() for line in lines_of(data) if line.strip()), "")

    def score(delimiter: str) -> tuple[int, int]:
        cells = first.lower().split(delimiter)
        return sum(cell.strip(' \t\r\n"') in TASK_KEYS for cell in cells), len(cells)

    return max(_DELIMITERS, key=score)


def _rows(data: bytes, delimiter: str) -> Iterator[_Row]:
    """The rows that are not blank; SyntaxProblem if it is not CSV."""
    held: list[str] = []  # the lines of the current row

    def lines() -> Iterator[str]:
        for raw in lines_of(data):
            held.append(raw.decode())
            yield held[-1]

    line = 1
    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            why = _OLD_MAC if str(error).startswith("new-line") else f"not CSV: {error}"
            raise SyntaxProblem(line, why) from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield _Row(line, "".join(held).rstrip("\r\n"), cells)
        line = reader.line_num + 1
        held.clear()


def _columns(first: _Row) -> tuple[str, ...] | None:
    """The task keys of the columns, from the first row; None if that row already contains an id."""
    names = tuple(cell.strip().lower() for cell in first.cells)
    known = [name for name in names if name in TASK_KEYS]
    if not known and len(names) == 1 and names[0] not in _HEADINGS:
        return None
    if len(set(known)) < len(known):
        raise SyntaxProblem(first.line, f"the column {quoted(max(known, key=known.count))} is there twice")
    if "id" not in names:
        raise SyntaxProblem(first.line, f"the first row must name the columns, one of them id: {', '.join(TASK_KEYS)}")
    try:
        check_keys(filter(None, names))
    except TaskProblem as problem:
        raise SyntaxProblem(first.line, str(problem)) from None
    return names


def _entry(row: _Row, columns: Sequence[str], head: str) -> Entry:
    if problem := too_long(len(row.text)):
        return Entry(line=row.line, text=None, head=head, problem=problem)
    if row.is_piped:
        return Entry(line=row.line, text=row.text, head=head, problem=_PIPED)
    if any(cell.strip() for cell in row.cells[len(columns) :]):
        problem = f"{len(row.cells)} cells, but {len(columns)} {'columns' if head else 'column of ids'}"
        return Entry(line=row.line, text=row.text, head=head, problem=problem)
    task = {
        name: _value(name, cell)
        for name, cell in zip(columns, row.cells, strict=False)
        if name == "id" or (name and cell.strip())
    }
    return Entry(line=row.line, text=row.text, head=head, value=task if head else task["id"])


def _value(name: str, cell: str) -> Any:
    """The value of a cell for its key. If it cannot be converted, it stays text, which is then rejected with the
    reason."""
    text = cell.strip()
    if name == "endpoints" and not text.startswith("["):
        return _NAMES.split(text)
    if name in {"meta", "endpoints"}:
        try:
            return parse_json(text)
        except ValueError:
            return text
    return text
