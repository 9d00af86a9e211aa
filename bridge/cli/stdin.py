"""`genbridge add -`: the tasks on stdin."""

from __future__ import annotations

import sys

import click

from bridge.errors import UsageError
from bridge.sources.entry import Entry
from bridge.sources.task_files import MAX_FILE_BYTES, read_any


def stdin_entries() -> list[Entry]:
    """Every task on stdin, valid or not; UsageError if it is empty or too long."""
    if sys.stdin is None:
        raise UsageError("stdin is closed")
    if sys.stdin.isatty():
        click.echo("reading tasks, one per line; end with Ctrl-D on an empty line", err=True)
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"stdin has more than {MAX_FILE_BYTES >> 20} MiB; add it in several parts")
    entries = read_any(data)
    if not entries:
        raise UsageError("stdin has no task")
    return entries
