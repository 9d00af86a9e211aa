"""`wait`: live progress until tasks have finished."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import anyio
import click
from rich.console import Console

from bridge.cli.listing import PHASE_MARKS
from bridge.cli.options import account_option, duration
from bridge.cli.output import print_json
from bridge.cli.session import CommandSession, command
from bridge.cli.wait_board import Bars, summary
from bridge.clock import SystemClock
from bridge.control.estimates import Estimates, estimates, is_vague, when_done
from bridge.control.formats import clock_span, count
from bridge.control.waiting import WatchViews, all_succeeded, awaited_tasks, count_live, reread
from bridge.control.watch_list import watch_json
from bridge.domain.ids import WatchKey
from bridge.domain.quoting import printable
from bridge.domain.task import LIVE
from bridge.domain.views import WatchView
from bridge.errors import StoreError
from bridge.ports import Clock, News
from bridge.screen import BAD, Screen, can_move_cursor, screen_of
from bridge.store import ReadStore

LOOK_EVERY_S: Final = 0.3
TEMPORARY: Final = 75


@command("wait")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@account_option
@click.option("--timeout", type=duration, metavar="DURATION", help="Stop waiting after this time, e.g. 10m; exit 75.")
@click.pass_obj
def wait_command(session: CommandSession, ids: Sequence[str], account: str | None, timeout: float | None) -> int:
    """Wait until tasks have finished, with live progress.

    Without ids: all tasks that are watched now. Progress goes to stderr. At the end, stdout has a line for each task:
    account, id, phase and URLs, separated by tabs; on a terminal, the same for people.

    Exit 0 when all succeeded, 1 when some did not, 75 after --timeout. A daemon does the work: make sure one is
    running.
    """
    with session.reader() as store:
        known = store.news()  # read first, so that changes during the next read are noticed
        views = awaited_tasks(store, session.file, ids, account)
        if not views:
            click.echo("nothing is watched", err=True)
            return 0
        return wait_for(session, store, views, known, timeout)


def wait_for(
    session: CommandSession,
    store: ReadStore,
    views: WatchViews,
    known: News,
    timeout_s: float | None,
    *,
    as_json: bool = False,
) -> int:
    """Show progress on stderr until these tasks have finished or the timeout has passed. Then print them, and return
    the exit code. `known`: the store's `news()` from before the tasks were read."""
    if count_live(views):
        session.hint_at_daemon()
    clock, screen = SystemClock(), screen_of(sys.stderr)
    began_at = clock.steady()
    try:
        views = anyio.run(_wait, store, views, known, estimates(store, session.file), timeout_s)
    except KeyboardInterrupt:
        click.echo("note: stopped waiting; the tasks are still watched", err=True)
        raise
    if as_json:
        print_json([watch_json(view) for view in views.values()])
    else:
        _print_results(views)
    if screen.is_terminal and len(views) > 1:
        click.echo(summary(views, screen, clock.steady() - began_at), err=True)
    if running := count_live(views):
        is_or_are = "is" if running == 1 else "are"
        click.echo(
            f"genbridge: timed out: {running} of {count(len(views), 'task')} {is_or_are} still running", err=True
        )
        return TEMPORARY
    return 0 if all_succeeded(views) else 1


def _print_results(views: WatchViews) -> None:
    """Print a line for each task on stdout: with tabs for programs; with marks on a terminal, where each URL has its
    own line."""
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
    store: ReadStore, views: WatchViews, known: News, known_ends: Estimates, timeout_s: float | None
) -> WatchViews:
    clock, screen = SystemClock(), screen_of(sys.stderr)
    board: Board = Lines(known_ends)
    with ExitStack() as stack:
        if can_move_cursor(screen):
            board = stack.enter_context(Bars(Console(stderr=True, highlight=False), screen, known_ends))
        return await _until_over(store, views, known, board, clock=clock, until=_after(clock, timeout_s))


async def _until_over(
    store: ReadStore, views: WatchViews, known: News, board: Board, *, clock: Clock, until: float | None
) -> WatchViews:
    """The views when every task has finished, or after the timeout. Reads the store only after a change."""
    try:
        while True:
            board.show(views)
            if not count_live(views) or (until is not None and clock.steady() >= until):
                return views
            await clock.sleep(LOOK_EVERY_S)
            if known != (news := store.news()):
                known = news
                views = reread(store, views)
    except StoreError as error:
        raise type(error)(f"{error}; the tasks are still watched") from error


def _after(clock: Clock, seconds: float | None) -> float | None:
    return None if seconds is None else clock.steady() + seconds


class Lines:
    """Prints one line per change of phase: for pipes, logs and terminals that cannot move the cursor."""

    def __init__(self, known_ends: Estimates) -> None:
        self._seen: dict[WatchKey, str] = {}
        self._known_ends = known_ends

    def show(self, views: WatchViews) -> None:
        """Print the changes."""
        for key, view in views.items():
            if self._seen.get(key) != view.phase:
                self._seen[key] = view.phase
                click.echo(f"{view.account}/{printable(view.task_id)}: {view.phase}{self._expected(view)}", err=True)

    def _expected(self, view: WatchView) -> str:
        now = SystemClock().now()
        found = self._known_ends.of(view, now)
        return "" if found is None or is_vague(found, now) or view.phase not in LIVE else f", {when_done(found, now)}"


Board = Lines | Bars
