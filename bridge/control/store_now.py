"""What most requests about a store need together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridge.config.settings_file import SettingsFile
    from bridge.store import ReadStore


class StoreNow(NamedTuple):
    """A store, open for reading, with the settings, at one instant."""

    store: ReadStore
    file: SettingsFile
    now: float
