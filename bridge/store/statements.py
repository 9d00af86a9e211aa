"""The SQL statements, for both engines, in files with a name and a description for each.

-- name: description
statement

-- name (account, number int): description of a statement for many rows, with the columns of `{new}`
statement

-- name -> account, phase: description of a query for these columns; SELECT and the columns are added before it
FROM ...

A statement is plain SQL, plus:

:name             a value
(:name[])         after IN or NOT IN: the values of a list
{new}             the given rows, as a table
{in order}        at the end of an INSERT from `{new}`: in the order of the rows
{sqlite: ...}     for SQLite only
{postgres: ...}   for PostgreSQL only; mostly row locks, as SQLite has one writer at a time
{other}           an earlier statement or part of the file; `{file.other}`: of another file
{columns}         the columns of `{new}` that have no type of their own
{other = new}     the columns of an earlier part, each set to that of `{new}`; also `excluded`, after ON CONFLICT

Further lines that begin with `--` are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

LIST: Final = re.compile(r"\b(NOT )?IN \(:(\w+)\[\]\)")
VALUE: Final = re.compile(r"(?<!:):([a-z]\w*)")

_FOLDER: Final = Path(__file__).parent / "sql"
_ENTRY: Final = re.compile(r"^-- (\w+)(?: \((.*?)\))?(?: -> (.*?))?: .*$", re.MULTILINE)
_REMARK: Final = re.compile(r"^--.*$", re.MULTILINE)
_PART: Final = re.compile(r"\{(\w+)(\.\w+)?\}")
_ASSIGNMENT: Final = re.compile(r"\{(\w+) = (\w+)\}")
_COMMA: Final = re.compile(r", (?![^(]*\))")
_CHOICE: Final = re.compile(r"\{(sqlite|postgres):(.*?)\}", re.DOTALL)


class Statement(str):
    """One statement. With `answer` it is a SELECT of these columns, followed by `sql`. A session fetches all its rows
    in one step. `new`: the columns of the given rows, with their types: int, float, text, bool or bytes."""

    new: Mapping[str, str]
    answer: Sequence[str]

    def __new__(cls, sql: str, *, new: Mapping[str, str] | None = None, answer: Sequence[str] = ()) -> Statement:
        made = super().__new__(cls, f"SELECT {', '.join(answer)} {sql}" if answer else sql)
        made.new, made.answer = new or {}, answer
        return made


class _Statements(dict[str, Statement]):
    """Each statement as `SQL["FILE.NAME"]`. A file is read when one of its statements is needed."""

    def __missing__(self, wanted: str) -> Statement:
        file = wanted.partition(".")[0]
        texts: dict[str, str] = {}  # the statements of this file that were read so far
        for name, (new, answer, text) in self.file(file).items():
            given = [column.partition(" ") for column in _listed(self._whole(new, texts))]
            plain = ", ".join(column for column, _, kind in given if not kind)
            texts[name] = self._whole(text.replace("{columns}", plain), texts)
            types = {column: kind or COLUMN_TYPES[column] for column, _, kind in given}
            answered = _listed(self._whole(answer, texts))
            self[f"{file}.{name}"] = Statement(texts[name], new=types, answer=answered)
        return dict(self)[wanted]

    def file(self, file: str) -> dict[str, tuple[str, str, str]]:
        """Everything in `sql/FILE.sql` by name, as it is written: columns of rows, columns found, statement."""
        _, *found = _ENTRY.split((_FOLDER / f"{file}.sql").read_text(encoding="utf-8"))
        entries = zip(found[::4], found[1::4], found[2::4], found[3::4], strict=True)
        return {
            name: (new or "", answer or "", " ".join(_REMARK.sub("", text).split()))
            for name, new, answer, text in entries
        }

    def _whole(self, text: str, texts: Mapping[str, str]) -> str:
        text = _ASSIGNMENT.sub(
            lambda part: ", ".join(f"{column} = {part[2]}.{column}" for column in _listed(texts[part[1]])), text
        )
        return _PART.sub(lambda part: self[part[0][1:-1]] if part[2] else texts.get(part[1], part[0]), text)


def _listed(columns: str) -> list[str]:
    return _COMMA.split(columns) if columns else []


SQL: Final = _Statements()
TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    table: dict(column.split() for column in columns.split(","))
    for table, (_, _, columns) in SQL.file("tables").items()
}
"""Each table's columns with their types. Each table stands after those it refers to."""
COLUMN_TYPES: Final = {column: kind for columns in TABLES.values() for column, kind in columns.items()}


def chosen(sql: str, engine: str) -> str:
    return _CHOICE.sub(lambda choice: choice[2] if choice[1] == engine else "", sql)
