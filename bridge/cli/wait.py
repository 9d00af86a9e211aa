"""`wait`: live progress until tasks have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import anyio
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bridge.cli.session import Session, command
from bridge.cli.tasks import find_keys
from bridge.cli.text import safe
from bridge.clock import SystemClock
from bridge.config.durations import parse_duration
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE, Phase
from bridge.errors import StoreError, UsageError
from bridge.store import SqliteStore
from bridge.store.views import WatchView

LOOK_EVERY_S: Final = 0.3
TEMPORARY: Final = 75


@command("wait")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--account", help="When several accounts watch an id.")
@click.option("--timeout", metavar="DURATION", help="Give up after so long, e.g. 10m; exit 75.")
@click.pass_obj
def wait_command(session: Session, ids: Sequence[str], account: str | None, timeout: str | None) -> int:
    """Wait until these tasks (by default: all being watched) have ended, with live progress.

    Exit 0 when all succeeded, 1 when some did not, 75 when the time is over. A daemon must be running.
    """
    try:
        timeout_s = parse_duration(timeout) if timeout is not None else None
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
    with session.store() as store:
        if ids:
            keys = find_keys(store, ids, account)
        else:
            keys = [
                WatchKey(view.account, view.task_id)
                for phase in LIVE
                for view in store.list_watches(phase=phase, account=account, label=None, limit=None)
            ]
        if not keys:
            click.echo("nothing is being watched", err=True)
            return 0
        return anyio.run(_wait, store, keys, timeout_s)


async def _wait(store: SqliteStore, keys: Sequence[WatchKey], timeout_s: float | None) -> int:
    clock = SystemClock()
    console = Console(stderr=True)
    board: Board = Bars(console) if console.is_terminal else Lines()
    until = None if timeout_s is None else clock.steady() + timeout_s
    with board:
        while True:
            views = _views(store, keys)
            board.show(views)
            if all(view.phase not in LIVE for view in views.values()):
                break
            if until is not None and clock.steady() >= until:
                click.echo("genbridge: the time is over", err=True)
                return TEMPORARY
            await clock.sleep(LOOK_EVERY_S)
    for view in views.values():
        click.echo("\t".join([view.account, safe(view.task_id), view.phase, *view.urls]))
    return 0 if all(view.phase == Phase.SUCCEEDED for view in views.values()) else 1


def _views(store: SqliteStore, keys: Sequence[WatchKey]) -> Mapping[WatchKey, WatchView]:
    try:
        return {key: store.view(key) for key in keys}
    except StoreError as error:
        raise StoreError(f"{error}; the tasks are still being watched") from error


class Lines:
    """Plain lines, one for each change of phase: for pipes and logs."""

    def __init__(self) -> None:
        self._seen: dict[WatchKey, str] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, views: Mapping[WatchKey, WatchView]) -> None:
        """Print what has changed."""
        for key, view in views.items():
            if self._seen.get(key) != view.phase:
                self._seen[key] = view.phase
                click.echo(f"{view.account}/{safe(view.task_id)}: {view.phase}", err=True)


class Bars:
    """A bar for each task, moving where the provider tells its progress."""

    def __init__(self, console: Console) -> None:
        self._bars: dict[WatchKey, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[phase]}"),
            TimeElapsedColumn(),
            console=console,
        )

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, views: Mapping[WatchKey, WatchView]) -> None:
        """Bring the bars up to date."""
        for key, view in views.items():
            if key not in self._bars:
                name = safe(view.label or view.task_id)
                self._bars[key] = self._progress.add_task(name, total=None, phase=view.phase)
            ended = view.phase not in LIVE
            done = 100.0 if ended else view.progress
            total = 100.0 if done is not None else None
            self._progress.update(self._bars[key], total=total, completed=done or 0, phase=view.phase)
            if ended:
                self._progress.stop_task(self._bars[key])


Board = Lines | Bars
