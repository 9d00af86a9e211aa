"""Output on stdout: tables and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

import click
import orjson

from bridge.domain.quoting import printable
from bridge.screen import cells, padded

T = TypeVar("T")

AT_ONCE: Final = 1000  # lines per write, because each write is flushed; the first batch sets the column widths
MOST_PADDING: Final = 40  # in cells, so that one very long id does not push all other rows off the screen


def print_json(value: Any) -> None:
    """Print one JSON value and a newline."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def json_text(value: Any) -> str:
    """A JSON value on one line, for people."""
    return printable(orjson.dumps(value).decode())


def print_table(rows: Iterable[T], columns: Mapping[str, Callable[[T], str]]) -> None:
    """Print a table as `plain_table` makes it. The first lines are printed before the last rows are computed."""
    for block in plain_table(rows, columns):
        click.echo(block)


def plain_table(rows: Iterable[T], columns: Mapping[str, Callable[[T], str]]) -> Iterator[str]:
    """Blocks of lines with aligned columns, each with its heading and a function for its cells. Nothing is cut or
    wrapped, so ids and URLs can be copied from a narrow terminal, and `grep` finds them."""
    values = ([printable(cell(row)) or "-" for cell in columns.values()] for row in rows)
    block = [list(columns), *islice(values, AT_ONCE)]
    widths = [min(max(map(cells, column)), MOST_PADDING) for column in zip(*block, strict=True)]
    while block:
        lines = (zip(line, widths, strict=True) for line in block)
        yield "\n".join("  ".join(padded(cell, width) for cell, width in line).rstrip() for line in lines)
        block = list(islice(values, AT_ONCE))
