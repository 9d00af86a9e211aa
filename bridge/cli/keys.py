"""Which watches people mean by the ids they give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bridge.cli.session import Session
from bridge.cli.text import storable
from bridge.domain.ids import WatchKey
from bridge.domain.text import printable
from bridge.errors import UnknownError, UsageError
from bridge.reader import task_reader
from bridge.sources.tasks import TaskProblem
from bridge.store import Store

_URL: Final = re.compile(r"\s*https?://", re.IGNORECASE)


def find_keys(session: Session, store: Store, ids: Sequence[str], account: str | None) -> list[WatchKey]:
    """The watches of these ids, query URLs, or ACCOUNT/IDs, each once, all of them or UnknownError; UsageError when an
    id is watched at several accounts."""
    return list(dict.fromkeys(_find_key(session, store, one, account) for one in ids))


def _find_key(session: Session, store: Store, text: str, account: str | None) -> WatchKey:
    task_id = text.strip()
    if _URL.match(text):
        account, task_id = _located(session, text, account)
    found = store.find(storable(task_id), account and storable(account))
    if not found and account is None:  # ACCOUNT/ID, as commands print it
        name, _, rest = task_id.partition("/")
        found = store.find(storable(rest), storable(name))
    if not found:
        at = f" at account {printable(account)}" if account else ""
        raise UnknownError(f"no watch of {printable(task_id)}{at}: `genbridge list` shows what is watched")
    if len(found) > 1:
        accounts = ", ".join(watch.state.account for watch in found)
        raise UsageError(f"{printable(task_id)} is watched at several accounts ({accounts}): choose with --account")
    return found[0].state.key


def _located(session: Session, url: str, account: str | None) -> WatchKey:
    try:
        return task_reader(session.loaded).read({"id": url, "account": account}).key
    except TaskProblem as problem:
        raise UsageError(str(problem)) from None
