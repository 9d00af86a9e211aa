"""`run` and `once`: the daemon in the foreground, and a daemon that goes when everything is told."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import anyio
import click

from bridge import logs, wiring
from bridge.cli.options import duration
from bridge.cli.secrets import resolved
from bridge.cli.session import Session, command, is_service
from bridge.cli.text import wants_colors
from bridge.clock import SystemClock
from bridge.config import load
from bridge.config.load import Loaded
from bridge.daemon import Daemon, Stamp, stamp
from bridge.errors import ConfigError
from bridge.store import DaemonLock, Store, open_store

log = logs.get_logger()


@command("run")
@click.pass_obj
def run_command(session: Session) -> int:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C.

    SIGHUP, or a change of the settings file, makes it read its settings again; an invalid new file leaves the old
    settings in force.
    """
    return _serve(session, once=False, timeout_s=None)


@command("once")
@click.option("--timeout", type=duration, metavar="DURATION", help="Give up after so long, e.g. 30m; exit 1.")
@click.pass_obj
def once_command(session: Session, timeout: float | None) -> int:
    """Work until all has ended and been told, then exit.

    Exit 0 when all was told; 1 when a delivery died, a task timed out, or the time is over. What can never end or be
    told by these settings (an account or endpoint they do not hold, an endpoint that answered 410) is not waited for,
    and the exit code is 1.
    """
    return _serve(session, once=True, timeout_s=timeout)


def _serve(session: Session, *, once: bool, timeout_s: float | None) -> int:
    loaded = _settled(session)
    seen = stamp(loaded.path)
    place = session.store_place
    group_access = is_service(loaded.path)
    with DaemonLock(place, group_access=group_access) if isinstance(place, Path) else nullcontext():
        store = open_store(place, create=True, group_access=group_access)
        try:
            return anyio.run(_run, loaded, store, seen, once, timeout_s)
        finally:
            store.close()


async def _run(loaded: Loaded, store: Store, seen: Stamp, once: bool, timeout_s: float | None) -> int:
    served = load.store_place(loaded, os.environ)

    def reread() -> Loaded:
        fresh = Session(_loaded=load.load(loaded.path, os.environ, resolvable=True))
        if fresh.store_place != served:
            # Commands would add to a store that nobody serves.
            what = f"the daemon serves {served}; another store takes a restart"
            raise ConfigError([fresh.loaded.problem(["store"], what)])
        return _settled(fresh)

    ahead_s = store.ahead_s(SystemClock())
    if ahead_s:
        log.warning("clock.differs", seconds=round(ahead_s, 1))
    daemon = Daemon(
        loaded, store=store, clock=SystemClock(ahead_s), reread=reread, seen=seen, once=once, timeout_s=timeout_s
    )
    return await daemon.run()


def _settled(session: Session) -> Loaded:
    """The settings with secrets read, and the log set up as they say."""
    loaded = resolved(session)
    wiring.check(loaded, services=False)
    chosen = load.log_settings(loaded, os.environ)
    logs.set_up(level=chosen.level, form=chosen.format, colors=wants_colors(os.environ))
    for warning in loaded.warnings:
        log.warning("settings.warning", reason=warning)
    return loaded
