"""The settings file: its location, its content, and the few values that quick commands need.

Nothing here imports pydantic or Jinja. `load` checks the whole file; a `SettingsFile` checks each part when it is first
used, with the same rules and messages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridge.config import provider_trees, validators
from bridge.config.postgres_url import PostgresUrl, names_postgres
from bridge.config.problems import NOT_A_MAPPING, NOT_A_TEXT, Problem, Steps, at_key, at_value
from bridge.config.secret import check_references, fill, has_reference
from bridge.config.yaml import MAX_SETTINGS_BYTES, Node, Pairs, Scalar, YamlProblem, as_free, read_document, walk
from bridge.domain.ids import ARCHIVE
from bridge.domain.quoting import unknown
from bridge.errors import ConfigError, UsageError

SYSTEM_SETTINGS: Final = Path("/etc/genbridge/genbridge.yaml")

_WHO_MAY_READ: Final = "only root and the group genbridge may read it (0640 root:genbridge); run this as one of them"


class AccountEntry(NamedTuple):
    """The parts of an account that tasks need. References stay references, unless the settings are resolved."""

    provider: str
    base_url: str | None
    action: str | None
    is_discovered: bool = False  # its new tasks are found in the provider's list


@dataclass(frozen=True, kw_only=True)
class SettingsFile:
    """A settings file after its YAML was read. Every property raises ConfigError with all mistakes in its part.

    `path` is absolute; `name` is used for the file in messages. With `env`, references are replaced.
    """

    path: Path
    name: str
    node: Pairs = field(repr=False)
    mode: int
    env: Mapping[str, str] | None = field(default=None, repr=False)

    @cached_property
    def store(self) -> str | None:
        """The store as written: `named_store` replaces its references."""
        with self._checked() as part:
            return part.text(validators.store_file, "store", is_resolved=False)

    @cached_property
    def accounts(self) -> Mapping[str, AccountEntry]:
        known = (*provider_trees.builtin_names(), *self.providers)
        with self._checked() as part:
            return {name: part.account(name, known) for name in part.names("accounts", is_required=True)}

    @cached_property
    def endpoints(self) -> tuple[str, ...]:
        with self._checked() as part:
            return tuple(part.names("endpoints"))

    @cached_property
    def queues(self) -> tuple[str, ...]:
        """The names of everything that has deliveries: the endpoints, and the archive if there is one."""
        return (*self.endpoints, ARCHIVE) if isinstance(self.node.values.get("archive"), Pairs) else self.endpoints

    @cached_property
    def providers(self) -> Mapping[str, Any]:
        """The provider descriptions in these settings, not validated."""
        with self._checked() as part:
            return {name: as_free(node) for name, node in part.mapping("providers").items()}

    @cached_property
    def public_url(self) -> str | None:
        """The public URL of the HTTP server, as written: it may contain references."""
        with self._checked() as part:
            return part.text(validators.base_url, "http", "public_url", is_resolved=False)

    @cached_property
    def source_paths(self) -> Mapping[str, Path]:
        """The paths of the sources in these settings."""
        with self._checked() as part:
            queue = part.below("sources", "queue")
            written = {
                "watchlist": part.text(validators.file_path, "sources", "watchlist"),
                "queue": part.text(validators.file_path, "sources", "queue", *(("path",) if queue else ())),
                "lines": part.text(validators.file_path, "sources", "lines"),
            }
        return {source: self.under(text) for source, text in written.items() if text is not None}

    @cached_property
    def member_name(self) -> str:
        """The name of this daemon among those that share a store: `sharing.name`, or the host's name."""
        with self._checked() as part:
            name = part.text(validators.name, "sharing", "name")
        return name or os.uname().nodename

    def under(self, text: str) -> Path:
        """The absolute path for a path in the settings, which is relative to the settings file; `~` is the home
        folder."""
        return self.path.parent / expanded(text)

    def problem(self, steps: Sequence[str | int], message: str) -> str:
        """The line about a mistake in the value at this key."""
        return at_value(self.node, steps, message).line(self.name)

    def problems(self, found: Iterator[tuple[Sequence[str | int], str]]) -> list[str]:
        """The lines about several mistakes, each with its key, in the order of the file."""
        return [one.line(self.name) for one in sorted(at_value(self.node, *each) for each in found)]

    @contextmanager
    def _checked(self) -> Iterator[_Part]:
        part = _Part(self.node, self.env)
        yield part
        if part.found:
            raise ConfigError([problem.line(self.name) for problem in sorted(part.found)])


class _Part:
    """Reads values of the settings and collects the mistakes in them."""

    def __init__(self, node: Node, env: Mapping[str, str] | None) -> None:
        self._node = node
        self._env = env
        self.found: set[Problem] = set()

    def below(self, *steps: str) -> Mapping[str, Node]:
        """The keys of a mapping; empty if there is no value, or another type."""
        node, left = walk(self._node, steps)
        return node.values if isinstance(node, Pairs) and not left else {}

    def mapping(self, *steps: str, is_required: bool = False) -> Mapping[str, Node]:
        """The keys of a mapping, which may be missing unless `is_required`."""
        node, left = walk(self._node, steps)
        is_null = isinstance(node, Scalar) and node.is_null
        if not left and not is_null and not isinstance(node, Pairs):
            self._wrong(steps, NOT_A_MAPPING)
        elif left and is_required:
            self.found.add(at_key(self._node, steps, "is missing", holder=True))
        elif is_required and not self.below(*steps):
            self._wrong(steps, "is empty" if is_null else "is empty; name at least one")
        return self.below(*steps)

    def text(self, check: Callable[[str], str], *steps: str, is_resolved: bool = True) -> str | None:
        """A text, checked after its references are replaced; None if it is missing or invalid."""
        node, left = walk(self._node, steps)
        if left or (isinstance(node, Scalar) and node.is_null):
            return None
        if not isinstance(node, Scalar):
            self._wrong(steps, NOT_A_TEXT)
            return None
        try:
            return checked_text(node.text, check, self._env if is_resolved else None)
        except ValueError as error:
            self._wrong(steps, str(error))
            return None

    def names(self, section: str, *, is_required: bool = False) -> Iterator[str]:
        """The keys of a section, checked as names."""
        for text in self.mapping(section, is_required=is_required):
            try:
                yield validators.name(text)
            except ValueError as error:
                self.found.add(at_key(self._node, (section, text), str(error)))
                yield text

    def account(self, name: str, known: Sequence[str]) -> AccountEntry:
        steps = ("accounts", name)
        self.mapping(*steps, is_required=True)
        provider = self.text(validators.name, *steps, "provider")
        if provider is None and self.below(*steps):
            self.found.add(at_key(self._node, (*steps, "provider"), "is missing", holder=True))
        elif provider is not None and provider not in known:
            self._wrong((*steps, "provider"), unknown("provider", provider, known))
        return AccountEntry(
            provider=provider or "",
            base_url=self.text(validators.base_url, *steps, "base_url"),
            action=self.text(validators.line, *steps, "action"),
            is_discovered=self.text(str, *steps, "discover") is not None,
        )

    def _wrong(self, steps: Steps, message: str) -> None:
        self.found.add(at_value(self._node, steps, message))


def checked_text(text: str, check: Callable[[str], str], env: Mapping[str, str] | None) -> str:
    """A text of the settings, checked with its references replaced. Without `env`, a text with references is returned
    unchanged. ValueError says what is wrong."""
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
    fix = "`genbridge init` writes one; or name it with --config"
    if _exists(Path("genbridge.yml")):
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


def read_settings(path: Path, repeated: list[YamlProblem] | None = None) -> SettingsFile:
    """The settings file at this path. ConfigError if it cannot be read, is not YAML, or is not a mapping. A repeated
    key is an error, too; if `repeated` is given, it is added to that instead."""
    data, mode = _read(path)
    name = str(path)
    try:
        node = read_document(data, name=name, repeated=repeated)
    except YamlProblem as problem:
        raise ConfigError([*map(str, repeated or ()), str(problem)]) from None
    if not isinstance(node, Pairs):
        is_empty = isinstance(node, Scalar) and node.is_null
        message = "the settings are empty; name at least one account" if is_empty else f"the settings {NOT_A_MAPPING}"
        raise ConfigError([Problem((node.line, node.column), "", message).line(name)])
    return SettingsFile(path=path.absolute(), name=name, node=node, mode=mode)


def _read(path: Path) -> tuple[bytes, int]:
    """The file's bytes, up to one more than the limit, and its mode."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_SETTINGS_BYTES + 1), path.stat().st_mode
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
    """A store on the command line: relative to the working folder, with references replaced. UsageError if it is
    invalid."""
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
