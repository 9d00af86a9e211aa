"""What commands share: the settings they were told to use and the store those name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from bridge.config import load
from bridge.config.load import Loaded
from bridge.errors import StoreDamaged, StoreError
from bridge.store import DaemonLock, Place, Store, files, open_store

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """One command's view of the outside. Settings are read when first asked for; secrets stay unresolved."""

    config: str | None = None
    _loaded: Loaded | None = None

    @property
    def loaded(self) -> Loaded:
        """The settings, checked; ConfigError when there are none or they are invalid."""
        return self.checked()

    def checked(self, *, resolvable: bool = False) -> Loaded:
        """The same; with `resolvable` the ConfigError also names references that stand for nothing."""
        if self._loaded is None:
            path = load.find(self.config, os.environ)
            self._loaded = load.load(path, os.environ, resolvable=resolvable)
        return self._loaded

    @property
    def store_place(self) -> Place:
        """Where the store is; it may be printed."""
        return load.store_place(self.loaded, os.environ)

    @contextmanager
    def store(self, *, create: bool = False) -> Iterator[Store]:
        """The store of these settings, open. A store that is not there yet is made only when `create` says so, and
        never by a command for settings under /etc: that is the service's business, with the service's user."""
        place = self.store_place
        service = is_service(self.loaded.path)
        if isinstance(place, Path):
            is_there = files.exists(place)
            if not is_there and (service or not create):
                how = "start the service once" if service else "`genbridge run` or `genbridge add` makes it"
                raise StoreError(f"there is no store {place} yet: {how}")
            create = not is_there
        else:
            create = create and not service
        store = open_store(place, create=create, group_access=service)
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[Store]:
        """The same for commands that add tasks: a StoreError also names the other way in, the queue folder."""
        try:
            with self.store(create=create) as store:
                yield store
        except StoreDamaged:
            raise
        except StoreError as error:
            queue = self.loaded.settings.sources.queue
            if queue is None:
                raise
            folder = self.loaded.under(queue)
            raise StoreError(f"{error}; or drop a file with the tasks into {folder}") from error

    def daemon(self) -> str | None:
        """Who works on the store now, in words; None when no daemon does."""
        place = self.store_place
        if isinstance(place, Path):
            return DaemonLock.holder(place)
        with self.store() as store:
            return ", ".join(view.member for view in store.members()) or None

    def hint_at_daemon(self) -> None:
        """Say on stderr that nobody works on the store, if so: what was asked for is written down, and waits."""
        if self.daemon() is None:
            store = f"the store {self.store_place} (by {self.loaded.path})"
            click.echo(f"note: no daemon runs on {store}; `genbridge run` starts one", err=True)


def is_service(settings: Path) -> bool:
    """Whether settings are those of the machine's service: then its group may read the store."""
    return settings.is_relative_to("/etc")


def _choose_config(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    session = ctx.ensure_object(Session)
    if value is not None:
        session.config = value


def config_option(command: F) -> F:
    """`--config`, accepted before and after the command's name."""
    option: Callable[[F], F] = click.option(
        "--config",
        "-c",
        metavar="FILE",
        type=click.Path(readable=False),  # whether it can be read is a matter of the settings, not of usage
        callback=_choose_config,
        expose_value=False,
        help="Settings file. Else $GENBRIDGE_CONFIG, ./genbridge.yaml, ~/.config/genbridge, /etc/genbridge.",
    )
    return option(command)


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare the command `name`; it takes `--config` as well."""

    def declare(body: Callable[..., Any]) -> click.Command:
        return click.command(name)(config_option(body))

    return declare
