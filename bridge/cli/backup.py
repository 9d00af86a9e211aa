"""`backup` and `restore`: copy the store to a file, and back."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import click

from bridge.cli.session import CommandSession, command
from bridge.config.postgres_url import PostgresUrl
from bridge.errors import UsageError
from bridge.store import files, open_store
from bridge.store.copying import back_up, restore
from bridge.store_location import is_service, prepare


@command("backup")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.pass_obj
def backup_command(session: CommandSession, file: Path) -> None:
    """Copy the store to a file, also while the daemon is running.

    The copy is a consistent snapshot that only its owner can read. FILE must not exist yet.

    A store in PostgreSQL is backed up with pg_dump.
    """
    place = session.store_place
    if isinstance(place, PostgresUrl):
        raise UsageError(
            f"the store {place} is in PostgreSQL, which has its own backups: pg_dump --format=custom --file={file} URL"
        )
    if not files.exists(place):
        raise session.no_store()
    to = file.absolute()
    back_up(Path(os.path.realpath(place)), to)
    click.echo(f"{place}: copied to {to}")


@command("restore")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace the existing store; its contents are lost.")
@click.pass_obj
def restore_command(session: CommandSession, file: Path, force: bool) -> None:
    """Replace the store with a backup, while no daemon is running.

    FILE is checked first. If it is damaged, newer than this genbridge, or not a store, nothing changes. A store in
    PostgreSQL is restored with pg_restore.
    """
    place = session.store_place
    if isinstance(place, PostgresUrl):
        raise UsageError(
            f"the store {place} is in PostgreSQL, which has its own backups: pg_restore --clean --dbname=URL {file}"
        )
    group_access = is_service(session.file.path)
    ready = partial(prepare, session.placed)
    restore(file.absolute(), place, force=force, group_access=group_access, prepare=ready)
    store = open_store(place, create=False, group_access=group_access)
    try:
        session.note_owner(store)
    finally:
        store.close()
    click.echo(f"{place}: restored from {file}; tasks that finished after the backup are polled and delivered again")
