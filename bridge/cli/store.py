"""`store`: bringing a store up to date, and moving it from one engine to another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from bridge.cli.session import Session, config_option, is_service
from bridge.cli.text import count
from bridge.config.load import place_of
from bridge.errors import StoreBusy, UsageError
from bridge.store import DaemonLock, Place, Store, migrate_store, open_store


@click.group("store")
@config_option
def store_command() -> None:
    """Bring the store up to date, or move it elsewhere."""


@store_command.command("migrate")
@config_option
@click.pass_obj
def migrate_command(session: Session) -> None:
    """Bring the store of the settings up to date.

    In PostgreSQL this also makes the tables. `genbridge run` does both at its start; this is for whoever wants it done
    beforehand, or by another user than the daemon's.
    """
    place = session.store_place
    with locked(place):
        before, now = migrate_store(place, group_access=is_service(session.loaded.path))
    if before == now:
        click.echo(f"store {place}: version {now}, up to date")
    else:
        click.echo(f"store {place}: brought from version {before} to {now}" if before else f"store {place}: made")


@store_command.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("to", metavar="TO")
def copy_command(source: str, to: str) -> None:
    """Copy a whole store into an empty one.

    FROM and TO are paths or postgresql:// URLs; ${NAME} in them (within single quotes) is taken from the environment,
    so that no password is seen in the list of processes. Everything goes: watches, history, events with their ids and
    bytes, deliveries, attempts, what is known of accounts and endpoints, how far sources have been read. In TO it is
    one transaction. Stop the daemon first; then name TO as `store` in the settings, and start it.
    """
    origin, target = place_of(source, os.environ), place_of(to, os.environ)
    if origin == target:
        raise UsageError("FROM and TO are the same store")
    with ExitStack() as stack:
        stack.enter_context(locked(origin))
        one = open_store(origin, create=False, group_access=False)
        stack.callback(one.close)
        _see_that_nobody_works_on(one, origin)
        stack.enter_context(locked(target))
        other = open_store(target, create=True, group_access=False)
        stack.callback(other.close)
        with one.contents() as contents:
            counts = other.fill(contents)
    click.echo(f"copied from {origin} to {target}: {_told(counts)}")


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """No daemon works on this file meanwhile; StoreBusy names the one that does."""
    if not isinstance(place, Path) or not place.exists():
        yield
        return
    with DaemonLock(place):
        yield


def _see_that_nobody_works_on(store: Store, place: Place) -> None:
    """What daemons did to it afterwards would be lost. (Of a file the lock says so.)"""
    if members := [view.member for view in store.members()]:
        raise StoreBusy(
            f"store {place}: daemons work on it ({', '.join(members)}): stop them first (one that was killed is gone "
            "after sharing.takeover)"
        )


def _told(counts: Mapping[str, int]) -> str:
    """The tables that people know by name."""
    words = {"watches": "task", "events": "event", "deliveries": "delivery", "attempts": "attempt"}
    return ", ".join(count(counts[table], word) for table, word in words.items())
