"""Writes a first settings file, as YAML with comments, from a person's answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import jinja2
import orjson

from bridge.config.provider_trees import unknown_provider
from bridge.config.secret import check_references, has_reference
from bridge.domain.source import SourceKind
from bridge.errors import UsageError
from bridge.net.client import address_problem
from bridge.providers.calls import TaskCall
from bridge.providers.description import Description
from bridge.sinks.apprise_plugin import check_url
from bridge.sinks.chat_services import ROBOTS, host_warning
from bridge.sinks.hook_address import HookAddress

SOURCES: Final[Mapping[str, str]] = {
    SourceKind.QUEUE: "the folder queue/: drop a file with ids in",
    SourceKind.WATCHLIST: "the YAML list tasks.yaml",
    SourceKind.LINES: "the text file ids.txt: append an id per line",
    "discover": "the provider's own list: every new task of the key",
    "none": "only `genbridge add` and the HTTP API",
}
PATHS: Final = {SourceKind.QUEUE: "queue/", SourceKind.WATCHLIST: "tasks.yaml", SourceKind.LINES: "ids.txt"}


class FirstEndpoint(NamedTuple):
    """Where notifications go."""

    name: str
    url: str
    format: str | None  # None: an Apprise URL


class FirstSettings(NamedTuple):
    """All answers. `keys` are the account's key or pair of keys, or none."""

    description: Description
    base_url: str | None
    keys: Mapping[str, str]
    action: str | None
    source: str
    endpoint: FirstEndpoint | None


def find_provider(given: str, known: Mapping[str, Description]) -> Description:
    """The provider with this name, or the only one whose name begins with it. ValueError suggests another."""
    name = given.strip().lower().replace("-", "_")
    begun = [each for each in known if each.startswith(name)]
    if name not in known and len(begun) != 1:
        raise ValueError(unknown_provider(given.strip(), known, most=len(known)))
    return known[name if name in known else begun[0]]


def usual_keys(description: Description, call: TaskCall) -> str:
    """The environment variables that usually hold the key."""
    if call.auth == "signed":
        start = description.name.upper()
        return f"${{{start}_ACCESS_KEY}} ${{{start}_SECRET_KEY}}"
    return f"${{{description.key_variable or f'{description.name.upper()}_API_KEY'}}}"


def parse_keys(text: str, description: Description, call: TaskCall) -> dict[str, str]:
    """The settings for one key, or for two separated by a space. ValueError if they cannot be used."""
    parts = text.split()
    if call.auth == "signed" and len(parts) != 2:
        raise ValueError("requests are signed: give the access key and the secret key, separated by a space")
    if not parts:
        raise ValueError("is empty; give the key, ${NAME}, file:/path or credential:NAME")
    pair = "" if description.key_pair is None else ", or an access key and a secret key separated by a space"
    if len(parts) > (2 if pair else 1):
        raise ValueError(f"holds {len(parts)} words; give one key{pair}")
    for part in parts:
        check_references(part, stored=True)
    names = ("api_key",) if len(parts) == 1 else ("access_key", "secret_key")
    return dict(zip(names, parts, strict=True))


def sources_of(call: TaskCall) -> dict[str, str]:
    """The possible sources of tasks, each with a description; the usual one first."""
    able = call.discover is not None
    return {name: meaning for name, meaning in SOURCES.items() if name != "discover" or able}


def parse_endpoint(text: str) -> FirstEndpoint | None:
    """The webhook, robot or chat at an address; None for an empty text. ValueError if it cannot work."""
    url = text.strip()
    if not url:
        return None
    check_references(url)
    if "://" not in url:
        raise ValueError("write a URL: https://... for a webhook, or an Apprise URL such as tgram://TOKEN/CHAT_ID")
    if not url.lower().startswith(("https://", "http://")):
        wrong = None if has_reference(url) else check_url(url)
        if wrong is not None:
            raise ValueError(wrong)
        return FirstEndpoint(name="chat", url=url, format=None)
    if not has_reference(url):
        if (wrong := address_problem(url)) is not None:
            raise ValueError(wrong)
        HookAddress(url)
    format = next((each for each in ("documented", *ROBOTS) if host_warning(url, each) is None), None)
    if format == "telegram":
        raise ValueError("for Telegram write the Apprise URL tgram://TOKEN/CHAT_ID")
    if format is None:
        raise ValueError(str(host_warning(url, "documented")))
    return FirstEndpoint(name="automation" if format == "documented" else format, url=url, format=format)


def settings_text(first: FirstSettings) -> str:
    """The file, from the template `first_settings.jinja`."""
    made = jinja2.Environment(  # noqa: S701 - the file is YAML, where nothing is escaped as in HTML
        loader=jinja2.PackageLoader("bridge.control", ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["quoted"] = lambda text: orjson.dumps(text).decode()  # a text of YAML in quotes
    return made.get_template("first_settings.jinja").render(paths=PATHS, **first._asdict())


def write_settings(path: Path, text: str, *, source: str) -> None:
    """Write the file, readable only by its owner, and an empty source. UsageError if the file exists."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise UsageError(exists_already(path)) from None
    with os.fdopen(number, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    if source not in PATHS:
        return
    made = path.parent / PATHS[SourceKind(source)]
    with suppress(FileExistsError):  # `check` says whether what is there can be used
        if source == SourceKind.QUEUE:
            made.mkdir()
        else:
            with made.open("x") as file:
                file.write("tasks: []\n" if source == SourceKind.WATCHLIST else "")


def exists_already(path: Path) -> str:
    """The advice for a settings file that exists already."""
    return f"{path} already exists and was not changed: edit it, or name another file with --config"


def keep_out_of_git(path: Path) -> Path | None:
    """Add the settings to the `.gitignore` in the same folder, if they are in a Git repository and not listed yet.
    Returns the file that was changed."""
    folder = path.absolute().parent
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return None
    file = folder / ".gitignore"
    before = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    if {path.name, f"/{path.name}"} & {line.strip() for line in before.splitlines()}:
        return None
    begin = "\n" if before and not before.endswith("\n") else ""
    with file.open("a", encoding="utf-8") as ignored:
        ignored.write(f"{begin}/{path.name}\n")
    return file
