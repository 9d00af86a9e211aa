"""One task of a file, before it is read against the settings; and what all file syntaxes share."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

MAX_TASK_CHARS: Final = 256 * 1024

WINDOW_BYTES: Final = 64 * 1024
BOM: Final = b"\xef\xbb\xbf"
NO_TASK: Final = "there is no task in it"
NOT_A_LIST: Final = "a list of tasks is expected, bare or under `tasks:`; write `tasks: []` for none"

_MARKS: Final = {  # the longer ones first, because UTF-32 begins like UTF-16
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_UTF16: Final = re.compile(rb"(?:[\t\n\r -~]\0){4}|(?:\0[\t\n\r -~]){4}")  # without a byte order mark
_NON_ASCII: Final = re.compile(rb"[\x80-\xff]+")


class Entry(NamedTuple):
    """One task of a file: `value` is for `TaskReader.read`; `problem` says why there is none.

    `line` counts from 1. `text` is the task as written, for `RejectedTasks` (None: too long to be copied there). `head`
    must be written once, before the first task with it. `number` is the place among the tasks of the
    file, from 1, if other tasks are on the same line, else 0.
    """

    line: int
    text: str | None
    number: int = 0
    head: str = ""
    value: Any = None
    problem: str | None = None
    bug: str | None = None  # the traceback of a bug in genbridge

    def said(self, problem: str) -> str:
        """This problem, after `line N: `."""
        return f"task {self.number}: {problem}" if self.number else problem


class SyntaxProblem(ValueError):
    """The file has a syntax error. `line` is the first wrong line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def numbered(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The tasks of a file. If several tasks are on one line, each gets its `number`."""
    held, shares_line = None, False
    for number, entry in enumerate(entries):
        if held is not None:
            is_same = entry.line == held.line
            yield held._replace(number=number) if is_same or shares_line else held
            shares_line = is_same
        held = entry
    if held is not None:
        yield held._replace(number=number + 1) if shares_line else held


class LineCount:
    """Converts offsets in a text to line numbers; the offsets must increase."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._line = 1
        self._offset = 0

    def at(self, offset: int) -> int:
        """The line of `offset`, which must not be before the previous one."""
        self._line += self._text.count(b"\n", self._offset, offset)
        self._offset = offset
        return self._line


def lines_of(data: bytes) -> Iterator[bytes]:
    """The lines, each with its newline. The file is never copied as a whole."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def without_bom(data: bytes) -> bytes:
    """The bytes after a UTF-8 byte order mark; SyntaxProblem for UTF-16 and UTF-32."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if encoding is None and _UTF16.match(data):
        encoding = "UTF-16"
    if encoding is not None:
        raise SyntaxProblem(1, f"the file is {encoding}; save it as UTF-8")
    return data.removeprefix(BOM)


def checked_utf8(data: bytes) -> bytes:
    """The bytes of a file without a byte order mark. If they are not UTF-8, SyntaxProblem with the likely encoding. The
    file is never copied as a whole."""
    raw = without_bom(data)
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(raw), WINDOW_BYTES):
        try:
            decoder.decode(raw[start : start + WINDOW_BYTES], final=start + WINDOW_BYTES >= len(raw))
        except UnicodeDecodeError as error:
            at = start + error.start  # may be a few bytes off if a character spans two windows
            end = raw.find(b"\n", at)
            bad = raw[raw.rfind(b"\n", 0, at) + 1 : len(raw) if end < 0 else end]
            raise SyntaxProblem(raw.count(b"\n", 0, at) + 1, not_utf8(bad)) from None
    return raw


def not_utf8(line: bytes) -> str:
    """The problem of a line that is not UTF-8, with its likely encoding."""
    # A Chinese character takes two bytes. A Western accented letter takes one, and is surrounded by ASCII letters.
    is_paired = all(len(run) % 2 == 0 for run in _NON_ASCII.findall(line[:4096]))
    codec, name = ("gb18030", "GBK (GB18030)") if is_paired else ("cp1252", "Windows-1252")
    try:
        line.decode(codec)
    except UnicodeDecodeError:
        return "not UTF-8; save the file as UTF-8"
    return f"not UTF-8, it looks like {name}; save the file as UTF-8"


def too_long(chars: int) -> str | None:
    """The problem of a single task that is longer than `MAX_TASK_CHARS`; None if it is not."""
    most = MAX_TASK_CHARS
    return f"one task of {chars} characters; at most {most} are allowed" if chars > most else None
