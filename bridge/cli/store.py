"""`store`: upgrading a store, and moving it from one engine to another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from bridge.cli import config_option
from bridge.cli.session import CommandSession
from bridge.config.settings_file import parse_store_location
from bridge.control.formats import count
from bridge.errors import StoreBusy, UsageError
from bridge.store import DaemonLock, Place, Store, migrate_store, open_store
from bridge.store_location import is_service


@click.group("store")
@config_option
def store_command() -> None:
    """Upgrade the store, or move it elsewhere."""


@store_command.command("migrate")
@config_option
@click.pass_obj
def migrate_command(session: CommandSession) -> None:
    """Upgrade the store of the settings.

    In PostgreSQL this also creates the tables. `genbridge run` does both when it starts. Use this command to do it
    earlier, or as a user with more rights.
    """
    place = session.store_place
    with locked(place):
        before, now = migrate_store(place, group_access=is_service(session.file.path))
    if before == now:
        click.echo(f"store {place}: version {now}, up to date")
    else:
        click.echo(f"store {place}: upgraded from version {before} to {now}" if before else f"store {place}: created")


@store_command.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("to", metavar="TO")
def copy_command(source: str, to: str) -> None:
    """Copy a whole store into an empty one.

    FROM and TO are paths or postgresql:// URLs. ${NAME} in them (in single quotes) is read from the environment, so no
    password appears in the process list. Everything is copied: tasks, history, events with their ids and bytes,
    deliveries, attempts, the state of accounts, endpoints and sources. It is copied in one transaction. Stop the daemon
    first. Then set `store` to TO in the settings, and start it.
    """
    origin, target = parse_store_location(source, os.environ), parse_store_location(to, os.environ)
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
    """Prevent daemons from using this file during the context. StoreBusy names the daemon that works on it."""
    if not isinstance(place, Path) or not place.exists():
        yield
        return
    with DaemonLock(place):
        yield


def _see_that_nobody_works_on(store: Store, place: Place) -> None:
    """StoreBusy if daemons work on a shared store: everything that they write after the copy would be lost."""
    if members := [view.member for view in store.members()]:
        raise StoreBusy(
            f"store {place}: daemons are using it ({', '.join(members)}): stop them first (a killed one counts until "
            "sharing.takeover is over)"
        )


def _told(counts: Mapping[str, int]) -> str:
    """The counts of the tables that people know."""
    words = {"watches": "task", "events": "event", "deliveries": "delivery", "attempts": "attempt"}
    return ", ".join(count(counts[table], word) for table, word in words.items())
