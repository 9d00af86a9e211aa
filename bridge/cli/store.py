"""`store`, `backup` and `restore`: upgrade the store, move it to another engine, copy it to a file and back."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from pathlib import Path

import click

from bridge.cli import config_option
from bridge.cli.session import CommandSession, command
from bridge.config.settings_file import parse_store_location
from bridge.domain.plurals import count
from bridge.domain.quoting import printable
from bridge.errors import StoreBusy, UsageError
from bridge.store import DaemonLock, StorePlace, migrate_store, open_store
from bridge.store.sqlite.store_file import back_up, restore
from bridge.wiring.store_location import is_in_service, is_service, prepare


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
    # An existing file keeps its mode, so that the service's group may still read it.
    with locked(origin), closing(open_store(origin, create=False, group_access=True)) as one:
        if members := [view.member for view in one.members()]:  # what they write after the copy would be lost
            raise StoreBusy(
                f"store {origin}: daemons are using it ({', '.join(members)}): stop them first (a killed one counts "
                "until sharing.takeover has passed)"
            )
        with locked(target), closing(open_store(target, create=True, group_access=is_in_service(target))) as other:
            with one.contents() as contents:
                counts = other.fill(contents)
    words = {"watches": "task", "events": "event", "deliveries": "delivery", "attempts": "attempt"}
    copied = ", ".join(count(counts[table], word) for table, word in words.items())
    click.echo(f"copied from {origin} to {target}: {copied}")


@command("backup")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def backup_command(session: CommandSession, file: Path) -> None:
    """Copy the store to a file, also while the daemon is running.

    The copy is a consistent snapshot that only its owner can read. FILE must not exist yet.

    Back up a store in PostgreSQL with pg_dump.
    """
    place = _file_of(session, f"pg_dump --format=custom --file={file} URL")
    session.check_exists()
    to = file.absolute()
    back_up(Path(os.path.realpath(place)), to)
    click.echo(printable(f"{place}: copied to {to}"))


@command("restore")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace the existing store; its contents are lost.")
def restore_command(session: CommandSession, file: Path, force: bool) -> None:
    """Replace the store with a backup, while no daemon is running.

    genbridge checks FILE first. If FILE is damaged, from a newer genbridge, or not a store, nothing changes. Restore a
    store in PostgreSQL with pg_restore.
    """
    place = _file_of(session, f"pg_restore --clean --if-exists --dbname=URL {file}")
    group_access = is_service(session.file.path)
    ready = partial(prepare, session.placed)
    restore(file.absolute(), place, force=force, group_access=group_access, prepare=ready)
    with closing(open_store(place, create=False, group_access=group_access)) as store:
        session.note_owner(store)
    again = "tasks that finished after the backup are polled and delivered again"
    click.echo(printable(f"{place}: restored from {file}; {again}"))


def _file_of(session: CommandSession, instead: str) -> Path:
    """The file of the store. UsageError with the command to use `instead` if it is in PostgreSQL."""
    place = session.store_place
    if not isinstance(place, Path):
        raise UsageError(f"the store {place} is in PostgreSQL, which has its own backups: {instead}")
    return place


def locked(place: StorePlace) -> AbstractContextManager[object]:
    """Prevent daemons from using this file during the context. StoreBusy names the daemon that works on it."""
    return DaemonLock(place) if isinstance(place, Path) and place.exists() else nullcontext()
