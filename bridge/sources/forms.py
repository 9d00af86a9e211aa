"""The forms a file of tasks may have: from its bytes to its tasks, one by one, each with its line.

A file that is broken as a whole gives one problem and nothing else; in a sound file a bad task never hides a good
one. Tasks are read one at a time, so a file of a million costs little more memory than its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bridge.logs import get_logger
from bridge.sources.entry import BOM, Entry, FormProblem, decoded, without_bom
from bridge.sources.json_form import read_json, read_one
from bridge.sources.yaml_form import read_yaml

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json", ".jsonl", ".txt"})
MAX_FILE_BYTES: Final = 16 * 1024 * 1024

log = get_logger()


def read_tasks(data: bytes, suffix: str, *, lists_only: bool = False) -> Iterator[Entry]:
    """The tasks of a file of this form (one of `SUFFIXES`), in order. Never raises.

    A file broken as a whole gives one entry, with its problem; an empty list gives none. `lists_only` refuses a
    single task that stands alone (yaml, json).
    """
    try:
        yield from _read(data, suffix, lists_only=lists_only)
    except FormProblem as problem:
        yield Entry(line=problem.line, text="", problem=str(problem))
    except Exception as error:  # the edge of one file: a poisonous one must stop neither the source nor the others
        log.exception("source.bug", form=suffix)
        yield Entry(line=1, text="", problem=f"it could not be read ({type(error).__name__})")


def read_line(raw: bytes, line: int, *, suffix: str) -> Entry | None:
    """The task of one line: JSON in `.jsonl`, an id in `.txt`; with no suffix JSON where it begins with `{`, else an
    id. None for blank lines, and outside `.jsonl` for those that begin with `#`."""
    try:
        text = (raw.removeprefix(BOM) if line == 1 else raw).decode().strip()
    except UnicodeDecodeError:
        return Entry(line=line, text=raw.decode(errors="surrogateescape").strip(), problem="not UTF-8")
    if not text or (suffix != ".jsonl" and text.startswith("#")):
        return None
    if suffix == ".txt" or (not suffix and not text.startswith("{")):
        return Entry(line=line, text=text, value=text)
    return read_one(text, line)


def _read(data: bytes, suffix: str, *, lists_only: bool) -> Iterator[Entry]:
    match suffix:
        case ".json":
            yield from read_json(decoded(data), lists_only=lists_only)
        case ".yaml" | ".yml":
            yield from read_yaml(decoded(data), lists_only=lists_only)
        case _:
            for line, raw in enumerate(_split(without_bom(data)), start=1):
                entry = read_line(raw, line, suffix=suffix)
                if entry is not None:
                    yield entry


def _split(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield data[start:end]
        start = end + 1
