"""The SQL statements, in files with a name and a description for each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "sql"
_NAME: Final = re.compile(r"^-- (\w+): .*$", re.MULTILINE)
_PART: Final = re.compile(r"\{(\w+)(\.\w+)?\}")


class _Statements(dict[str, str]):
    """The statement NAME of `sql/FILE.sql` as `SQL["FILE.NAME"]`; a file is read when one of its statements is needed.

    In a statement, `{name}` stands for an earlier one of the file, and `{file.name}` for one of another file. Further
    lines that begin with `--` are left out.
    """

    def __missing__(self, wanted: str) -> str:
        file = wanted.partition(".")[0]
        for name, text in self.file(file).items():
            self[f"{file}.{name}"] = _PART.sub(lambda part: self._part(file, part), text)
        return dict(self)[wanted]

    def file(self, file: str) -> dict[str, str]:
        """Everything in `sql/FILE.sql` by name, as it is written, on one line each."""
        _, *found = _NAME.split((_FOLDER / f"{file}.sql").read_text(encoding="utf-8"))
        lines = ([line for line in text.split("\n") if not line.startswith("--")] for text in found[1::2])
        return {name: " ".join(" ".join(text).split()) for name, text in zip(found[::2], lines, strict=True)}

    def _part(self, file: str, part: re.Match[str]) -> str:
        return self[part[0][1:-1]] if part[2] else self.get(f"{file}.{part[1]}", part[0])


SQL: Final = _Statements()
