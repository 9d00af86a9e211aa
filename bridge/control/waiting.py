"""The tasks of `wait`, and which of them are still running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bridge.config.settings_file import SettingsFile
from bridge.control.lookup import find_keys, known_account
from bridge.domain.filters import WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.task import LIVE, Phase
from bridge.domain.views import WatchView
from bridge.store import ReadStore

WatchViews = Mapping[WatchKey, WatchView]


def awaited_tasks(store: ReadStore, file: SettingsFile, ids: Sequence[str], account: str | None) -> WatchViews:
    """The tasks with these ids, or without ids all that are watched now, the oldest first. Errors as for
    `find_keys`."""
    if ids:
        return {key: store.view(key) for key in find_keys(store, file, ids, account)}
    known_account(store, file, account)
    live = store.list_watches(WatchFilter(phases=tuple(sorted(LIVE)), account=account))
    return {WatchKey(view.account, view.task_id): view for view in reversed(live)}


def reread(store: ReadStore, views: WatchViews) -> WatchViews:
    """The current state of the same tasks. Finished tasks are not read again."""
    return {key: store.view(key) if view.phase in LIVE else view for key, view in views.items()}


def count_live(views: WatchViews) -> int:
    return sum(view.phase in LIVE for view in views.values())


def all_succeeded(views: WatchViews) -> bool:
    return all(view.phase is Phase.SUCCEEDED for view in views.values())


def phases_text(views: WatchViews) -> str:
    """The number of tasks in each phase: `2 running, 5 succeeded, 1 failed`."""
    numbers = Counter(view.phase for view in views.values())
    return ", ".join(f"{numbers[phase]} {phase}" for phase in Phase if numbers[phase])
