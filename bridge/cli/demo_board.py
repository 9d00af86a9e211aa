"""What `demo` prints: its progress, as a row for each task on a terminal or a line for each event, and the summary."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge.cli.demo_progress import DemoRow, DemoSummary
from bridge.cli.output import MARK, Column, is_url, plain_table, table_lines
from bridge.domain.plurals import count
from bridge.domain.quoting import printable
from bridge.screen import BAD, BUSY, GONE, GOOD, Screen, cut

LAST_EVENTS: Final = 3  # shown below the tasks
NAME_CELLS: Final = 20
ANSWER_CELLS: Final = 22


class DemoBoard:
    """A row for each task: a progress bar, then the result and the receiver's answer."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._events: deque[str] = deque(maxlen=LAST_EVENTS)
        self._console = Console(highlight=False, color_system="auto" if screen.marks else None)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)

    def __enter__(self) -> DemoBoard:
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


def _answer(row: DemoRow) -> Text:
    if row.webhook is not None:
        return Text(f"webhook {row.answers}" if not row.turned_away else row.answers, style="dim")
    if row.turned_away:
        return Text("503, genbridge retries", style="yellow")
    if not row.is_added:
        return Text("")
    return Text("finished" if row.progress >= 1 else "running" if row.progress else "submitted", style="dim")


NEXT_STEPS: Final = (
    ("init", "writes your genbridge.yaml and checks it"),
    ("run", "watches your tasks; `add ID` adds one"),
    ("explain TASK_ID", "shows what happened to a task, and what is next"),
)


def beginning(provider: str, tasks: int) -> str:
    """What is simulated and what is not."""
    return f"Simulated: the {provider} API with {tasks} tasks, and a webhook receiver. Real: genbridge."


def mark_of(row: DemoRow) -> str:
    """The mark of the task: good if it succeeded and its webhook was accepted."""
    return GONE if row.topic is None else GOOD if row.topic == "task_succeeded" else BAD


def summary_lines(summary: DemoSummary, screen: Screen) -> Iterator[str]:
    """The tasks in the order of the demo, then the figures."""
    if screen.is_terminal:
        yield from table_lines(summary.rows, _columns(screen), screen)
    else:
        yield from plain_table(summary.rows, PLAIN_COLUMNS)
    total, retried = len(summary.rows), summary.retried
    delays = [row.delay_s for row in summary.rows if row.delay_s is not None]
    yield ""
    counts = f"{summary.finished} finished, {summary.notified} notified"
    yield f"{total} tasks: {counts}, {summary.repeats} duplicate webhooks"
    if retried:
        yield f"the receiver was down once: {count(retried, 'webhook')} accepted after a retry"
    yield f"polls per task: {_spread([row.polls for row in summary.rows], '{:.0f}')}, in {summary.requests} requests"
    yield f"delay: {_spread(delays, '{:.1f} s')} (finished at the provider to webhook accepted)"


def next_steps(screen: Screen) -> Iterator[str]:
    """The commands to try next."""
    yield screen.painted("Next:", "bold")
    width = max(len(command) for command, _ in NEXT_STEPS)
    for command, does in NEXT_STEPS:
        yield f"  {screen.painted(f'{program()} {command}', 'bold')}{' ' * (width - len(command) + 2)}{does}"


def program() -> str:
    """How to call genbridge: `genbridge` if it is on the PATH, or else the path that was typed."""
    typed = Path(sys.argv[0])
    is_path = typed.name == "genbridge" and not typed.is_absolute() and shutil.which("genbridge") is None
    return sys.argv[0] if is_path else "genbridge"


def _columns(screen: Screen) -> Sequence[Column[DemoRow]]:
    return (
        Column("", lambda row: mark_of(row) if screen.marks else "", style=MARK),
        Column("TASK", lambda row: row.name, least=12, rank=2),
        Column("RESULT", lambda row: row.result, least=16, rank=1, middle=is_url),
        Column("WEBHOOK", lambda row: row.answers or "none"),
        Column("POLLS", lambda row: str(row.polls), goes=1),
        Column("DELAY", lambda row: _seconds(row.delay_s)),
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


PLAIN_COLUMNS: Final[Mapping[str, Callable[[DemoRow], str]]] = {
    "TASK": lambda row: row.task_id,
    "WEBHOOK": lambda row: row.topic or "none",
    "POLLS": lambda row: str(row.polls),
    "DELAY": lambda row: _seconds(row.delay_s).replace(" ", ""),
    "ANSWER": lambda row: row.answers,
    "RESULT": lambda row: row.result,
}
"""For a pipe, where the columns are always the same."""


def _spread(values: Sequence[float], pattern: str) -> str:
    if not values:
        return "none"
    return f"median {pattern.format(statistics.median(values))}, max {pattern.format(max(values))}"
