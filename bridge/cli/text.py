"""How values look on a terminal and in `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import click
import orjson
from rich.cells import cell_len

from bridge.domain.text import printable

AT_ONCE: Final = 1000  # lines written in one go, as each go is flushed; the first of them say how wide columns are
MOST_PADDING: Final = 40  # cells: one enormous id does not push every other row off the screen


def rfc3339(at: float | None) -> str | None:
    """An instant as `--json` prints it, to the millisecond; None stays None."""
    if at is None:
        return None
    at = round(at * 1000) / 1000  # as webhooks have it: isoformat cuts off
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """A duration for people: `0.4s`, `12s`, `3m 5s`, `2h 4m`, `3d 1h`."""
    if seconds < 9.95:
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


def due(at: float | None, now: float) -> str:
    """When something will be done, seen from `now`: `now`, `in 3m 5s`, or `-`."""
    return "now" if at is not None and at <= now else ago(at, now)


def count(number: int, noun: str) -> str:
    """`1 delivery`, `2 deliveries`."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}es" if noun.endswith("ch") else f"{number} {noun}s"


def print_json(value: Any) -> None:
    """One JSON value and a newline, on stdout."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def json_text(value: Any) -> str:
    """A JSON value on one line, for people."""
    return printable(orjson.dumps(value).decode())


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns on stdout, the first lines before the last rows are made. Nothing is cut or folded, so that ids
    and URLs can be copied from a narrow terminal and `grep` sees them whole."""
    cells = ([printable(cell) or "-" for cell in row] for row in rows)
    block = [list(headings), *islice(cells, AT_ONCE)]
    widths = [min(max(map(_width, column)), MOST_PADDING) for column in zip(*block, strict=True)]
    while block:
        click.echo("\n".join(_aligned(line, widths) for line in block))
        block = list(islice(cells, AT_ONCE))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(padded).rstrip()


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def wants_colors(env: Mapping[str, str]) -> bool:
    """What the person says: $NO_COLOR set to anything, or a terminal that knows no colours, means none."""
    return not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def storable(text: str) -> str:
    """Text from the command line with every byte that is no UTF-8 replaced: it can match nothing in a store, and a
    store cannot be asked about it."""
    return text.encode(errors="replace").decode()
