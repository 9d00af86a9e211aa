"""`run` and `once`: the daemon in the foreground, and a daemon that exits when everything is delivered."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import anyio
import click

from bridge import logs
from bridge.checking import check
from bridge.cli.options import duration
from bridge.cli.session import CommandSession, command
from bridge.cli.start_summary import start_summary
from bridge.clock import SystemClock
from bridge.config import load
from bridge.config.field_types import LEVELS, LOG_FORMATS
from bridge.config.load import Loaded
from bridge.daemon import Daemon, Stamp, stamp
from bridge.errors import ConfigError
from bridge.screen import screen_of
from bridge.store import DaemonLock, Place, Store, open_follower, open_reader
from bridge.store_location import ADOPTED, is_service, prepare

log = logs.get_logger()

F = TypeVar("F", bound=Callable[..., Any])


class LogOptions(NamedTuple):
    """The logging options of the command line; None if an option was not given."""

    level: str | None
    format: str | None

    @property
    def given(self) -> dict[str, str]:
        return {key: value for key, value in self._asdict().items() if value is not None}


def log_options(command: F) -> F:
    """Adds `-v`, `--log-level` and `--log-format`. The command gets them as `log_level` and `log_format`."""
    verbose: Callable[[F], F] = click.option(
        "-v", "--verbose", "log_level", flag_value="debug", default=None, help="Log every poll: --log-level debug."
    )
    level: Callable[[F], F] = click.option(
        "--log-level", "log_level", type=click.Choice(LEVELS), help="Log events of this level and above."
    )
    form: Callable[[F], F] = click.option(
        "--log-format", type=click.Choice(LOG_FORMATS), help="auto: console on a terminal, JSON otherwise."
    )
    return level(verbose(form(command)))


@command("run")
@log_options
@click.pass_obj
def run_command(session: CommandSession, log_level: str | None, log_format: str | None) -> int:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C.

    It reads its settings again on SIGHUP and when the settings file changes. If the new file is invalid, the old
    settings stay in force.
    """
    return _serve(session, once=False, timeout_s=None, said=LogOptions(log_level, log_format))


@command("once")
@click.option("--timeout", type=duration, metavar="DURATION", help="Stop after this time, e.g. 30m; exit 1.")
@log_options
@click.pass_obj
def once_command(session: CommandSession, timeout: float | None, log_level: str | None, log_format: str | None) -> int:
    """Work until all tasks are finished and delivered, then exit.

    Exit 0 when everything was delivered; 1 when a delivery is dead, a task timed out, or --timeout has passed. It does
    not wait for tasks and deliveries that can never finish: their account or endpoint is not in the settings, or the
    endpoint answered 410. The exit code is then 1.
    """
    return _serve(session, once=True, timeout_s=timeout, said=LogOptions(log_level, log_format))


def _serve(session: CommandSession, *, once: bool, timeout_s: float | None, said: LogOptions) -> int:
    loaded = _settled(session, said)
    seen = stamp(loaded.path)
    place = session.store_place
    placed = session.placed
    if placed.warning and not placed.is_adopted:
        log.warning("settings.warning", reason=placed.warning)
    prepare(placed)
    group_access = is_service(loaded.path)
    held = DaemonLock(place, group_access=group_access) if isinstance(place, Path) else nullcontext()
    with held as lock, closing(session.opened()) as store:
        if placed.is_adopted:
            log.warning("store.adopted", store=str(place), settings=str(loaded.path), reason=ADOPTED)
        if logs.is_for_people():
            click.echo(start_summary(loaded, place, store.counts(), screen_of(sys.stderr)), err=True)
        return anyio.run(_run, loaded, store, seen, once, timeout_s, place, said, lock.beat if lock else None)


async def _run(
    loaded: Loaded,
    store: Store,
    seen: Stamp,
    once: bool,
    timeout_s: float | None,
    served: Place,
    said: LogOptions,
    beat: Callable[[], None] | None,
) -> int:

    def reread() -> Loaded:
        fresh = CommandSession(_file=load.load(loaded.path, os.environ, resolvable=True))
        if fresh.store_place != served:
            # Otherwise, commands would add tasks to a store that no daemon serves.
            what = f"the daemon serves {served}; another store needs a restart"
            raise ConfigError([fresh.file.problem(["store"], what)])
        return _settled(fresh, said)

    ahead_s = store.ahead_s(SystemClock())
    if ahead_s:
        log.warning("clock.differs", seconds=round(ahead_s, 1))
    daemon = Daemon(
        loaded,
        store=store,
        clock=SystemClock(ahead_s),
        open_reader=lambda: open_reader(served),
        open_follower=lambda: open_follower(served),
        reread=reread,
        seen=seen,
        beat=beat,
        once=once,
        timeout_s=timeout_s,
    )
    return await daemon.run()


def _settled(session: CommandSession, said: LogOptions) -> Loaded:
    """The settings with resolved secrets. Also sets up the log as the options and settings say."""
    loaded = session.resolved()
    check(loaded)
    chosen = load.log_settings(loaded, os.environ, said.given)
    logs.set_up(level=chosen.level, syntax=chosen.format)
    for warning in loaded.warnings:
        log.warning("settings.warning", reason=warning)
    return loaded
