"""`wait`: live progress until tasks have finished, with a bar for each task on a terminal."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Final

import anyio
import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge.cli.foreground import cursor_after_sigterm
from bridge.cli.listing import PHASE_MARKS
from bridge.cli.options import account_option, duration
from bridge.cli.output import print_json
from bridge.cli.session import CommandSession, clock_of, command
from bridge.clock import SystemClock
from bridge.control.estimates import Estimates, estimates, eta, is_vague, when_done
from bridge.control.formats import clock_span
from bridge.control.lookup import find_keys, listed_account
from bridge.control.store_now import StoreNow
from bridge.control.watch_list import WatchList
from bridge.domain.filters import WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.plurals import count
from bridge.domain.quoting import printable
from bridge.domain.task import LIVE, Phase
from bridge.domain.views import WatchView
from bridge.errors import StoreDamaged, StoreError
from bridge.ports import News
from bridge.screen import BAD, BUSY, GOOD, MARK_STYLES, Screen, can_move_cursor, cut, screen_of
from bridge.store import ReadStore

LOOK_EVERY_S: Final = 0.3
HINT_EVERY_S: Final = 3.0
OUTAGE_MOST_S: Final = 60.0  # a store that cannot be read for longer ends the command; a server may have restarted
TEMPORARY: Final = 75
ROWS_LEFT: Final = 4  # rows of the terminal for the summary, the number of further tasks, and the prompt
NAME_CELLS: Final = 28  # at most; fewer on a narrow terminal
STATE_CELLS: Final = 24
OTHER_CELLS: Final = 20  # of a row: the mark, the shortest bar, the time, and the gaps
NEARLY: Final = 0.95  # a bar that is filled by an estimate stops here until the task has finished
COLORS: Final = {"good": "green", "bad": "red", "busy": "cyan", "dim": "dim"}

WatchViews = Mapping[WatchKey, WatchView]


@command("wait")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@account_option
@click.option("--timeout", type=duration, metavar="DURATION", help="Stop waiting after this time, e.g. 10m; exit 75.")
def wait_command(session: CommandSession, ids: Sequence[str], account: str | None, timeout: float | None) -> int:
    """Wait until tasks have finished, with live progress.

    Without ids: all tasks that are watched now. Progress goes to stderr. At the end, stdout has a line for each task:
    account, id, phase and URLs, separated by tabs. On a terminal, the lines have marks, and each URL has its own line.

    Exit 0 when all tasks succeeded, 1 when some did not, 75 after --timeout. A daemon does the work: make sure that
    one is running.
    """
    with session.asking() as at:
        known = at.store.news()  # read first, so that changes during the next read are noticed
        views = _awaited_tasks(at, ids, account)
        if not views:
            click.echo("no task is running: nothing to wait for", err=True)
            return 0
        return wait_for(session, at, views, known, timeout)


def wait_for(
    session: CommandSession,
    at: StoreNow,
    views: WatchViews,
    known: News,
    timeout_s: float | None,
    *,
    as_json: bool = False,
) -> int:
    """Show progress on stderr until these tasks have finished or the timeout has passed. Then print them, and return
    the exit code. `known`: the store's `news()` from before the tasks were read."""
    if _count_live(views):
        session.hint_at_daemon()
    clock, screen = clock_of(at.store), screen_of(sys.stderr)
    began_at, known_ends = clock.steady(), estimates(at)
    try:
        views = anyio.run(_wait, at.store, views, known, known_ends, timeout_s, clock, session.hint_at_daemon)
    except KeyboardInterrupt:
        click.echo("note: stopped waiting; the tasks are still watched", err=True)
        raise
    except StoreError as error:
        raise type(error)(f"{error}; the tasks are still watched") from error
    if as_json:
        print_json(WatchList(views=list(views.values()), next=None, estimates=known_ends, now=clock.now()).json())
    else:
        _print_results(views)
    if screen.is_terminal and len(views) > 1:
        click.echo(summary(views, screen, clock.steady() - began_at), err=True)
    if running := _count_live(views):
        is_or_are = "is" if running == 1 else "are"
        click.echo(
            f"genbridge: timed out: {running} of {count(len(views), 'task')} {is_or_are} still running", err=True
        )
        return TEMPORARY
    return 0 if _all_succeeded(views) else 1


def _print_results(views: WatchViews) -> None:
    """Print a line for each task on stdout, with tabs; on a terminal with marks, and each URL on its own line."""
    screen = screen_of(sys.stdout)
    for view in views.values():
        if screen.is_terminal:
            click.echo("\n".join(_result(view, screen)))
        else:
            click.echo("\t".join([view.account, printable(view.task_id), view.phase, *map(printable, view.urls)]))


def _result(view: WatchView, screen: Screen) -> Sequence[str]:
    took = "" if view.ended_at is None else f" after {clock_span(view.ended_at - view.added_at)}"
    reason = f": {view.reason}" if view.reason else ""
    label = f" ({view.label})" if view.label else ""
    line = printable(f"{view.account}/{view.task_id}{label} {view.phase}{took}{reason}")
    return [screen.mark(PHASE_MARKS.get(view.phase, BAD)) + line, *(f"  {printable(url)}" for url in view.urls)]


async def _wait(
    store: ReadStore,
    views: WatchViews,
    known: News,
    known_ends: Estimates,
    timeout_s: float | None,
    clock: SystemClock,
    hint: Callable[[], None],
) -> WatchViews:
    """The views when every task has finished, or after the timeout. `hint` says if the daemon has stopped.

    StoreError if the store cannot be read for more than a minute; StoreDamaged at once.
    """
    screen = screen_of(sys.stderr)
    until = math.inf if timeout_s is None else clock.steady() + timeout_s
    hint_at = clock.steady() + HINT_EVERY_S
    failed_at: float | None = None  # when the store could not be read for the first time since it last could
    console = Console(stderr=True, highlight=False, color_system="auto" if screen.marks else None)
    bars = Bars(console, screen, known_ends, clock) if can_move_cursor(screen) else None
    with cursor_after_sigterm() if bars else nullcontext(), bars or nullcontext(Lines(known_ends, clock)) as board:
        while True:
            board.show(views)
            if not _count_live(views) or clock.steady() >= until:
                return views
            await clock.sleep(LOOK_EVERY_S)
            try:
                if clock.steady() >= hint_at:
                    hint()
                    hint_at = clock.steady() + HINT_EVERY_S
                if known != (news := store.news()):
                    views = {key: store.view(key) if view.phase in LIVE else view for key, view in views.items()}
                    known = news
                failed_at = None
            except StoreDamaged:
                raise
            except StoreError as error:
                if failed_at is None:
                    failed_at = clock.steady()
                    click.echo(f"note: {error}; trying again", err=True)
                elif clock.steady() - failed_at > OUTAGE_MOST_S:
                    raise


class Lines:
    """Prints one line per change of phase: for pipes, logs and terminals that cannot move the cursor."""

    def __init__(self, known_ends: Estimates, clock: SystemClock) -> None:
        self._seen: dict[WatchKey, str] = {}
        self._known_ends = known_ends
        self._clock = clock

    def show(self, views: WatchViews) -> None:
        """Print the changes."""
        for key, view in views.items():
            if self._seen.get(key) != view.phase:
                self._seen[key] = view.phase
                click.echo(f"{view.account}/{printable(view.task_id)}: {view.phase}{self._expected(view)}", err=True)

    def _expected(self, view: WatchView) -> str:
        now = self._clock.now()
        found = self._known_ends.of(view, now)
        return "" if found is None or is_vague(found, now) or view.phase not in LIVE else f", {when_done(found, now)}"


class Bars:
    """A bar for each task, those that should finish first at the top. Tasks that do not fit are counted."""

    def __init__(self, console: Console, screen: Screen, known_ends: Estimates, clock: SystemClock) -> None:
        self._console = console
        self._screen = screen
        self._known_ends = known_ends
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._clock = clock
        self._began_at = self._clock.steady()
        self._parts: dict[int, float] = {}  # by watch id, so that a bar never goes back

    def __enter__(self) -> Bars:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._live.transient = kind is None  # after Ctrl-C the last known state stays on the terminal
        self._live.stop()

    def show(self, views: WatchViews) -> None:
        """Show the current progress of the tasks."""
        self._live.update(Group(*self.rows(views, self._clock.now())), refresh=True)

    def rows(self, views: WatchViews, now: float) -> Sequence[Table | Text]:
        """The bars, the number of tasks without one, and the summary."""
        found = sorted(views.values(), key=lambda view: self._order(view, now))
        room = max(1, self._console.height - ROWS_LEFT)
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        for each in ("left", "left", "left", "left", "right"):
            grid.add_column(justify=each, no_wrap=True, overflow="ellipsis")
        grid.columns[2].ratio = 1
        spare = self._console.width - OTHER_CELLS
        name_cells = min(NAME_CELLS, max(6, spare * 3 // 5))
        state_cells = min(STATE_CELLS, max(6, spare - name_cells))
        grid.columns[3].min_width = min(state_cells, self._console.width // 4)
        for view in found[:room]:
            grid.add_row(*self._row(view, now, name_cells, state_cells))
        more = [Text(f"  {len(found) - room} more", style="dim")] if len(found) > room else []
        return [grid, *more, *([self._sum(views)] if len(views) > 1 else [])]

    def _row(self, view: WatchView, now: float, name_cells: int, state_cells: int) -> tuple[Text | ProgressBar, ...]:
        done = self._done(view, now)
        mark = PHASE_MARKS.get(view.phase, BAD)
        style = COLORS[MARK_STYLES[mark]]
        name = Text(cut(printable(view.label or view.task_id), name_cells))
        bar = ProgressBar(total=1.0, completed=done or 0.0, complete_style=style, finished_style=style)
        state = self._state(view, now) if view.phase in LIVE else printable(view.reason or view.phase)
        took = clock_span((view.ended_at or now) - view.added_at)
        return (
            Text(mark if self._screen.marks else "", style=style),
            name,
            bar,
            Text(cut(state, state_cells)),
            Text(took, style="dim"),
        )

    def _state(self, view: WatchView, now: float) -> str:
        expected = self._known_ends.of(view, now)
        percent = "" if view.progress is None else f"{view.progress:.0f}%"
        if expected is None or is_vague(expected, now):
            return percent or view.phase
        return f"{percent} {eta(expected, now)}".strip()

    def _done(self, view: WatchView, now: float) -> float | None:
        """How much of a task is done, according to the provider or to similar tasks; None: unknown."""
        if view.phase not in LIVE:
            return 1.0
        if view.progress is not None:
            return min(view.progress / 100, 1.0)
        expected = self._known_ends.of(view, now)
        if expected is None:
            return None
        part = min(max(0.0, now - view.added_at) / max(1e-9, expected.at - view.added_at), NEARLY)
        self._parts[view.watch_id] = max(part, self._parts.get(view.watch_id, 0.0))
        return self._parts[view.watch_id]

    def _order(self, view: WatchView, now: float) -> tuple[int, float]:
        """Sort key: live tasks by expected finish, then finished tasks, the last first."""
        if view.phase not in LIVE:
            return 2, -(view.ended_at or 0.0)
        done, age_s = self._done(view, now), max(0.0, now - view.added_at)
        if not done:
            return 1, -age_s
        return 0, age_s * (1 - done) / done

    def _sum(self, views: WatchViews) -> Text:
        total, live = len(views), _count_live(views)
        waited = clock_span(self._clock.steady() - self._began_at)
        mark = f"{BUSY} " if self._screen.marks else ""
        text = Text(f"{mark}{total - live} of {total} finished", style="bold")
        text.append(f"  {_phases_text(views)}  {waited}", style="not bold dim")
        text.truncate(self._console.width, overflow="ellipsis")
        return text


def summary(views: WatchViews, screen: Screen, waited_s: float) -> str:
    """The summary row: how many tasks have finished, and with which result."""
    total, live = len(views), _count_live(views)
    mark = screen.mark(BUSY if live else GOOD if _all_succeeded(views) else BAD)
    return f"{mark}{total - live} of {total} finished: {_phases_text(views)}, in {clock_span(waited_s)}"


def _awaited_tasks(at: StoreNow, ids: Sequence[str], account: str | None) -> WatchViews:
    """The tasks with these ids, or without ids all live ones, the oldest first. Errors as for `find_keys`."""
    if ids:
        return {key: at.store.view(key) for key in find_keys(at, ids, account)}
    listed_account(at, account)
    live = at.store.list_watches(WatchFilter(phases=tuple(sorted(LIVE)), account=account))
    return {WatchKey(view.account, view.task_id): view for view in reversed(live)}


def _count_live(views: WatchViews) -> int:
    return sum(view.phase in LIVE for view in views.values())


def _all_succeeded(views: WatchViews) -> bool:
    return all(view.phase is Phase.SUCCEEDED for view in views.values())


def _phases_text(views: WatchViews) -> str:
    """The number of tasks in each phase: `2 running, 5 succeeded, 1 failed`."""
    numbers = Counter(view.phase for view in views.values())
    return ", ".join(f"{numbers[phase]} {phase}" for phase in Phase if numbers[phase])
