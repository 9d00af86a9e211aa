"""The settings file: its location, its content, and the few values that quick commands need.

Nothing here imports pydantic or Jinja. `load` checks the whole file and names every mistake; a `SettingsFile` reads
each part when it is first used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from bridge.config import provider_trees, validators
from bridge.config.postgres_url import PostgresUrl, names_postgres
from bridge.config.problems import NOT_A_MAPPING, Problem, at_value
from bridge.config.secret import check_references, fill, has_reference
from bridge.config.yaml import MAX_SETTINGS_BYTES, YamlProblem, read_document
from bridge.config.yaml_nodes import Node, Pairs, Scalar, as_free, walk
from bridge.domain.ids import ARCHIVE
from bridge.domain.source import SourceKind
from bridge.errors import BridgeBug, ConfigError, UsageError

SYSTEM_SETTINGS: Final = Path("/etc/genbridge/genbridge.yaml")

_WHO_MAY_READ: Final = "only root and the group genbridge may read it (0640 root:genbridge); run this as one of them"


class AccountEntry(NamedTuple):
    """The parts of an account that tasks need. References stay references, unless the settings are resolved."""

    provider: str
    base_url: str | None
    action: str | None
    is_discovered: bool  # its new tasks are found in the provider's list


@dataclass(frozen=True, kw_only=True)
class SettingsFile:
    """A settings file after its YAML was read. A property reads its part only; if anything in that is unexpected, the
    whole file is checked, and ConfigError has every mistake in it.

    `path` is absolute; `name` is used for the file in messages. With `env`, references are replaced. The base URL and
    the action of an account, which are not secret, also get `variables` that are set. `check` checks the whole file.
    """

    path: Path
    name: str
    node: Pairs = field(repr=False)
    mode: int
    env: Mapping[str, str] | None = field(default=None, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    check: Callable[[], object] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def store(self) -> str | None:
        """The store as written: `named_store` replaces its references."""
        return self._text(validators.store_file, "store", is_resolved=False)

    @property
    def may_misspell_store(self) -> bool:
        """Whether `store` is missing, and another key has a text, as only `store` has."""
        return self.store is None and any(
            isinstance(node, Scalar) and not node.is_null for node in self.node.values.values()
        )

    @cached_property
    def accounts(self) -> Mapping[str, AccountEntry]:
        return {name: self._account(name) for name in self._names("accounts")} or self._refuse()

    @cached_property
    def endpoints(self) -> tuple[str, ...]:
        return self._names("endpoints")

    @cached_property
    def queues(self) -> tuple[str, ...]:
        """The names of everything that has deliveries: the endpoints, and the archive if there is one."""
        return (*self.endpoints, ARCHIVE) if isinstance(self.node.values.get("archive"), Pairs) else self.endpoints

    @cached_property
    def providers(self) -> Mapping[str, Any]:
        """The provider descriptions in these settings, not validated."""
        return {name: as_free(node) for name, node in self._mapping("providers").items()}

    @cached_property
    def public_url(self) -> str | None:
        """The public URL of the HTTP server, as written: it may contain references."""
        return self._text(validators.base_url, "http", "public_url", is_resolved=False)

    @cached_property
    def source_paths(self) -> Mapping[SourceKind, Path]:
        """The paths of the sources in these settings."""
        has_options = isinstance(self._at(("sources", SourceKind.QUEUE)), Pairs)
        below = {SourceKind.QUEUE: ("path",)} if has_options else {}
        written = {kind: self._text(validators.file_path, "sources", kind, *below.get(kind, ())) for kind in SourceKind}
        return {kind: self.under(text) for kind, text in written.items() if text is not None}

    @cached_property
    def member_name(self) -> str:
        """The name of this daemon among those that share a store: `sharing.name`, or the host's name."""
        return self._text(validators.name, "sharing", "name") or os.uname().nodename

    def under(self, text: str) -> Path:
        """The absolute path for one that is relative to the settings file; `~` is the home folder."""
        return self.path.parent / expanded(text)

    def problem(self, steps: Sequence[str | int], message: str) -> str:
        """The line about a mistake in the value at this key."""
        return at_value(self.node, steps, message).line(self.name)

    def problems(self, found: Iterator[tuple[Sequence[str | int], str]]) -> list[str]:
        """The lines about several mistakes, each with its key, in the order of the file."""
        return [one.line(self.name) for one in sorted(at_value(self.node, *each) for each in found)]

    def _account(self, name: str) -> AccountEntry:
        provider = self._text(validators.name, "accounts", name, "provider")
        if provider not in (*provider_trees.builtin_names(), *self.providers):
            self._refuse()
        return AccountEntry(
            provider=provider or "",
            base_url=self._filled(validators.base_url, "accounts", name, "base_url"),
            action=self._filled(validators.line, "accounts", name, "action"),
            is_discovered=self._text(str, "accounts", name, "discover") is not None,
        )

    def _names(self, section: str) -> tuple[str, ...]:
        """The keys of a section, which may be missing."""
        try:
            return tuple(map(validators.name, self._mapping(section)))
        except ValueError:
            self._refuse()

    def _mapping(self, *steps: str) -> Mapping[str, Node]:
        node = self._at(steps)
        return {} if node is None else node.values if isinstance(node, Pairs) else self._refuse()

    def _text(self, check: Callable[[str], str], *steps: str, is_resolved: bool = True) -> str | None:
        """A text, checked after its references are replaced; None if it is missing."""
        node = self._at(steps)
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self._refuse()
        try:
            return checked_text(node.text, check, self.env if is_resolved else None)
        except ValueError:
            self._refuse()

    def _filled(self, check: Callable[[str], str], *steps: str) -> str | None:
        """The same; its references are replaced if all their `variables` are set."""
        text = self._text(check, *steps)
        try:
            return None if text is None else checked_text(text, check, self.variables)
        except ValueError:
            return text

    def _at(self, steps: Sequence[str]) -> Node | None:
        """The value at this key; None if there is none."""
        node, left = walk(self.node, steps)
        return None if left or (isinstance(node, Scalar) and node.is_null) else node

    def _refuse(self) -> NoReturn:
        if self.check is not None:
            self.check()
        raise BridgeBug("a part of the settings is invalid, but not the whole")


def checked_text(
    text: str, check: Callable[[str], str], env: Mapping[str, str] | None, *, is_prose: bool = False
) -> str:
    """A text of the settings, checked with its references replaced. Without `env`, a text with references is returned
    unchanged. In prose, a `${` that begins no reference is kept. ValueError says what is wrong."""
    if not is_prose:
        check_references(text)
    if not has_reference(text):
        return check(text)
    return text if env is None else check(fill(text, env))


def find(explicit: str | None, env: Mapping[str, str]) -> Path:
    """The settings file: `explicit`, else $GENBRIDGE_CONFIG, else the first that exists of ./genbridge.yaml, the user's
    and the system's. A folder without permission to enter is skipped. ConfigError lists the paths that were tried."""
    for given, why in ((explicit, "--config"), (env.get("GENBRIDGE_CONFIG"), "GENBRIDGE_CONFIG")):
        if given:
            if not _exists(Path(given)):
                raise ConfigError([f"{given}: there is no such file (named by {why})"])
            return Path(given)
    candidates = [Path("genbridge.yaml"), SYSTEM_SETTINGS]
    with suppress(ConfigError):  # some system users have no home folder
        candidates.insert(1, user_folder(env, "XDG_CONFIG_HOME", ".config") / "genbridge.yaml")
    for path in candidates:
        # For example, `sudo -u genbridge` in root's home runs in a folder that it may not enter. The last file is
        # always read, so that the error says why it cannot be read.
        if _exists(path) and (path == candidates[-1] or os.access(path.parent, os.X_OK, effective_ids=True)):
            return path
    tried = ", ".join("./genbridge.yaml" if not path.is_absolute() else str(path) for path in candidates)
    fix = "write a file with `genbridge init`, or name one with --config"
    if os.access("genbridge.yml", os.R_OK, effective_ids=True):
        fix = "./genbridge.yml is not looked for: rename it to genbridge.yaml"
    raise ConfigError([f"no settings found: looked for {tried}; {fix}"])


def _exists(path: Path) -> bool:
    """Whether the file exists, or may exist but is not accessible; then reading it gives the error."""
    try:
        path.stat()
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def read_settings(
    path: Path,
    repeated: list[YamlProblem] | None = None,
    check: Callable[[], object] | None = None,
    variables: Mapping[str, str] | None = None,
) -> SettingsFile:
    """The settings file at this path. ConfigError if it cannot be read, is not YAML, or is not a mapping. A repeated
    key is an error, too; if `repeated` is given, it is added to that instead. `check` names every mistake in a file of
    which a part is invalid."""
    name, whole = str(path), path.absolute()
    try:
        str(whole).encode()
    except UnicodeEncodeError:  # JSON, and the library that watches files, could not hold the path
        raise ConfigError([f"{whole}: the path is not UTF-8; rename the file or its folder"]) from None
    data, mode = _read(path)
    try:
        node = read_document(data, name=name, repeated=repeated)
    except YamlProblem as problem:
        raise ConfigError([*map(str, repeated or ()), str(problem)]) from None
    if not isinstance(node, Pairs):
        is_empty = isinstance(node, Scalar) and node.is_null
        message = "the settings are empty; name at least one account" if is_empty else f"the settings {NOT_A_MAPPING}"
        raise ConfigError([Problem((node.line, node.column), "", message).line(name)])
    return SettingsFile(path=whole, name=name, node=node, mode=mode, check=check, variables=variables or {})


def _read(path: Path) -> tuple[bytes, int]:
    """The file's bytes, up to one more than the limit, and its mode."""
    try:
        # A named pipe is empty if no program writes to it. Opening it would wait for one.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
            os.set_blocking(file.fileno(), True)
            return file.read(MAX_SETTINGS_BYTES + 1), os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file"]) from None
    except (OSError, ValueError) as error:
        fix = f"; {_WHO_MAY_READ}" if isinstance(error, PermissionError) and path == SYSTEM_SETTINGS else ""
        raise ConfigError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}{fix}"]) from None


def named_store(file: SettingsFile, env: Mapping[str, str]) -> Path | PostgresUrl | None:
    """The store in $GENBRIDGE_STORE (relative to the working folder), else in the key `store` (relative to the settings
    file); None without either. Paths are absolute.

    Every command resolves the references in it, because no command works without the store.
    """
    given = env.get("GENBRIDGE_STORE")
    if given:
        try:
            return _store_location(validators.store_file(given))
        except ValueError as error:
            raise ConfigError([f"GENBRIDGE_STORE: {error}"]) from None
    if file.store is None:
        return None
    try:
        text = validators.store_file(fill(file.store, env))
    except ValueError as error:
        raise ConfigError([file.problem(("store",), str(error))]) from None
    return PostgresUrl(text) if names_postgres(text) else file.under(text)


def parse_store_location(text: str, env: Mapping[str, str]) -> Path | PostgresUrl:
    """A store on the command line, relative to the working folder. UsageError if it is invalid."""
    try:
        return _store_location(validators.store_file(fill(text, env)))
    except ValueError as error:
        raise UsageError(f"a store is a path or postgresql://...: {error}") from None


def _store_location(text: str) -> Path | PostgresUrl:
    return PostgresUrl(text) if names_postgres(text) else expanded(text).absolute()


def user_folder(env: Mapping[str, str], variable: str, below: str) -> Path:
    """genbridge's folder among the XDG base directories. A relative value of the variable is ignored."""
    given = env.get(variable, "")
    if given.startswith("/"):
        return Path(given) / "genbridge"
    return Path(env.get("HOME") or expanded("~")) / below / "genbridge"


def expanded(text: str) -> Path:
    """The path with `~` replaced. ConfigError without a home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError([f"{text}: there is no home folder; write the path out, or set HOME"]) from None
