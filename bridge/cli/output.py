"""Output on stdout: JSON and tables. On a terminal, tables are cut to its width and have colors and marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, TypeVar

import click
import orjson

from bridge.domain.quoting import printable
from bridge.screen import MARK_STYLES, Screen, cells, cut, padded

T = TypeVar("T")

AT_ONCE: Final = 1000  # lines per write, because each write is flushed; the first batch sets the column widths
MOST_PADDING: Final = 40  # in cells, so that one very long id does not push all other rows off the screen
GAP: Final = "  "
MARK: Final = "mark"


def print_json(value: Any) -> None:
    """Print one JSON value and a newline, in UTF-8 whatever the locale is."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


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


class Column(NamedTuple, Generic[T]):
    """A column of a table: its heading and a function for its cells.

    If the table is too wide, columns with a `least` width shrink to it, those with the lowest `rank` first. If that is
    not enough, columns with a number in `goes` are left out, the lowest first. `middle`: whether a value is cut in its
    middle instead of at its end. `style`: the style of its cells; `MARK` gives each cell the color of the mark that it
    begins with. `link`: the URL that a click on the cell opens.
    """

    heading: str
    cell: Callable[[T], str]
    least: int | None = None
    rank: int = 0
    goes: int = 0
    middle: Callable[[str], bool] | None = None
    style: str = ""
    link: Callable[[T], str] | None = None


def is_id(value: str) -> bool:
    """For `middle` of a column with ids, which may differ at either end."""
    return True


def is_url(value: str) -> bool:
    """For `middle` of a column with URLs and reasons: a URL ends with a file name."""
    return value.startswith(("http://", "https://"))


def table_lines(rows: Sequence[T], columns: Sequence[Column[T]], screen: Screen) -> Iterator[str]:
    """The lines of a table, none wider than the screen."""
    grid = [[printable(column.cell(row)) for row in rows] for column in columns]
    # A column without a value in any row is left out.
    shown = [(column, values) for column, values in zip(columns, grid, strict=True) if any(values)]
    wanted = [max(cells(column.heading), *map(cells, values)) for column, values in shown]
    widths = _widths(wanted, [column for column, _ in shown], screen.width)
    kept = [(column, values, width) for (column, values), width in zip(shown, widths, strict=True) if width]
    heads = [padded(cut(column.heading, width), width) for column, _, width in kept]
    yield screen.painted(GAP.join(heads).rstrip(), "dim")
    for at, row in enumerate(rows):
        line = [_cell(row, values[at], column, width, screen) for column, values, width in kept]
        yield GAP.join(line).rstrip()


def _cell(row: T, value: str, column: Column[T], width: int, screen: Screen) -> str:
    text = cut(value, width, middle=column.middle is not None and column.middle(value))
    style = MARK_STYLES.get(text[:1], "") if column.style == MARK else column.style
    shown = screen.painted(text, style)
    if column.link is not None:
        shown = screen.linked(shown, column.link(row))
    return shown + " " * (width - cells(text))


def _widths(wanted: Sequence[int], columns: Sequence[Column[T]], room: int) -> list[int]:
    """The width of each column, so that all fit into `room` cells; 0 for a column that is left out."""
    shown = list(range(len(wanted)))
    while True:
        widths = {at: wanted[at] for at in shown}
        excess = sum(widths.values()) + len(GAP) * (len(shown) - 1) - room
        for at in sorted(shown, key=lambda at: columns[at].rank):
            least = columns[at].least
            gives = 0 if least is None else min(max(0, excess), max(0, widths[at] - least))
            widths[at] -= gives
            excess -= gives
        may_go = [at for at in shown if columns[at].goes]
        if excess > 0 and may_go:
            shown.remove(min(may_go, key=lambda at: columns[at].goes))
            continue
        while excess > 0 and max(widths.values()) > 1:  # the terminal is still too narrow: the widest column shrinks
            widths[max(widths, key=lambda at: widths[at])] -= 1
            excess -= 1
        return [widths.get(at, 0) for at in range(len(wanted))]
