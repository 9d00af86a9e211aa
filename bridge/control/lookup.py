"""Finds the watches for what people type: an id, a query URL, or ACCOUNT/ID."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bridge.config.settings_file import SettingsFile
from bridge.control.known_names import known_account
from bridge.domain.ids import WatchKey
from bridge.domain.quoting import printable
from bridge.errors import UnknownError, UsageError
from bridge.store import ReadStore

_URL: Final = re.compile(r"\s*https?://", re.IGNORECASE)


def find_keys(store: ReadStore, file: SettingsFile, ids: Sequence[str], account: str | None) -> list[WatchKey]:
    """The watches of these ids, without repetition. UnknownError if one is not watched. UsageError if several accounts
    watch the same id and `account` does not select one, or if `account` is unknown."""
    known_account(store, file, account)
    return list(dict.fromkeys(_find_key(store, file, one, account) for one in ids))


def _find_key(store: ReadStore, file: SettingsFile, text: str, account: str | None) -> WatchKey:
    task_id = text.strip()
    if _URL.match(text):
        account, task_id = _located(file, text, account)
    found = store.find(task_id, account)
    if not found and account is None:  # ACCOUNT/ID, as commands print it
        name, _, rest = task_id.partition("/")
        found = store.find(rest, name)
    if not found:
        at = f" at account {printable(account)}" if account else ""
        raise UnknownError(f"{printable(task_id)} is not watched{at}: `genbridge list` shows all watched tasks")
    if len(found) > 1:
        accounts = ", ".join(watch.state.account for watch in found)
        raise UsageError(
            f"several accounts watch {printable(task_id)} ({accounts}): choose one with --account", at="account"
        )
    return found[0].state.key


def _located(file: SettingsFile, url: str, account: str | None) -> WatchKey:
    # Imported here, because only a query URL needs them.
    from bridge.sources.task_reader import DoubtfulId, TaskProblem
    from bridge.task_reading import task_reader

    try:
        return task_reader(file).read({"id": url, "account": account}).key
    except DoubtfulId as doubtful:  # the task was added when such ids were still accepted
        return doubtful.key
    except TaskProblem as problem:
        raise UsageError(str(problem), at="id") from None
