"""One task of a file, before anybody asks whether it can be watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

MAX_TASK_CHARS: Final = 1024 * 1024

BOM: Final = b"\xef\xbb\xbf"
NO_TASK: Final = "there is no task in it"
NOT_A_LIST: Final = "a list of tasks is expected, bare or under `tasks:`; write `tasks: []` for none"

_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One task of a file: `value` for `TaskReader.read`, unless `problem` says why there is none.

    `line` counts from 1. `text` is the task as written, in the shape `Rest` puts together again.
    """

    line: int
    text: str
    value: Any = None
    problem: str | None = None


class FormProblem(ValueError):
    """The file is broken as a whole, first in this line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class LineCount:
    """Line numbers of ever later places in a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = 1
        self._place = 0

    def at(self, place: int) -> int:
        """The line of `place`, which must not lie before the one asked for last."""
        self._line += self._text.count("\n", self._place, place)
        self._place = place
        return self._line


def without_bom(data: bytes) -> bytes:
    """The bytes after a UTF-8 byte order mark; FormProblem for UTF-16."""
    if data.startswith(_UTF16):
        raise FormProblem(1, "the file is UTF-16; save it as UTF-8")
    return data.removeprefix(BOM)


def decoded(data: bytes) -> str:
    """The text of a whole file; FormProblem where it is not UTF-8."""
    raw = without_bom(data)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise FormProblem(raw.count(b"\n", 0, error.start) + 1, "not UTF-8; save the file as UTF-8") from None


def too_long(chars: int) -> str:
    """The problem of a single task above `MAX_TASK_CHARS`."""
    return f"one task of {chars} characters; at most {MAX_TASK_CHARS} are allowed"
