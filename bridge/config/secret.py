"""Secrets and references: `${ENV}`, `${ENV:-default}`, `file:/path`, `credential:NAME`.

`${...}` is possible in any text of the settings; `file:` and `credential:` replace a whole secret. A secret keeps both
its text as written, which shows whether an endpoint has changed, and its value, which only requests need. Neither is
ever printed.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from bridge.domain.quoting import quoted
from bridge.errors import BridgeBug

MAX_SECRET_BYTES: Final = 64 * 1024

_ENV: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_STORED: Final = ("file:", "credential:")


@dataclass(frozen=True, kw_only=True)
class ReferenceContext:
    """Resolves references. Collects `warnings`, and in `found` the values of references in secrets."""

    env: Mapping[str, str] = field(repr=False)
    base_dir: Path
    warnings: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list, repr=False)


class SecretText:
    """A text that is never printed: as written (a literal, or with references), and its value once resolved."""

    __slots__ = ("_value", "_written")

    def __init__(self, written: str, value: str | None = None) -> None:
        self._written = written
        self._value = value if value is not None or has_reference(written, stored=True) else written

    @property
    def written(self) -> str:
        """The text in the settings, not resolved. It may be the secret itself: hash it, but never print it."""
        return self._written

    @property
    def is_resolved(self) -> bool:
        return self._value is not None

    def reveal(self) -> str:
        """The value. BridgeBug if it has not been resolved."""
        if self._value is None:
            raise BridgeBug("a secret was needed before it was resolved")
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretText):
            return NotImplemented
        return (self._written, self._value) == (other._written, other._value)

    def __hash__(self) -> int:
        return hash((self._written, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


def has_reference(text: str, *, stored: bool = False) -> bool:
    """Whether `text` must be resolved. With `stored`, `file:` and `credential:` count, too."""
    return _ENV.search(text) is not None or (stored and text.startswith(_STORED))


def fill(text: str, env: Mapping[str, str], found: list[str] | None = None) -> str:
    """`text` with every `${ENV}` and `${ENV:-default}` replaced; adds the values to `found`. ValueError names all
    variables that are unset or empty and have no default, or all that are not UTF-8."""
    missing: list[str] = []
    broken: list[str] = []

    def value_of(reference: re.Match[str]) -> str:
        name, default = reference[1], reference[2]
        value = env.get(name, "")
        if not value and default is None:
            missing.append(name)
        if _SURROGATE.search(value):  # Python's stand-in for a byte that is not UTF-8
            broken.append(name)
        elif value and found is not None:
            found.append(value)
        return value or default or ""

    filled = _ENV.sub(value_of, text)
    for names, problem in (missing, "not set"), (broken, "not UTF-8"):
        if names:
            raise ValueError(f"{problem} in the environment: {', '.join(dict.fromkeys(names))}")
    return filled


def check_references(text: str, *, stored: bool = False) -> None:
    """ValueError if a `${` in `text` begins no reference, or if a `stored` reference is incomplete."""
    if "${" in _ENV.sub("", text):
        raise ValueError('"${" does not start a reference; write ${NAME} or ${NAME:-default}')
    if not stored:
        return
    if text.startswith("credential:") and not _CREDENTIAL.fullmatch(_ENV.sub("x", text.removeprefix("credential:"))):
        raise ValueError("a credential is written credential:NAME, the name without slashes")
    if text == "file:":
        raise ValueError("a secret's file is written file:/path")


def resolve_secret(text: str, around: ReferenceContext) -> str:
    """The value of a secret. ValueError names what is missing, but never a value."""
    filled = fill(text, around.env, around.found)
    if text.startswith("file:"):
        try:
            path = around.base_dir / Path(filled.removeprefix("file:")).expanduser()
        except RuntimeError:
            raise ValueError("there is no home folder; write the path out, or set HOME") from None
        return _read(path, around, f"the file {quoted(str(path), limit=200)}", private=True)
    if text.startswith("credential:"):
        name = filled.removeprefix("credential:")
        folder = around.env.get("CREDENTIALS_DIRECTORY", "")
        if not _CREDENTIAL.fullmatch(name):
            raise ValueError("a credential is written credential:NAME, the name without slashes")
        if not folder:
            raise ValueError(
                f"no credential {quoted(name)}: $CREDENTIALS_DIRECTORY is not set "
                "(the service manager sets it, see LoadCredential=)"
            )
        return _read(Path(folder) / name, around, f"the credential {quoted(name)}", private=False)
    return filled


def _read(path: Path, around: ReferenceContext, what: str, *, private: bool) -> str:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"{what} is not a regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
    except FileNotFoundError:
        raise ValueError(f"{what} does not exist") from None
    except OSError as error:
        raise ValueError(f"{what} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_SECRET_BYTES:
        raise ValueError(f"{what} is larger than {MAX_SECRET_BYTES} bytes")
    try:
        value = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not text") from None
    value = value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value
    if not value:
        raise ValueError(f"{what} is empty")
    if private and mode & stat.S_IROTH:
        around.warnings.append(f"{what} is readable by others; chmod o-r it")
    around.found.append(value)
    return value
