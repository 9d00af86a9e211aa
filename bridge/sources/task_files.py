"""Reads the tasks in the bytes of a file, or of a text without a name, one by one, each with its line.

A file with a syntax error gives one problem and no tasks. In a valid file, an invalid task does not affect the others.
Tasks are read one at a time, so a file with a million tasks needs little more memory than its bytes.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from bridge.domain.id_rule import FILE_SUFFIXES, TASK_KEYS
from bridge.sources.csv_syntax import read_csv
from bridge.sources.entry import BOM, Entry, SyntaxProblem, checked_utf8, lines_of, not_utf8, too_long, without_bom
from bridge.sources.json_syntax import read_json, read_one
from bridge.sources.yaml_syntax import read_yaml

SUFFIXES: Final = frozenset({"", *FILE_SUFFIXES})
MIXED: Final = "*"  # used instead of a suffix: ids and JSON objects, one per line
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
SMALL_BYTES: Final = 64 * 1024  # takes less than 0.2 s to read, with any content

_KEY: Final = b"(?:%b)" % "|".join(TASK_KEYS).encode()
# Blank lines and comments, then a character that cannot begin an id.
_YAML: Final = re.compile(rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*(?:---|-[ \t]|(?:tasks|%b):(?:[ \t\r\n]|\Z))" % _KEY)
_CSV: Final = re.compile(rb"%b(?:[,;\t]%b)+[ \t]*(?:\r?\n|\Z)" % (_KEY, _KEY), re.IGNORECASE)


def read_tasks(data: bytes, suffix: str, *, lists_only: bool = False) -> Iterator[Entry]:
    """The tasks of a file with this suffix (one of `SUFFIXES`, or `MIXED`), in order. Never raises.

    A file that is invalid as a whole gives one entry with its problem; an empty list gives none. `lists_only` rejects a
    single task outside a list (yaml, json).
    """
    try:
        yield from _read(data, suffix, lists_only=lists_only)
    except SyntaxProblem as problem:
        yield Entry(line=problem.line, text="", problem=str(problem))
    except MemoryError:
        yield Entry(line=1, text="", problem="it takes too much memory to read; split it")
    except Exception as error:  # a file that causes an error must stop neither the source nor other files
        problem_text = f"it could not be read ({type(error).__name__})"
        yield Entry(line=1, text="", problem=problem_text, bug=traceback.format_exc(limit=-4))


Read = Callable[[bytes, str], Iterable[Entry]]
"""Reads one syntax, as `read_tasks` does."""


def read_json_text(data: bytes, read: Read = read_tasks) -> Iterable[Entry]:
    """Every task of a text that must be JSON, valid or not; none if the text is empty."""
    data = data.removeprefix(BOM)
    return read(data, ".json" if data.lstrip()[:1] in {b"{", b"["} else ".jsonl")


def read_any(data: bytes, read: Read = read_tasks) -> Iterable[Entry]:
    """Every task of a text, valid or not; none if the text is empty."""
    data = data.removeprefix(BOM)
    match data.lstrip()[:1]:
        case b"[":
            return read(data, ".json")
        case b'"':
            return read(data, ".jsonl")
        case b"{":
            whole = list(read(data, ".json"))
            if not any(entry.problem for entry in whole):
                return whole
            strict, lines = list(read(data, ".jsonl")), list(read(data, MIXED))
            if not any(entry.problem for entry in strict):
                return strict
            return whole if lines[0].problem else lines  # either one object over several lines, or one object per line
        case b"":
            return []
    if _CSV.match(data):
        return read(data, ".csv")
    return read(data, ".yaml" if _YAML.match(data) else MIXED)


def read_line(raw: bytes, line: int, *, suffix: str) -> Entry | None:
    """The task in one line: JSON in `.jsonl`; in `MIXED`, JSON if it begins with `{`, or else an id. None for blank
    lines, and outside `.jsonl` for lines that begin with `#`."""
    text = (raw.removeprefix(BOM) if line == 1 else raw).decode(errors="surrogateescape").strip()
    if not text or (suffix != ".jsonl" and text.startswith("#")):
        return None
    if problem := too_long(len(raw)):
        return Entry(line=line, text=None, problem=problem)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return Entry(line=line, text=text, problem=not_utf8(raw))
    if suffix != ".jsonl" and not (suffix == MIXED and text.startswith("{")):
        return Entry(line=line, text=text, value=text)
    return read_one(data, line)


def is_json(data: bytes) -> bool:
    """Whether a file without a suffix is JSON; otherwise it contains one id per line."""
    return data.removeprefix(BOM).lstrip()[:1] in {b"{", b"["}


def may_lack_its_end(data: bytes, suffix: str) -> bool:
    """Whether the last line has no newline and could be incomplete: half an id looks like a whole one. Incomplete JSON
    is recognized by itself."""
    has_lines = suffix in {".txt", ".csv", ".yaml", ".yml"} or (not suffix and not is_json(data))
    return has_lines and not data.endswith((b"\n", b"\r"))


def _read(data: bytes, suffix: str, *, lists_only: bool) -> Iterator[Entry]:
    match suffix:
        case ".yaml" | ".yml":
            yield from read_yaml(checked_utf8(data), lists_only=lists_only)
        case ".csv":
            yield from read_csv(checked_utf8(data))
        case _ if suffix == ".json" or (not suffix and is_json(data)):
            yield from read_json(checked_utf8(data), lists_only=lists_only)
        case _:
            for line, raw in enumerate(lines_of(without_bom(data)), start=1):
                if (entry := read_line(raw, line, suffix=suffix)) is not None:
                    yield entry
