"""JSON task files: strict, and split into tasks before any task is parsed.

Splitting first limits memory and depth, because each task is parsed separately. A malformed task does not affect the
others.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bridge.domain.quoting import quoted
from bridge.sources.entry import NO_TASK, NOT_A_LIST, Entry, LineCount, SyntaxProblem, numbered, too_long

_BLANKS: Final = b" \t\r\n"
_BARE: Final = re.compile(r"[\w.:/+=-]+|'[^']*'")
_MAX_DIGITS: Final = 1000
LINES: Final = "; if each task is on its own line, name the file .jsonl, or send it as text/plain"
_TASKS: Final = re.compile(rb'\{[ \t\r\n]*"tasks"[ \t\r\n]*:[ \t\r\n]*')
# Anything without structure, including whole strings; then one bracket, comma, unclosed quote, or the end.
_NEXT: Final = re.compile(rb'(?:[^"\[\]{},]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([\[\]{},"]|\Z)', re.DOTALL)


def parse_json(text: str) -> Any:
    """The value of one JSON text; ValueError, in one line, if it is not JSON.

    Stricter than the standard library: NaN, infinities and duplicate keys are rejected. Integers are exact.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if error.msg == "Expecting value" and error.pos == 0:
            raise ValueError(f"not JSON: {_no_value(text)}") from None
        hint = LINES if error.msg == "Extra data" else ""
        hint = "; remove the comma at the end" if hint and text.endswith(",") else hint
        raise ValueError(
            f"not JSON: {error.msg} (line {error.lineno}, column {error.colno} of the task){hint}"
        ) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_value(text: str) -> str:
    """The likely cause if a text does not even begin like JSON."""
    if text.startswith("<"):
        return "it looks like HTML: did the create call fail?"
    if _BARE.fullmatch(text):
        return f"{quoted(text)} must be in double quotes"
    return f"{quoted(text)}: did the create call fail?"


def read_json(text: bytes, *, lists_only: bool) -> Iterator[Entry]:
    """The tasks of a `.json` file: a list, an object whose only key is `tasks`, or one task."""
    start = len(text) - len(text.lstrip(_BLANKS))
    if start == len(text):
        raise SyntaxProblem(1, NO_TASK)
    under_key = _TASKS.match(text, start)
    if under_key:
        start = under_key.end()
    if text.startswith(b"[", start):
        yield from numbered(_read_list(text, start, tail=b"}" if under_key else b""))
    elif lists_only or under_key:
        raise SyntaxProblem(LineCount(text).at(start), NOT_A_LIST)
    else:
        yield read_one(text[start:], LineCount(text).at(start))


def read_one(raw: bytes, line: int) -> Entry:
    """The task in this JSON text, which begins in line `line` of its file."""
    if problem := too_long(len(raw)):
        return Entry(line=line, text=None, problem=problem)
    text = raw.strip(_BLANKS).decode()
    try:
        return Entry(line=line, text=text, value=parse_json(text))
    except ValueError as error:
        return Entry(line=line, text=text, problem=str(error))


def _read_list(text: bytes, start: int, *, tail: bytes) -> Iterator[Entry]:
    """The tasks of a list, which must be complete before any of them counts."""
    _, end = deque(_cuts(text, start), maxlen=1).pop()
    if text[end + 1 :].strip(_BLANKS) != tail:
        found = "other keys besides `tasks`, or text after the list" if tail else "text after the list"
        raise _problem_at(text, end + 1, found)
    lines = LineCount(text)
    for begin, end in _cuts(text, start):
        if task := text[begin:end].lstrip(_BLANKS):
            yield read_one(task, lines.at(end - len(task)))


def _cuts(text: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Beginning and end of each task of the list that begins at `start`. The last one ends at the closing bracket; an
    empty list has one blank."""
    depth, begin, commas = 0, start + 1, 0
    for found in _NEXT.finditer(text, start):
        at, char = found.start(1), found[1]
        if char in {b"[", b"{"}:
            depth += 1
            continue
        if char in {b"", b'"'}:
            break
        if depth == 1 and (char != b"]" or commas) and not text[begin:at].strip(_BLANKS):
            raise _problem_at(text, at, "not JSON: a comma without a task next to it")
        if char != b",":
            depth -= 1
        elif depth == 1:
            yield begin, at
            begin, commas = at + 1, commas + 1
        if depth == 0:
            if char == b"}":
                break
            yield begin, at
            return
    raise SyntaxProblem(LineCount(text).at(len(text)), "not JSON: the list is not closed; is the file complete?")


def _problem_at(text: bytes, offset: int, problem: str) -> SyntaxProblem:
    line_start = text.rfind(b"\n", 0, offset) + 1
    column = len(text[line_start:offset].decode(errors="ignore")) + 1
    return SyntaxProblem(LineCount(text).at(offset), f"{problem} (column {column})")


def unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; ValueError if a key is there twice. For the decoders of `json`."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {quoted(key)} is there twice")
        found[key] = value
    return found


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits is too long; write an id in quotes")
    return int(digits)


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=unique_keys, parse_int=_integer, parse_constant=_constant)
