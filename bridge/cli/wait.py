"""`wait`: live progress until tasks have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final

import anyio
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from bridge.cli.foresight import Foresight, eta, foresight
from bridge.cli.keys import find_keys
from bridge.cli.options import account_option, duration
from bridge.cli.session import Session, command
from bridge.cli.text import count, storable
from bridge.clock import SystemClock
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE, Phase
from bridge.domain.text import printable
from bridge.errors import StoreError
from bridge.ports import Clock, News
from bridge.store import Store
from bridge.store.views import WatchView

LOOK_EVERY_S: Final = 0.3
TEMPORARY: Final = 75
NAME_CELLS: Final = 40  # of a bar's name, so that bars stand below one another
ROWS_LEFT: Final = 4  # of the terminal, for the sum and the prompt

WatchViews = Mapping[WatchKey, WatchView]


@command("wait")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@account_option
@click.option("--timeout", type=duration, metavar="DURATION", help="Give up after so long, e.g. 10m; exit 75.")
@click.pass_obj
def wait_command(session: Session, ids: Sequence[str], account: str | None, timeout: float | None) -> int:
    """Wait until tasks have ended, with live progress.

    Without ids: all that are being watched now. Progress goes to stderr; at the end stdout has a line for each task:
    account, id, phase, URLs, parted by tabs.

    Exit 0 when all succeeded, 1 when some did not, 75 when the time is over. The daemon does the work: see that one
    runs.
    """
    with session.store() as store:
        known = store.news()  # before what is read now: what comes meanwhile is read again
        if ids:
            views = {key: store.view(key) for key in find_keys(session, store, ids, account)}
        else:
            views = _live(store, account)
        if not views:
            click.echo("nothing is being watched", err=True)
            return 0
        if any(view.phase in LIVE for view in views.values()):
            session.hint_at_daemon()
        return anyio.run(_wait, store, views, known, foresight(session, store), timeout)


def _live(store: Store, account: str | None) -> dict[WatchKey, WatchView]:
    return {
        WatchKey(view.account, view.task_id): view
        for phase in LIVE
        for view in store.list_watches(phase=phase, account=account and storable(account))
    }


async def _wait(store: Store, views: WatchViews, known: News, foreseen: Foresight, timeout_s: float | None) -> int:
    clock = SystemClock()
    console = Console(stderr=True)
    board: Board = Lines(foreseen)
    with ExitStack() as stack:
        if console.is_terminal and not console.is_dumb_terminal:
            board = stack.enter_context(Bars(console, foreseen))
        views = await _until_over(store, views, known, board, clock=clock, until=_after(clock, timeout_s))
    for view in views.values():
        click.echo("\t".join([view.account, printable(view.task_id), view.phase, *map(printable, view.urls)]))
    running = sum(view.phase in LIVE for view in views.values())
    if running:
        click.echo(f"genbridge: the time is over: {count(running, 'task')} of {len(views)} not ended", err=True)
        return TEMPORARY
    return 0 if all(view.phase is Phase.SUCCEEDED for view in views.values()) else 1


async def _until_over(
    store: Store, views: WatchViews, known: News, board: Board, *, clock: Clock, until: float | None
) -> WatchViews:
    """The views as they are when every task has ended or the time is over. Reads only when somebody has written."""
    try:
        board.show(views)
        while True:
            if known != (news := store.news()):
                known = news
                views = {key: view if view.phase not in LIVE else store.view(key) for key, view in views.items()}
                board.show(views)
            if all(view.phase not in LIVE for view in views.values()):
                return views
            if until is not None and clock.steady() >= until:
                return views
            await clock.sleep(LOOK_EVERY_S)
    except StoreError as error:
        raise type(error)(f"{error}; the tasks are still being watched") from error


def _after(clock: Clock, seconds: float | None) -> float | None:
    return None if seconds is None else clock.steady() + seconds


class Lines:
    """Plain lines, one for each change of phase: for pipes, logs and terminals that cannot move the cursor."""

    def __init__(self, foreseen: Foresight) -> None:
        self._seen: dict[WatchKey, str] = {}
        self._foreseen = foreseen

    def show(self, views: WatchViews) -> None:
        """Print what has changed."""
        for key, view in views.items():
            if self._seen.get(key) != view.phase:
                self._seen[key] = view.phase
                expected = _expected(self._foreseen, view)
                click.echo(f"{view.account}/{printable(view.task_id)}: {view.phase}{expected}", err=True)


class Bars:
    """A bar for each task, moving where the provider tells its progress. Of more tasks than the terminal has rows,
    those that have not ended come first, and the sum tells of the others."""

    def __init__(self, console: Console, foreseen: Foresight) -> None:
        self._foreseen = foreseen
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
        """Bring the bars up to date."""
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
        self._progress.update(self._sum, total=total, completed=ended, phase=f"{ended} of {total} ended")

    def _show_bar(self, key: WatchKey, view: WatchView, *, visible: bool) -> None:
        if key not in self._bars:
            name = Text(printable(view.label or view.task_id))
            name.truncate(NAME_CELLS, overflow="ellipsis")
            self._bars[key] = self._progress.add_task("", name=name.markup, total=None, phase=view.phase)
        bar = self._bars[key]
        ended = view.phase not in LIVE
        done = 100.0 if ended else view.progress
        phase = view.phase + _expected(self._foreseen, view)
        self._progress.update(
            bar, total=None if done is None else 100.0, completed=done or 0.0, phase=phase, visible=visible
        )
        if ended:
            self._progress.stop_task(bar)


def _expected(foreseen: Foresight, view: WatchView) -> str:
    now = SystemClock().now()
    found = foreseen.of(view, now)
    return "" if found is None else f", done {eta(found, now)}"


Board = Lines | Bars
