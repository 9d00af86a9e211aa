"""How values look on a terminal and in `--json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text


def rfc3339(at: float | None) -> str | None:
    """An instant as `--json` prints it, to the millisecond; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """A duration for people: `0.4s`, `12s`, `3m 5s`, `2h 4m`, `3d 1h`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, size, below, small in (("d", 86_400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // small}{below}"
    return f"{whole}s"


def ago(at: float | None, now: float) -> str:
    """An instant for people, seen from `now`: `12s ago`, `in 3m 5s`, or `-`."""
    if at is None:
        return "-"
    return f"{span(now - at)} ago" if at <= now else f"in {span(at - now)}"


def print_json(value: Any) -> None:
    """One JSON value and a newline, on stdout."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout. Off a terminal nothing is cut, so that `grep` and `awk` see whole ids."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, width=max([200, *(sum(map(len, row)) + 3 * len(row) for row in rows)]))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*[Text(safe(cell)) for cell in row])
    console.print(table)


def safe(text: str) -> str:
    """Text from outside without control characters, so that it can play no tricks on a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def pairs(value: Mapping[str, Any]) -> list[str]:
    """A mapping as `key: value` lines, aligned."""
    width = max((len(key) for key in value), default=0)
    return [f"{key:<{width}}  {safe(str(item))}" for key, item in value.items()]
