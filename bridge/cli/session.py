"""The settings and the store of one command."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli import config_option
from bridge.clock import SystemClock
from bridge.config.settings_file import SettingsFile, find, read_settings
from bridge.control.daemon_health import daemons_on
from bridge.control.store_now import StoreNow
from bridge.domain.quoting import printable
from bridge.domain.source import SourceKind
from bridge.errors import ConfigError, StoreDamaged, StoreError
from bridge.redaction import hide
from bridge.store import ReadStore, StorePlace, files, open_command_store, open_reader, open_store
from bridge.wiring.store_location import StoreLocation, is_service, note_owner, place_store, prepare

if TYPE_CHECKING:
    from bridge.config.load import Loaded
    from bridge.store import Store
    from bridge.store.command_store import CommandStore


@dataclass
class CommandSession:
    """The settings and the store of one command, each read when first used. Secrets stay unresolved."""

    config: str | None = None
    _file: SettingsFile | None = None
    _placed: StoreLocation | None = None
    _has_hinted: bool = False

    @property
    def file(self) -> SettingsFile:
        """The settings file. Each part is checked when it is first used. ConfigError if no file is found."""
        if self._file is None:
            self._file = read_settings(self.path, check=self.checked, variables=os.environ)
        return self._file

    @property
    def path(self) -> Path:
        """The settings file, as in messages. ConfigError if none is found."""
        return find(self.config, os.environ) if self._file is None else Path(self._file.name)

    def checked(self, *, resolvable: bool = False) -> Loaded:
        """All settings, checked. ConfigError lists every mistake, with `resolvable` also in references."""
        from bridge.config.load import Loaded, load  # imported here, because quick commands do not need pydantic

        if not isinstance(self._file, Loaded):
            path = self.path
            try:
                self._file = load(path, os.environ, resolvable=resolvable)
            except ConfigError as error:
                raise _with_all(error, path) from None
        return self._file

    def resolved(self) -> Loaded:
        """All settings with every secret, which the output then hides. ConfigError lists the missing ones."""
        from bridge.config.load import resolve, secrets

        loaded = resolve(self.checked(resolvable=True), os.environ)
        hide(secrets(loaded, os.environ))
        return loaded

    def working(self) -> Loaded:
        """The resolved settings, checked by everything that uses them. ConfigError lists the mistakes of all checks."""
        from bridge.wiring.checking import check

        try:
            loaded = self.resolved()
        except ConfigError as error:
            raise _with_all(error, self.path) from None
        check(loaded)
        return loaded

    @property
    def store_place(self) -> StorePlace:
        """The location of the store, safe to print."""
        return self.placed.place

    @property
    def placed(self) -> StoreLocation:
        """The location of the store, and why it is there."""
        if self._placed is None:
            if self.file.may_misspell_store:
                self.checked()  # otherwise, `add` would add tasks to a store that no daemon will serve
            self._placed = place_store(self.file, os.environ)
        return self._placed

    @contextmanager
    def store(self, *, create: bool = False) -> Iterator[CommandStore]:
        """The store of these settings, open. A missing store is created only with `create`, and never for settings
        under /etc: the service creates it, as its own user."""
        service = is_service(self.file.path)
        may_create = create and not service
        if may_create:
            prepare(self.placed)
        else:
            self.check_exists()
        with closing(open_command_store(self.store_place, create=may_create, group_access=service)) as store:
            if create:
                self.note_owner(store)
            yield store

    @contextmanager
    def reader(self) -> Iterator[ReadStore]:
        """The store, open for reading. It is neither created nor upgraded."""
        self.check_exists()
        with closing(open_reader(self.store_place)) as store:
            yield store

    @contextmanager
    def asking(self) -> Iterator[StoreNow]:
        """The store, open for reading, with these settings, as of now."""
        with self.reader() as store:
            yield StoreNow(store, self.file, clock_of(store).now())

    def check_exists(self) -> None:
        """StoreError if the file of the store is missing. The text says which command creates it."""
        if isinstance(self.store_place, Path) and not files.exists(self.store_place):
            service = is_service(self.file.path)
            how = "start the service once" if service else "`genbridge run` or `genbridge add` creates it"
            raise StoreError(f"there is no store yet ({self.store_place}): {how}")

    def opened(self) -> Store:
        """The store for a daemon. Creates it if it is missing, and records which settings file owns it."""
        prepare(self.placed)
        store = open_store(self.store_place, create=True, group_access=is_service(self.file.path))
        self.note_owner(store)
        return store

    def note_owner(self, store: CommandStore) -> None:
        """Record in the store which settings file owns it."""
        note_owner(store, self.placed, self.file)

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[CommandStore]:
        """Like `store`, to add tasks: a StoreError also suggests the queue folder, unless its disk is full, too."""
        self.warn_of_others()
        try:
            with self.store(create=create) as store:
                yield store
        except StoreDamaged:
            raise
        except StoreError as error:
            from bridge.control.machine_check import has_room  # here, because only errors need it

            folder = self.file.source_paths.get(SourceKind.QUEUE)
            if folder is None or not has_room(folder):
                raise
            raise StoreError(f"{error}; or drop a file with the tasks into {folder}") from error

    def daemon(self) -> str | None:
        """The daemons that work on the store, in words; None if there are none."""
        return daemons_on(self.store_place)

    def warn_of_others(self) -> None:
        """Warn on stderr if another store contains tasks that are no longer watched, or this one has several names."""
        if self.placed.warning:
            click.echo(f"note: {printable(self.placed.warning)}", err=True)

    def hint_at_daemon(self) -> None:
        """Say on stderr, once, that no daemon is running. The request is stored, and waits for one."""
        is_missing = self.daemon() is None
        if is_missing and not self._has_hinted:
            how = "`systemctl start genbridge`" if is_service(self.file.path) else "`genbridge run`"
            click.echo(f"note: no daemon is running; {how} starts one", err=True)
        self._has_hinted = is_missing


def _with_all(error: ConfigError, path: Path) -> ConfigError:
    from bridge.wiring.checking import with_further_mistakes  # imported here, because only mistakes need it

    return with_further_mistakes(error, path, os.environ)


def clock_of(store: ReadStore) -> SystemClock:
    """The clock that the daemons on this store use, because what a command stores or shows is compared with it."""
    return SystemClock(store.ahead_s(SystemClock()))


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare the command `name`, with the option `--config`. Its function gets the session."""
    return lambda body: click.command(name)(config_option(click.pass_obj(body)))
