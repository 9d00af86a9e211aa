"""Where the store of a settings file is. Two projects never share one by accident."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bridge.config.provider_trees import official_host
from bridge.config.secret import has_reference
from bridge.config.settings_file import SYSTEM_SETTINGS, SettingsFile, named_store, user_folder
from bridge.domain.quoting import printable
from bridge.domain.views import Ownership
from bridge.errors import ConfigError, StoreError, os_reason
from bridge.store import StorePlace
from bridge.store.files import make_directory
from bridge.store.sqlite.inspection import ownership

if TYPE_CHECKING:
    from bridge.config.postgres_url import PostgresUrl
    from bridge.store.command_store import CommandStore

SYSTEM_FOLDER: Final = Path("/etc")
SYSTEM_STORE: Final = Path("/var/lib/genbridge/state.db")
FOLDER: Final = ".genbridge"
FILE: Final = "state.db"
ADOPTED: Final = (
    "settings files without `store` shared this store before. Its account names match those of this file, so the store "
    "now belongs to this file. Every other settings file gets its own store"
)

_CLOSED: Final = (
    "{folder} belongs to another user, so its store is not used. This user has a separate store, {own}; to use the "
    "other one, run this as the owner of that folder"
)
_FORMER: Final = "the store {}, which settings files without `store` shared before,"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLocation:
    """Where a store is or will be. `warning`: about the formerly shared store, or another name of this one."""

    place: StorePlace
    is_own: bool = False  # no setting names it, and only this settings file uses this location
    is_adopted: bool = False  # it is the formerly shared store, and not recorded yet as owned by this settings file
    warning: str | None = None


def place_store(file: SettingsFile, env: Mapping[str, str]) -> StoreLocation:
    """The store in the settings or in $GENBRIDGE_STORE; else the service's store for settings under /etc; else the
    store of this settings file. Creates nothing."""
    placed = _placed(file, env)
    return placed if placed.warning else replace(placed, warning=_several_names(placed.place))


def _placed(file: SettingsFile, env: Mapping[str, str]) -> StoreLocation:
    named = named_store(file, env)
    if named is not None:
        return StoreLocation(place=named)
    if is_service(file.path):
        return StoreLocation(place=SYSTEM_STORE)
    placed, folder = _own(file, env), _identity(file.path).parent / FOLDER
    if placed.warning or not folder.is_dir() or os.access(folder, os.X_OK, effective_ids=True):
        return placed
    return replace(placed, warning=_CLOSED.format(folder=folder, own=placed.place))


def is_service(settings: Path) -> bool:
    """Whether these are the settings of the machine's service, by any path. If so, its group may read the store."""
    spellings = (Path(os.path.normpath(settings)), _identity(settings), Path(os.path.realpath(settings)))
    return any(one.is_relative_to(SYSTEM_FOLDER) for one in spellings) or _is_same(settings, SYSTEM_SETTINGS)


def is_in_service(place: StorePlace) -> bool:
    """Whether this place is in the folder of the service's store."""
    return isinstance(place, Path) and Path(os.path.realpath(place)).parent == SYSTEM_STORE.parent


def member_file(file: SettingsFile, place: PostgresUrl, env: Mapping[str, str]) -> Path:
    """A local path for the lock of the daemon with these settings on a shared store."""
    folder = SYSTEM_STORE.parent if is_service(file.path) else user_folder(env, "XDG_STATE_HOME", ".local/state")
    return folder / f"member-{_digest(Path(f'{_identity(file.path)} {place}'))}"


def prepare(placed: StoreLocation) -> None:
    """Create the folder of a store in `.genbridge/`, for its owner only, and keep it out of version control."""
    if not placed.is_own or not isinstance(placed.place, Path) or placed.place.parent.name != FOLDER:
        return
    folder = placed.place.parent
    with suppress(OSError, StoreError):  # creating the store will report the problem
        make_directory(folder, group_access=False)
        with (folder / ".gitignore").open("x") as file:
            file.write("*\n")


def note_owner(store: CommandStore, placed: StoreLocation, file: SettingsFile) -> None:
    """Record the base URLs and, unless a setting names the store, the settings file in it, as far as possible."""
    with suppress(StoreError):
        owner = str(_identity(file.path)) if placed.is_own else None
        store.belong(owner, {name: url for name, url in _base_urls(file) if url})


def _several_names(place: StorePlace) -> str | None:
    """The warning about a store with another name: its log and its lock are named after it."""
    try:
        names = place.stat().st_nlink if isinstance(place, Path) and place.is_file() else 1
    except OSError:
        return None
    return (
        f"{place} has {names} names (hard links); two programs that use different ones damage it" if names > 1 else None
    )


def _own(file: SettingsFile, env: Mapping[str, str]) -> StoreLocation:
    settings = _identity(file.path)
    try:
        common = user_folder(env, "XDG_STATE_HOME", ".local/state").absolute() / FILE
        is_users = _is_same(file.path, user_folder(env, "XDG_CONFIG_HOME", ".config") / "genbridge.yaml")
    except ConfigError:  # a user without a home folder never shared a store
        return StoreLocation(place=_beside(file.path, settings, settings.parent / FOLDER), is_own=True)
    found = _look_at(common)
    if isinstance(found, Ownership) and found.settings is not None and _is_same(file.path, Path(found.settings)):
        return StoreLocation(place=common, is_own=True)
    own = common.parent / _digest(settings) / FILE if is_users else _beside(file.path, settings, common.parent)
    if found is None:
        return StoreLocation(place=common if is_users else own, is_own=True)
    if isinstance(found, str):  # it cannot be read
        return StoreLocation(place=common if is_users else own, is_own=True, warning=None if is_users else found)
    if found.settings is not None and Path(found.settings).exists():
        return StoreLocation(place=own, is_own=True)  # it belongs to another settings file
    if own.exists():
        is_missed = found.waiting or any(found.live.values())
        why = "this file has its own store"
        return StoreLocation(place=own, is_own=True, warning=_left_behind(common, found, why) if is_missed else None)
    if _matches(found, file, is_users=is_users):
        return StoreLocation(place=common, is_own=True, is_adopted=True, warning=_adoption(common, found, settings))
    why = "its accounts do not all match this file's"
    return StoreLocation(place=own, is_own=True, warning=_left_behind(common, found, why))


def _matches(found: Ownership, file: SettingsFile, *, is_users: bool) -> bool:
    """Whether every account in this store is in these settings, with the same base URL if the store has recorded it
    (version 1 did not). The user's own settings file may lack accounts whose tasks have all finished."""
    ours = dict(_base_urls(file))
    held = {name for name, number in found.live.items() if number or not is_users}
    unset = [name for name in held & ours.keys() & found.base_urls.keys() if ours[name] is None]
    if unset:
        what = "needs variables that are not set here: they decide which store belongs to this file"
        raise ConfigError([file.problem(("accounts", name, "base_url"), what) for name in sorted(unset)])
    return all(name in ours and found.base_urls.get(name, ours[name]) == ours[name] for name in held)


def _adoption(common: Path, found: Ownership, settings: Path) -> str:
    """The warning before a settings file takes over a store that other files may have shared."""
    return (
        f"{_FORMER.format(common)} will belong to {settings} once `genbridge run` starts, because the account names "
        f"match. Every other settings file gets its own store. This one contains {_holdings(found)}; if they belong to "
        f"another settings file, write `store: {common}` there first"
    )


def _left_behind(common: Path, found: Ownership, why: str) -> str:
    """The warning about an unused store that may contain tasks of the same person."""
    return (
        f"{_FORMER.format(common)} is not used, because {why}. It contains {_holdings(found)}; "
        f"to use it, write `store: {common}` into the settings that its tasks belong to"
    )


def _holdings(found: Ownership) -> str:
    """What a store holds, in words."""
    unfinished = [f"{number} of {printable(name)}" for name, number in found.live.items() if number]
    parts = [f"unfinished tasks ({', '.join(unfinished)})"] if unfinished else []
    parts += [f"undelivered events ({found.waiting})"] if found.waiting else []
    return " and ".join(parts) or "no unfinished tasks"


def _look_at(common: Path) -> Ownership | str | None:
    try:
        return ownership(common) if common.exists() else None
    except PermissionError:  # $HOME is still that of the user who started this, as with setpriv and runuser
        return None
    except (StoreError, OSError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        return f"{_FORMER.format(common)} is not used by this file: {reason}"


def _beside(path: Path, settings: Path, state: Path) -> Path:
    """`.genbridge/` in the folder of the settings file, or in the folder of the file that it links to if that has a
    store. If that folder cannot be written, a folder of the user, named after the settings' path."""
    beside, linked = settings.parent / FOLDER / FILE, Path(os.path.realpath(path)).parent / FOLDER / FILE
    if _exists(beside):
        return beside
    elsewhere = state / _digest(settings) / FILE
    for place in (linked, elsewhere):
        if _exists(place):
            return place
    return beside if _is_writable(beside.parent) else elsewhere


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _is_writable(folder: Path) -> bool:
    place = folder if folder.exists() or folder.is_symlink() else folder.parent
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK, effective_ids=True)


def _identity(path: Path) -> Path:
    """One spelling for all paths to the same settings file. A link counts as a separate settings file, because paths in
    the settings are relative to the folder of the link."""
    return Path(os.path.realpath(path.absolute().parent)) / path.name


def _digest(settings: Path) -> str:
    import hashlib  # imported here, because most commands do not need it

    return hashlib.sha256(os.fsencode(settings)).hexdigest()[:16]


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return _identity(path) == _identity(other)


def _base_urls(file: SettingsFile) -> Iterator[tuple[str, str | None]]:
    """Each account with its base URL; None if that needs a variable that is not set."""
    for name, account in file.accounts.items():
        base_url = account.base_url or official_host(account.provider, file.providers)
        yield name, None if has_reference(base_url) else base_url
