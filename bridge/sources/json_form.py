"""JSON as people write tasks in it: strict, and cut into tasks before any is parsed.

Cutting first keeps memory and depth in bounds (each task is parsed alone), and one malformed task leaves the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bridge.domain.text import quoted
from bridge.sources.entry import MAX_TASK_CHARS, NO_TASK, NOT_A_LIST, Entry, FormProblem, LineCount, too_long

_BLANKS: Final = " \t\r\n"
_MAX_DIGITS: Final = 1000
_TASKS: Final = re.compile(r'\{[ \t\r\n]*"tasks"[ \t\r\n]*:[ \t\r\n]*')
# Whatever has no structure, whole strings included, and then one bracket, comma, unclosed quote, or the end.
_NEXT: Final = re.compile(r'(?:[^"\[\]{},]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([\[\]{},"]|\Z)', re.DOTALL)


def parse_json(text: str) -> Any:
    """The value of one JSON text; ValueError in one line when it is none.

    Stricter than the standard library: NaN, infinities and keys that stand twice are refused. Integers are exact.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        hint = "; the form with one task a line is .jsonl" if error.msg == "Extra data" else ""
        raise ValueError(
            f"not JSON: {error.msg} (line {error.lineno}, column {error.colno} of the task){hint}"
        ) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(text: str, *, lists_only: bool) -> Iterator[Entry]:
    """The tasks of a `.json` file: a list, an object whose only key is `tasks`, or one task."""
    start = len(text) - len(text.lstrip(_BLANKS))
    if start == len(text):
        raise FormProblem(1, NO_TASK)
    under_key = _TASKS.match(text, start)
    if under_key:
        start = under_key.end()
    if text.startswith("[", start):
        yield from _read_list(text, start, tail="}" if under_key else "")
    elif lists_only or under_key:
        raise FormProblem(LineCount(text).at(start), NOT_A_LIST)
    else:
        yield read_one(text[start:], LineCount(text).at(start))


def read_one(raw: str, line: int) -> Entry:
    """The task that this JSON text is, which begins in `line` of its file."""
    text = raw.strip(_BLANKS)
    if len(text) > MAX_TASK_CHARS:
        return Entry(line=line, text=text, problem=too_long(len(text)))
    try:
        return Entry(line=line, text=text, value=parse_json(text))
    except ValueError as error:
        return Entry(line=line, text=text, problem=str(error))


def _read_list(text: str, start: int, *, tail: str) -> Iterator[Entry]:
    """Twice over the list: whether it is whole, and only then its tasks."""
    *_, end = _separators(text, start)
    if text[end + 1 :].strip(_BLANKS) != tail:
        found = "other keys beside `tasks`, or text after the list" if tail else "text after the list"
        raise FormProblem(LineCount(text).at(end), found)
    lines = LineCount(text)
    for cut_start, cut_end in _cuts(text, start):
        yield read_one(text[cut_start:cut_end], lines.at(cut_start))


def _cuts(text: str, start: int) -> Iterator[tuple[int, int]]:
    begin = start + 1
    for end in _separators(text, start):
        cut = text[begin:end]
        inner = cut.lstrip(_BLANKS)
        if inner:
            yield begin + len(cut) - len(inner), end
        begin = end + 1


def _separators(text: str, start: int) -> Iterator[int]:
    """Places of the commas of the list that begins at `start`, and at last of its closing bracket."""
    depth, begin, commas = 0, start + 1, 0
    for found in _NEXT.finditer(text, start):
        place, char = found.start(1), found[1]
        if char in {"[", "{"}:
            depth += 1
            continue
        if char == "" or char == '"':
            break
        if depth == 1 and (char != "]" or commas):
            _check_not_blank(text, begin, place)
        if char != ",":
            depth -= 1
        elif depth == 1:
            begin, commas = place + 1, commas + 1
            yield place
        if depth == 0:
            if char == "}":
                break
            yield place
            return
    raise FormProblem(LineCount(text).at(len(text)), "not JSON: the list is not closed; is the file whole?")


def _check_not_blank(text: str, begin: int, end: int) -> None:
    if not text[begin:end].strip(_BLANKS):
        raise FormProblem(LineCount(text).at(end), "not JSON: a comma without a task beside it")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {quoted(key)} stands there twice")
        found[key] = value
    return found


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)
