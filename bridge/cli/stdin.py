"""`genbridge add -`: which form what comes in on stdin has."""

from __future__ import annotations

import re
import sys
from typing import Final

import click

from bridge.errors import UsageError
from bridge.sources.entry import BOM, Entry
from bridge.sources.forms import MAX_FILE_BYTES, read_tasks

# Blank lines and comments, and then what no id begins with.
_YAML: Final = re.compile(
    rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*"
    rb"(?:---|-[ \t]|(?:tasks|id|account|action|label|meta|endpoints|give_up_after):(?:[ \t\r\n]|\Z))"
)
_LINES: Final = ""  # ids and JSON objects, one a line


def stdin_entries() -> list[Entry]:
    """Every task on stdin, good or not; UsageError when there is none, or too much."""
    if sys.stdin is None:
        raise UsageError("stdin is closed")
    if sys.stdin.isatty():
        click.echo("reading tasks, one a line; Ctrl-D on an empty line ends", err=True)
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"stdin holds more than {MAX_FILE_BYTES >> 20} MiB; add it in parts")
    entries = _entries(data.removeprefix(BOM))
    if not entries:
        raise UsageError("stdin holds no task")
    return entries


def _entries(data: bytes) -> list[Entry]:
    match data.lstrip()[:1]:
        case b"[":
            return list(read_tasks(data, ".json"))
        case b'"':
            return list(read_tasks(data, ".jsonl"))
        case b"{":
            whole, strict, lines = (list(read_tasks(data, form)) for form in (".json", ".jsonl", _LINES))
            for entries in (whole, strict):
                if not any(entry.problem for entry in entries):
                    return entries
            return whole if lines[0].problem else lines  # one object over many lines, or one a line
        case b"":
            return []
    return list(read_tasks(data, ".yaml" if _YAML.match(data) else _LINES))
