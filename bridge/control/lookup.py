"""Finds what people type: a watch by id, query URL or ACCOUNT/ID, and names of the settings. Suggests a near name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bridge.config.settings_file import SettingsFile
from bridge.control.store_now import StoreNow
from bridge.domain.filters import DeliveryFilter, WatchFilter
from bridge.domain.ids import ARCHIVE, WatchKey
from bridge.domain.quoting import shortened, unknown_name
from bridge.errors import UnknownError, UnknownNameError, UsageError

MOST_SHOWN: Final = 120  # characters of an id in a message; most ids are shorter
_URL: Final = re.compile(r"\s*https?://", re.IGNORECASE)


def find_keys(at: StoreNow, ids: Sequence[str], account: str | None) -> list[WatchKey]:
    """The watches of these ids, without repetition. UnknownError if one is not watched. UsageError if one is empty, if
    several accounts watch the same id and `account` does not select one, or if `account` is unknown."""
    listed_account(at, account)
    return list(dict.fromkeys(_find_key(at, one, account) for one in ids))


def _find_key(at: StoreNow, text: str, account: str | None) -> WatchKey:
    task_id = text.strip()
    if not task_id:
        raise UsageError("the task id is empty; if it comes from a variable, set the variable", at="id")
    if _URL.match(text):
        account, task_id = _located(at.file, text, account)
    found = at.store.find(task_id, account)
    if not found and account is None:  # ACCOUNT/ID, as commands print it
        name, _, rest = task_id.partition("/")
        found = at.store.find(rest, name)
    if not found:
        where = f" at account {shortened(account)}" if account else ""
        way = "list --wide` shows whole ids" if "…" in task_id else "list` shows all watched tasks"
        raise UnknownError(f"{shortened(task_id, limit=MOST_SHOWN)} is not watched{where}: `genbridge {way}")
    if len(found) > 1:
        accounts = ", ".join(watch.state.account for watch in found)
        raise UsageError(
            f"several accounts watch {shortened(task_id, limit=MOST_SHOWN)} ({accounts}): write ACCOUNT/ID",
            at="account",
        )
    return found[0].state.key


def _located(file: SettingsFile, url: str, account: str | None) -> WatchKey:
    # Imported here, because only a query URL needs them.
    from bridge.sources.task_reader import DoubtfulId, TaskProblem
    from bridge.wiring.task_reading import task_reader

    try:
        return task_reader(file).read({"id": url, "account": account}).key
    except DoubtfulId as doubtful:  # the task was added when such ids were still accepted
        return doubtful.key
    except TaskProblem as problem:
        raise UsageError(str(problem), at="id") from None


def known_account(file: SettingsFile, account: str) -> None:
    """UnknownNameError unless the settings have this account."""
    if account not in file.accounts:
        raise UnknownNameError(unknown_name("account", account, file.accounts), at="account", file=str(file.path))


def known_endpoint(file: SettingsFile, endpoint: str) -> None:
    """UnknownNameError unless the settings have this endpoint."""
    if endpoint not in file.queues:
        raise UnknownNameError(unknown_name("endpoint", endpoint, file.queues), at="endpoint", file=str(file.path))


def sampled_endpoint(file: SettingsFile, endpoint: str) -> None:
    """As `known_endpoint`, for samples. UsageError for the archive, which gets none."""
    known_endpoint(file, endpoint)
    if endpoint == ARCHIVE:
        raise UsageError(f"{ARCHIVE} gets no samples; `genbridge check --online` checks the archive")


def listed_account(at: StoreNow, account: str | None) -> None:
    """As `known_account`, for listings: a removed account is known while the store has tasks of it."""
    if account is not None and account not in at.file.accounts:
        if not at.store.list_watches(WatchFilter(account=account), limit=1):
            known_account(at.file, account)


def listed_endpoint(at: StoreNow, endpoint: str | None) -> None:
    """As `known_endpoint`, for listings: a removed endpoint is known while the store has deliveries to it."""
    if endpoint is not None and endpoint not in at.file.queues:
        if not at.store.list_deliveries(DeliveryFilter(endpoint=endpoint), limit=1):
            known_endpoint(at.file, endpoint)
