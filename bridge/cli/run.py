"""`run` and `once`: the daemon in the foreground, and a daemon that exits when everything is delivered."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import click

from bridge import __version__, logs
from bridge.cli.options import F, duration
from bridge.cli.session import CommandSession, clock_of, command
from bridge.config import load
from bridge.config.field_types import LEVELS, LOG_FORMATS
from bridge.config.load import Loaded
from bridge.config.settings_file import read_settings
from bridge.daemon import Daemon, stamp
from bridge.domain.listen_address import ListenAddress
from bridge.domain.plurals import count
from bridge.domain.quoting import printable
from bridge.domain.views import Counts
from bridge.errors import ConfigError, StoreError
from bridge.redaction import hidden
from bridge.screen import Screen, folded, screen_of
from bridge.store import DaemonLock, StorePlace
from bridge.wiring.store_location import ADOPTED, is_service, member_file, prepare

log = logs.get_logger()

NAME_CELLS: Final = 11  # width of the first word of a line in the start summary

LogOptions = Mapping[str, str | None]
"""The logging options of the command line, by key of the setting `log`; None if an option was not given."""


def log_options(command: F) -> F:
    """Adds `-v`, `--log-level` and `--log-format`. The command gets them as `level` and `format`."""
    verbose: Callable[[F], F] = click.option(
        "-v", "--verbose", "level", flag_value="debug", default=None, help="Log every poll, as --log-level debug does."
    )
    level: Callable[[F], F] = click.option(
        "--log-level", "level", type=click.Choice(LEVELS), help="Log events of this level and above."
    )
    form: Callable[[F], F] = click.option(
        "--log-format", "format", type=click.Choice(LOG_FORMATS), help="auto: console on a terminal, JSON otherwise."
    )
    return level(verbose(form(command)))


@command("run")
@log_options
def run_command(session: CommandSession, /, **said: str | None) -> int:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C.

    It reads its settings again on SIGHUP and when the settings file changes. If the new file is invalid, the old
    settings stay in force.
    """
    return _serve(session, once=False, timeout_s=None, said=said)


@command("once")
@click.option("--timeout", type=duration, metavar="DURATION", help="Stop after this time, e.g. 30m; exit 1.")
@log_options
def once_command(session: CommandSession, /, timeout: float | None, **said: str | None) -> int:
    """Work until all tasks are finished and delivered, then exit.

    Exit 0 when everything was delivered; 1 when a delivery became dead, a task timed out, or --timeout has passed.
    `once` does not wait for tasks and deliveries that can never finish: their account is not in the settings, or the
    endpoint answered 410. The exit code is then 1. Deliveries to an endpoint that you have removed do not count.
    """
    return _serve(session, once=True, timeout_s=timeout, said=said)


def _serve(session: CommandSession, *, once: bool, timeout_s: float | None, said: LogOptions) -> int:
    seen = stamp(session.path)  # first, so that a change while the settings are checked is noticed
    loaded = _settled(session.working(), said)
    place = session.store_place
    placed = session.placed
    if placed.warning and not placed.is_adopted:
        log.warning("settings.warning", reason=placed.warning)
    prepare(placed)
    with _held(loaded, place) as lock, closing(session.opened()) as store:
        store.machine_lock = lock if store.is_shared else None
        if placed.is_adopted:
            log.warning("store.adopted", store=str(place), settings=str(loaded.path), reason=ADOPTED)
        if logs.is_for_people():
            click.echo(start_summary(loaded, place, store.counts(), screen_of(sys.stderr)), err=True)

        async def run() -> int:
            clock = clock_of(store)
            if clock.ahead_s:
                log.warning("clock.differs", seconds=round(clock.ahead_s, 1))
            daemon = Daemon(
                loaded,
                store=store,
                clock=clock,
                place=place,
                reread=partial(_reread, loaded.path, place, said),
                seen=seen,
                beat=lock.beat if lock is not None and not store.is_shared else None,
                once=once,
                timeout_s=timeout_s,
            )
            return await daemon.run()

        return anyio.run(run)


@contextmanager
def _held(loaded: Loaded, place: StorePlace) -> Iterator[DaemonLock | None]:
    """The lock of the store. A shared store has its leases: there the lock, if it can be taken, only proves to the next
    daemon with these settings that this one has ended."""
    group_access = is_service(loaded.path)
    if isinstance(place, Path):
        with DaemonLock(place, group_access=group_access) as lock:
            yield lock
        return
    with ExitStack() as stack:
        held = None
        with suppress(StoreError, ConfigError):
            file = member_file(loaded, place, os.environ)
            held = stack.enter_context(DaemonLock(file, group_access=group_access))
        yield held


def _reread(path: Path, served: StorePlace, said: LogOptions) -> Loaded:
    """The settings in the file now. ConfigError lists every mistake, as at the start, and a store that has changed."""
    fresh, loaded = CommandSession(_file=read_settings(path, [], variables=os.environ)), None
    problems: list[str] = []
    try:
        loaded = fresh.working()
    except ConfigError as error:
        problems += error.problems
    with suppress(ConfigError):  # the mistakes are known
        if fresh.store_place != served:
            # Otherwise, commands would add tasks to a store that no daemon serves.
            problems.append(
                fresh.file.problem(
                    ["store"], f"the daemon works on {served}; it uses another store only after a restart"
                )
            )
    if loaded is None or problems:
        raise ConfigError(problems)
    return _settled(loaded, said)


def _settled(loaded: Loaded, said: LogOptions) -> Loaded:
    """These settings; sets up the log as the options and settings say."""
    chosen = load.log_settings(loaded, os.environ, {key: value for key, value in said.items() if value is not None})
    logs.set_up(level=chosen.level, syntax=chosen.format)
    for warning in loaded.warnings:
        log.warning("settings.warning", reason=warning)
    return loaded


def start_summary(loaded: Loaded, place: StorePlace, counts: Counts, screen: Screen) -> str:
    """The summary, in lines that fit the screen; addresses are printed without their secret parts."""
    lines = [screen.painted(f"genbridge {__version__}", "bold")]
    for name, text in _facts(loaded, place, counts):
        for number, part in enumerate(folded(printable(hidden(text)), screen.width - NAME_CELLS - 2)):
            lines.append(f"  {' ' * NAME_CELLS if number else screen.painted(f'{name:<{NAME_CELLS}}', 'dim')}{part}")
    lines += ["Ctrl-C stops it. Unfinished work stays in the store.", ""]
    return "\n".join(lines)


def _facts(loaded: Loaded, place: StorePlace, counts: Counts) -> Iterator[tuple[str, str]]:
    settings = loaded.settings
    accounts = [
        name + ("" if name == one.provider else f" ({one.provider})") + (", discovers" if one.discover_s else "")
        for name, one in settings.accounts.items()
    ]
    yield "settings", str(loaded.path)
    yield "accounts", "; ".join(accounts)
    sources = [f"{source} {path}" for source, path in loaded.source_paths.items()]
    yield "sources", "; ".join([*sources, "`genbridge add`"])
    endpoints = [f"{name} ({one.place(with_port=True)})" for name, one in settings.endpoints.items()]
    yield "endpoints", "; ".join(endpoints) or "none: nobody is notified"
    yield "store", f"{place}: {count(counts.live, 'live task')}, {count(counts.waiting, 'delivery')} waiting"
    if settings.http is not None:
        yield "page", settings.http.public_url or _page(settings.http.address)


def _page(address: ListenAddress) -> str:
    if not address.path and not address.port:
        return "on a free port; see the log"
    return str(address) if address.path else f"http://{address}"
