"""Tasks in any of the syntaxes, recognized by the beginning of the text: for stdin and HTTP, which have no file
suffix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from bridge.sources.entry import BOM, Entry
from bridge.sources.task_files import MIXED, read_tasks

# Blank lines and comments, then a character that cannot begin an id.
_YAML: Final = re.compile(
    rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*"
    rb"(?:---|-[ \t]|(?:tasks|id|account|action|label|meta|endpoints|give_up_after):(?:[ \t\r\n]|\Z))"
)
_KEY: Final = rb"(?:id|account|action|label|meta|endpoints|give_up_after)"
_CSV: Final = re.compile(rb"%b(?:[,;\t]%b)+[ \t]*(?:\r?\n|\Z)" % (_KEY, _KEY), re.IGNORECASE)


Read = Callable[[bytes, str], Iterable[Entry]]
"""Reads one syntax, as `read_tasks` does."""


def read_json_text(data: bytes, read: Read = read_tasks) -> list[Entry]:
    """Every task of a text that must be JSON, valid or not; none if the text is empty."""
    return list(read(data, ".json" if data.lstrip()[:1] in {b"{", b"["} else ".jsonl"))


def read_any(data: bytes, read: Read = read_tasks) -> list[Entry]:
    """Every task of a text, valid or not; none if the text is empty."""
    data = data.removeprefix(BOM)
    match data.lstrip()[:1]:
        case b"[":
            return list(read(data, ".json"))
        case b'"':
            return list(read(data, ".jsonl"))
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
        return list(read(data, ".csv"))
    return list(read(data, ".yaml" if _YAML.match(data) else MIXED))
