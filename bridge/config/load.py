"""Settings as a file: found, read, resolved; where the store is; what must never be printed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from bridge.config.kinds import LEVELS, LOG_FORMATS
from bridge.config.model import Account, Apprise, Log, Settings, Webhook
from bridge.config.parse import Problem, parse
from bridge.config.place import MIN_SECRET_CHARS, PostgresUrl, names_postgres
from bridge.config.secret import SecretText, Surroundings, fill, has_reference
from bridge.config.values import one_of, store_file
from bridge.config.yaml import MAX_SETTINGS_BYTES, Node, YamlProblem, read_document, walk
from bridge.errors import ConfigError, UsageError

SYSTEM_SETTINGS: Final = Path("/etc/genbridge/genbridge.yaml")
SYSTEM_STORE: Final = Path("/var/lib/genbridge/state.db")

_INSTEAD: Final = "it is for root and the group genbridge (0640 root:genbridge): run this as one of them"
_HOST: Final = re.compile(r"localhost|([a-z0-9-]+\.)+[a-z]{2,}|[0-9]+(\.[0-9]+){3}|[0-9]{1,5}")
_SHELL: Final = re.compile(r"\$[A-Z][A-Z0-9_]*")
_TELLING_HEADER: Final = re.compile(r"auth|token|key|secret|cookie|password", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings and where they came from. `path` is absolute; `name` is how messages call the file."""

    settings: Settings
    path: Path
    name: str
    warnings: tuple[str, ...] = ()
    found: tuple[str, ...] = field(default=(), repr=False)  # what references in secrets stood for
    node: Node = field(repr=False)

    def under(self, text: str) -> Path:
        """The path a setting names: relative ones are relative to the settings file, `~` is the home folder."""
        return self.path.parent / _expanded(text)

    def problem(self, path: Sequence[str | int], what: str) -> str:
        """A line about a mistake at this key, in the form of all of them: `file:line:column: key: what`."""
        line, column = self.place(path)
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
        return f"{self.name}:{line}:{column}: {key}: {what}"

    def place(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the value at this key, or of the nearest there is."""
        node, _ = walk(self.node, tuple(path))
        return node.line, node.column


def find(explicit: str | None, env: Mapping[str, str]) -> Path:
    """The settings file: `explicit`, else $GENBRIDGE_CONFIG, else the first there is of ./genbridge.yaml, the user's
    and the system's; a folder that we may not enter holds none for us. ConfigError says where it was looked for."""
    for given, why in ((explicit, "--config"), (env.get("GENBRIDGE_CONFIG"), "GENBRIDGE_CONFIG")):
        if given:
            if not _is_there(Path(given)):
                raise ConfigError([f"{given}: there is no such file (named by {why})"])
            return Path(given)
    places = [Path("genbridge.yaml"), _home(env, "XDG_CONFIG_HOME", ".config") / "genbridge.yaml", SYSTEM_SETTINGS]
    for place in places:
        # `sudo -u genbridge` in root's home stands in a folder that is closed to it. The last place is read, to say so.
        if _is_there(place) and (place == places[-1] or os.access(place.parent, os.X_OK, effective_ids=True)):
            return place
    looked = ", ".join("./genbridge.yaml" if not place.is_absolute() else str(place) for place in places)
    way_out = "write one (see config.example.yaml) or name it with --config"
    if _is_there(Path("genbridge.yml")):
        way_out = "./genbridge.yml is not looked for: rename it to genbridge.yaml"
    raise ConfigError([f"no settings found: looked for {looked}; {way_out}"])


def _is_there(path: Path) -> bool:
    """Whether there is such a file, or one that we may not look at: then reading it says so."""
    try:
        path.stat()
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def load(path: Path, env: Mapping[str, str], *, resolvable: bool = False) -> Loaded:
    """Read and check settings; references stay references. ConfigError holds every mistake, sorted by its place; with
    `resolvable` those of references too, where there are others."""
    name = str(path)
    data, mode = _read(path)
    repeated: list[YamlProblem] = []
    try:
        node = read_document(data, name=name, repeated=repeated)
    except YamlProblem as problem:
        raise ConfigError([*map(str, repeated), str(problem)]) from None
    found = [Problem((one.line, one.column), "", one.message) for one in repeated]
    try:
        settings = parse(node, name=name, found=found)
    except ConfigError:
        if resolvable:
            parse(node, name=name, found=found, around=Surroundings(env=env, base_dir=path.absolute().parent))
        raise
    loaded = Loaded(settings=settings, path=path.absolute(), name=name, node=node)
    log_settings(loaded, env)
    return replace(loaded, warnings=tuple(_warnings(loaded.settings, name, mode)))


def resolve(loaded: Loaded, env: Mapping[str, str]) -> Loaded:
    """The same settings with every reference replaced. ConfigError holds a line for each that cannot be."""
    around = Surroundings(env=env, base_dir=loaded.path.parent)
    settings = parse(loaded.node, name=loaded.name, around=around)
    warnings = dict.fromkeys((*loaded.warnings, *around.warnings))
    return replace(loaded, settings=settings, warnings=tuple(warnings), found=tuple(around.found))


def log_settings(loaded: Loaded, env: Mapping[str, str]) -> Log:
    """How to log: the settings, overridden by $GENBRIDGE_LOG_LEVEL and $GENBRIDGE_LOG_FORMAT."""
    problems: list[str] = []
    chosen: dict[str, str] = {}
    for key, known in (("level", LEVELS), ("format", LOG_FORMATS)):
        variable = f"GENBRIDGE_LOG_{key.upper()}"
        try:
            if env.get(variable):
                chosen[key] = one_of(env[variable].lower(), known, key)
        except ValueError as error:
            problems.append(f"{variable}: {error}")
    if problems:
        raise ConfigError(problems)
    return loaded.settings.log.model_copy(update=chosen)


def store_place(loaded: Loaded, env: Mapping[str, str]) -> Path | PostgresUrl:
    """Where the store is: $GENBRIDGE_STORE (relative to the working folder), the key `store` (relative to the settings
    file), else the service's state folder for settings under /etc and the user's for all others. Paths are absolute.

    `${...}` in it is resolved for every command, for without the store none of them can do anything.
    """
    given = env.get("GENBRIDGE_STORE")
    if given:
        try:
            return _placed(store_file(given))
        except ValueError as error:
            raise ConfigError([f"GENBRIDGE_STORE: {error}"]) from None
    written = loaded.settings.store
    if written is not None:
        place = _filled(loaded, written, env)
        return PostgresUrl(place) if names_postgres(place) else loaded.under(place)
    if loaded.path.is_relative_to("/etc"):
        return SYSTEM_STORE
    return _home(env, "XDG_STATE_HOME", ".local/state").absolute() / "state.db"


def place_of(text: str, env: Mapping[str, str]) -> Path | PostgresUrl:
    """A store named on the command line: relative to the working folder, `${...}` resolved. UsageError when it cannot
    be one."""
    try:
        return _placed(store_file(fill(text, env)))
    except ValueError as error:
        raise UsageError(f"a store is a path or postgresql://...: {error}") from None


def _placed(text: str) -> Path | PostgresUrl:
    return PostgresUrl(text) if names_postgres(text) else _expanded(text).absolute()


def secrets(resolved: Loaded, env: Mapping[str, str]) -> list[str]:
    """Every text that must not be printed, longest first: keys, header values, proxies, chat URLs and the parts of them
    that tell, what references in webhook addresses stood for, the store's password; percent-encoded and decoded as
    well."""
    texts = {value for value in resolved.found if not _HOST.fullmatch(value)}
    place = store_place(resolved, env)
    texts |= place.secrets if isinstance(place, PostgresUrl) else set()
    for secret in _held(resolved.settings):
        value = secret.reveal()
        texts |= {value, value.removeprefix("whsec_"), *value.split()}
    for url in _addresses(resolved.settings):
        texts |= _telling_parts(url.reveal())
    texts |= {other for text in texts for other in (quote(text, safe=""), unquote(text, errors="replace"))}
    return sorted((text for text in texts if len(text) >= MIN_SECRET_CHARS), key=lambda text: (-len(text), text))


def _account_keys(account: Account) -> Iterator[SecretText]:
    for key in (account.api_key, account.access_key, account.secret_key):
        yield from _given(key)


def _held(settings: Settings) -> Iterator[SecretText]:
    """The texts that are secret as a whole."""
    for account in settings.accounts.values():
        yield from _account_keys(account)
        yield from account.headers.values()
        yield from _given(account.proxy)
    for endpoint in settings.endpoints.values():
        if isinstance(endpoint, Webhook):
            yield from (*_given(endpoint.api_key), *endpoint.secret, *endpoint.headers.values())
            yield from _given(endpoint.proxy)
        else:
            yield from endpoint.urls


def _addresses(settings: Settings) -> Iterator[SecretText]:
    """The texts that are secret in parts: chat URLs, and proxies for their user info."""
    for endpoint in settings.endpoints.values():
        if isinstance(endpoint, Apprise):
            yield from endpoint.urls
        else:
            yield from _given(endpoint.proxy)
    for account in settings.accounts.values():
        yield from _given(account.proxy)


def _given(secret: SecretText | None) -> tuple[SecretText, ...]:
    return () if secret is None else (secret,)


def _telling_parts(url: str) -> set[str]:
    """User info, and every longer piece that is no host name: tokens stand in hosts, paths and queries."""
    rest = url.partition("://")[2]
    user, at, _ = rest.rpartition("@")
    pieces = re.split(r"[/:?&=,#]", rest.replace("@", "/"))
    parts = {piece for piece in pieces if len(piece) >= 8 and not _HOST.fullmatch(piece)}
    return parts | set(re.split(r"[/:]", user)) if at else parts


def _warnings(settings: Settings, name: str, mode: int) -> Iterator[str]:
    if not settings.endpoints:
        yield f"{name}: no endpoints are set: ends are kept in the store, but nobody is told"
    if any(_SHELL.fullmatch(text.written) for text in _held(settings)):
        yield f"{name}: a secret is written as $NAME, which stands for itself; a variable is written ${{NAME}}"
    if mode & stat.S_IROTH and any(_is_written_out(settings)):
        yield f"{name}: holds secrets and is readable by others; chmod o-r it, or write ${{NAME}}, file: or credential:"


def _is_written_out(settings: Settings) -> Iterator[bool]:
    """For each text that is usually secret, whether it stands in the file itself."""
    headers: list[tuple[str, SecretText]] = []
    secret: list[SecretText] = []
    for account in settings.accounts.values():
        secret.extend(_account_keys(account))
        headers.extend(account.headers.items())
    for endpoint in settings.endpoints.values():
        if isinstance(endpoint, Webhook):
            secret.extend((*_given(endpoint.api_key), *endpoint.secret))
            headers.extend(endpoint.headers.items())
        else:
            secret.extend(endpoint.urls)
    secret.extend(value for key, value in headers if _TELLING_HEADER.search(key))
    yield from (not has_reference(text.written, stored=True) for text in secret)
    if settings.store is not None and names_postgres(settings.store):
        yield from (not has_reference(unquote(text)) for text in PostgresUrl(settings.store).secrets)


def _read(path: Path) -> tuple[bytes, int]:
    """The file's bytes, at most one more than are allowed, and its permissions."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_SETTINGS_BYTES + 1), path.stat().st_mode
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file"]) from None
    except (OSError, ValueError) as error:
        mend = f"; {_INSTEAD}" if isinstance(error, PermissionError) and path == SYSTEM_SETTINGS else ""
        raise ConfigError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}{mend}"]) from None


def _filled(loaded: Loaded, written: str, env: Mapping[str, str]) -> str:
    try:
        return store_file(fill(written, env))
    except ValueError as error:
        place, _ = walk(loaded.node, ("store",))
        raise ConfigError([f"{loaded.name}:{place.line}:{place.column}: store: {error}"]) from None


def _home(env: Mapping[str, str], variable: str, below: str) -> Path:
    """A folder of the XDG base directories, for genbridge. Relative values of the variable do not count there."""
    given = env.get(variable, "")
    if given.startswith("/"):
        return Path(given) / "genbridge"
    return Path(env.get("HOME") or _expanded("~")) / below / "genbridge"


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError([f"{text}: there is no home folder; write the path out, or set HOME"]) from None
