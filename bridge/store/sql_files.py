"""The SQL statements, in files with a name and a description for each.

-- name: description
statement

-- name (account, number int): description of a statement for many rows, with the columns of `{new}`
statement

-- name -> account, phase: description of a query for these columns; SELECT and the columns are added before it
FROM ...

`{other}` stands for an earlier statement or part of the file, `{file.other}` for one of another file, and `{columns}`
for the columns that have no type of their own. Further lines that begin with `--` are left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "sql"
_ENTRY: Final = re.compile(r"^-- (\w+)(?: \((.*?)\))?(?: -> (.*?))?: .*$", re.MULTILINE)
_PART: Final = re.compile(r"\{(\w+)(\.\w+)?\}")
_COMMA: Final = re.compile(r", (?![^(]*\))")


class _Statements(dict[str, str]):
    """Each statement as `SQL["FILE.NAME"]`. A file is read when one of its statements is needed."""

    def __init__(self) -> None:
        self.new: dict[str, list[str]] = {}  # the columns of the rows of a statement, perhaps with types
        self.answer: dict[str, list[str]] = {}  # the columns that it finds

    def __missing__(self, wanted: str) -> str:
        file = wanted.partition(".")[0]
        for name, (new, answer, text) in self.file(file).items():
            self.new[f"{file}.{name}"] = columns = _COMMA.split(self._whole(file, new))
            self.answer[f"{file}.{name}"] = _COMMA.split(self._whole(file, answer))
            plain = ", ".join(column for column in columns if " " not in column)
            self[f"{file}.{name}"] = self._whole(file, text.replace("{columns}", plain))
        return dict(self)[wanted]

    def file(self, file: str) -> dict[str, tuple[str, str, str]]:
        """Everything in `sql/FILE.sql` by name, as it is written: columns of rows, columns found, statement."""
        _, *found = _ENTRY.split((_FOLDER / f"{file}.sql").read_text(encoding="utf-8"))
        entries = zip(found[::4], found[1::4], found[2::4], found[3::4], strict=True)
        return {name: (new or "", answer or "", _joined(text)) for name, new, answer, text in entries}

    def _whole(self, file: str, text: str) -> str:
        return _PART.sub(lambda part: self[part[0][1:-1]] if part[2] else self.get(f"{file}.{part[1]}", part[0]), text)


def _joined(text: str) -> str:
    return " ".join(" ".join(line for line in text.split("\n") if not line.startswith("--")).split())


SQL: Final = _Statements()
