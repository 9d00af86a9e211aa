"""`wait`: live progress until tasks have finished."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import anyio
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from bridge.cli.options import account_option, duration
from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.control.estimates import Estimates, estimates, eta
from bridge.control.formats import count
from bridge.control.waiting import WatchViews, all_succeeded, awaited_tasks, count_live, reread
from bridge.domain.ids import WatchKey
from bridge.domain.quoting import printable
from bridge.domain.task import LIVE
from bridge.errors import StoreError
from bridge.ports import Clock, News
from bridge.store import ReadStore
from bridge.store.views import WatchView

LOOK_EVERY_S: Final = 0.3
TEMPORARY: Final = 75
NAME_CELLS: Final = 40  # of a bar's name, so that bars line up
ROWS_LEFT: Final = 4  # rows of the terminal for the summary and the prompt


@command("wait")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@account_option
@click.option("--timeout", type=duration, metavar="DURATION", help="Stop waiting after this time, e.g. 10m; exit 75.")
@click.pass_obj
def wait_command(session: CommandSession, ids: Sequence[str], account: str | None, timeout: float | None) -> int:
    """Wait until tasks have finished, with live progress.

    Without ids: all tasks that are watched now. Progress goes to stderr. At the end, stdout has a line for each task:
    account, id, phase and URLs, separated by tabs.

    Exit 0 when all succeeded, 1 when some did not, 75 after --timeout. A daemon does the work: make sure one is
    running.
    """
    with session.reader() as store:
        known = store.news()  # first, so that changes made while we read are read again
        views = awaited_tasks(store, session.file, ids, account)
        if not views:
            click.echo("nothing is watched", err=True)
            return 0
        if count_live(views):
            session.hint_at_daemon()
        return anyio.run(_wait, store, views, known, estimates(store, session.file), timeout)


async def _wait(
    store: ReadStore, views: WatchViews, known: News, known_ends: Estimates, timeout_s: float | None
) -> int:
    clock = SystemClock()
    console = Console(stderr=True)
    board: Board = Lines(known_ends)
    with ExitStack() as stack:
        if console.is_terminal and not console.is_dumb_terminal:
            board = stack.enter_context(Bars(console, known_ends))
        views = await _until_over(store, views, known, board, clock=clock, until=_after(clock, timeout_s))
    for view in views.values():
        click.echo("\t".join([view.account, printable(view.task_id), view.phase, *map(printable, view.urls)]))
    if running := count_live(views):
        click.echo(f"genbridge: timed out: {running} of {count(len(views), 'task')} still running", err=True)
        return TEMPORARY
    return 0 if all_succeeded(views) else 1


async def _until_over(
    store: ReadStore, views: WatchViews, known: News, board: Board, *, clock: Clock, until: float | None
) -> WatchViews:
    """The views when every task has finished, or after the timeout. Reads the store only after a change."""
    try:
        board.show(views)
        while True:
            if known != (news := store.news()):
                known = news
                views = reread(store, views)
                board.show(views)
            if not count_live(views) or (until is not None and clock.steady() >= until):
                return views
            await clock.sleep(LOOK_EVERY_S)
    except StoreError as error:
        raise type(error)(f"{error}; the tasks are still watched") from error


def _after(clock: Clock, seconds: float | None) -> float | None:
    return None if seconds is None else clock.steady() + seconds


class Lines:
    """One line per change of phase: for pipes, logs and terminals that cannot move the cursor."""

    def __init__(self, known_ends: Estimates) -> None:
        self._seen: dict[WatchKey, str] = {}
        self._known_ends = known_ends

    def show(self, views: WatchViews) -> None:
        """Print what has changed."""
        for key, view in views.items():
            if self._seen.get(key) != view.phase:
                self._seen[key] = view.phase
                expected = _expected(self._known_ends, view)
                click.echo(f"{view.account}/{printable(view.task_id)}: {view.phase}{expected}", err=True)


class Bars:
    """A bar for each task, which moves if the provider reports progress. If the terminal has fewer rows than tasks,
    running tasks come first, and the summary counts the others."""

    def __init__(self, console: Console, known_ends: Estimates) -> None:
        self._known_ends = known_ends
        self._bars: dict[WatchKey, TaskID] = {}
        self._rows = max(1, console.height - ROWS_LEFT)
        self._progress = Progress(
            TextColumn("{task.fields[name]}"),
            BarColumn(),
            TextColumn("{task.fields[phase]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._sum: TaskID | None = None

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, views: WatchViews) -> None:
        """Update the bars."""
        live = [key for key, view in views.items() if view.phase in LIVE]
        ended = [key for key, view in views.items() if view.phase not in LIVE]
        seen = set((live + ended)[: self._rows])
        if len(views) > 1:
            self._show_sum(len(ended), len(views))
        for key, view in views.items():
            if key in seen or key in self._bars:
                self._show_bar(key, view, visible=key in seen)

    def _show_sum(self, ended: int, total: int) -> None:
        if self._sum is None:
            self._sum = self._progress.add_task("", name="all", phase="")
        self._progress.update(self._sum, total=total, completed=ended, phase=f"{ended} of {total} finished")

    def _show_bar(self, key: WatchKey, view: WatchView, *, visible: bool) -> None:
        if key not in self._bars:
            name = Text(printable(view.label or view.task_id))
            name.truncate(NAME_CELLS, overflow="ellipsis")
            self._bars[key] = self._progress.add_task("", name=name.markup, total=None, phase=view.phase)
        bar = self._bars[key]
        ended = view.phase not in LIVE
        done = 100.0 if ended else view.progress
        phase = view.phase + _expected(self._known_ends, view)
        self._progress.update(
            bar, total=None if done is None else 100.0, completed=done or 0.0, phase=phase, visible=visible
        )
        if ended:
            self._progress.stop_task(bar)


def _expected(known_ends: Estimates, view: WatchView) -> str:
    now = SystemClock().now()
    found = known_ends.of(view, now)
    return "" if found is None else f", done {eta(found, now)}"


Board = Lines | Bars
