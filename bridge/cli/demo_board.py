"""The progress of the demo: on a terminal a row for each task, elsewhere a line for each event."""

from __future__ import annotations

import sys
from collections import deque
from typing import Final

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge.cli.demo_report import mark_of
from bridge.cli.terminal_table import is_url
from bridge.domain.quoting import printable
from bridge.screen import BUSY, GOOD, Screen, can_move_cursor, cut, screen_of
from bridge.simulator.demo_plan import DemoRow, DemoSummary

LAST_EVENTS: Final = 3  # shown below the tasks
NAME_CELLS: Final = 20
ANSWER_CELLS: Final = 22


class LiveBoard:
    """A row for each task: a progress bar, then the result and the receiver's answer."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._events: deque[str] = deque(maxlen=LAST_EVENTS)
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)

    def __enter__(self) -> LiveBoard:
        click.echo()
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """Show one more event."""
        self._events.append(line)

    def show(self, summary: DemoSummary, elapsed_s: float) -> None:
        """Show the current progress of the tasks."""
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        for _ in range(4):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.columns[2].ratio = 1
        grid.columns[3].min_width = ANSWER_CELLS
        for row in summary.rows:
            grid.add_row(*self._row(row))
        mark = f"{BUSY} " if self._screen.marks else ""
        counts = f"{summary.finished} of {len(summary.rows)} finished, {summary.notified} notified"
        polls = sum(row.polls for row in summary.rows)
        lines = [Text(cut(printable(line), self._screen.width - 1), style="dim") for line in self._events]
        status = Text(
            f"{mark}{elapsed_s:4.1f} s  {counts}, {polls} polls", style="bold", no_wrap=True, overflow="ellipsis"
        )
        self._live.update(Group(grid, Text(), *lines, status), refresh=True)

    def _row(self, row: DemoRow) -> tuple[Text | ProgressBar, ...]:
        mark = "" if not self._screen.marks or not row.is_added else mark_of(row) if row.webhook else BUSY
        is_good = mark_of(row) == GOOD
        style = "cyan" if row.webhook is None else "green" if is_good else "red"
        name = Text(cut(printable(row.name), NAME_CELLS), style="" if row.is_added else "dim")
        room = max(10, self._console.width - NAME_CELLS - ANSWER_CELLS - 8)
        middle: Text | ProgressBar
        if row.webhook is not None:
            middle = Text(cut(printable(row.result), room, middle=is_url(row.result)), style="" if is_good else "red")
        elif row.is_added:
            middle = ProgressBar(total=1.0, completed=row.progress, complete_style="cyan", finished_style="cyan")
        else:
            middle = Text(f"comes in queue/{row.file}", style="dim")
        return Text(mark, style=style), name, middle, _answer(row)


class PlainBoard:
    """A line for each event."""

    def __enter__(self) -> PlainBoard:
        return self

    def __exit__(self, *_: object) -> None:
        click.echo()

    def say(self, line: str) -> None:
        """Print one more event."""
        click.echo(printable(line))

    def show(self, summary: DemoSummary, elapsed_s: float) -> None:
        """Does nothing, because each event already has its own line."""


Board = LiveBoard | PlainBoard


def demo_board() -> Board:
    """The board for stdout."""
    screen = screen_of(sys.stdout)
    return LiveBoard(screen) if can_move_cursor(screen) else PlainBoard()


def _answer(row: DemoRow) -> Text:
    if row.webhook is not None:
        return Text(f"webhook {row.answers}" if not row.turned_away else row.answers, style="dim")
    if row.turned_away:
        return Text("503, genbridge retries", style="yellow")
    if not row.is_added:
        return Text("")
    return Text("finished" if row.progress >= 1 else "running" if row.progress else "submitted", style="dim")
