"""When each daemon read its settings, and what is wrong with the file since then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.config.settings_file import SettingsFile
from bridge.control.formats import ago, count, rfc3339
from bridge.control.store_now import StoreNow
from bridge.domain.source import SETTINGS, SourceFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFacts:
    """The settings of one daemon, as it stored them."""

    daemon: str  # its name on a shared store, otherwise empty
    path: str
    read_at: float | None  # when the settings in force were read; None: no daemon uses them
    invalid_since: float | None = None  # the file has mistakes; None: it is in force
    mistake: str = ""  # the first one, with its place
    mistakes: int = 0


def known_settings(at: StoreNow) -> list[SettingsFacts]:
    """The settings of the daemons that work on this store. On a store that is not shared, these are the settings of the
    last daemon, even if it has stopped."""
    store = at.store
    working = {view.member.rpartition("#")[0] for view in store.members()} if store.is_shared else {""}
    found = [_facts(one) for one in store.sources() if one.source == SETTINGS and one.daemon in working]
    return found or [unread_settings(at.file)]


def unread_settings(file: SettingsFile) -> SettingsFacts:
    """The facts about settings that no daemon uses."""
    return SettingsFacts(daemon="", path=str(file.path), read_at=None)


def _facts(stored: SourceFacts) -> SettingsFacts:
    facts = SettingsFacts(daemon=stored.daemon, path=stored.note or "", read_at=stored.read_at)
    if not stored.is_failing:
        return facts
    return replace(facts, invalid_since=stored.error_at, mistake=stored.error or "", mistakes=stored.rejected)


def settings_json(found: Sequence[SettingsFacts]) -> list[dict[str, Any]]:
    return [
        {
            "daemon": one.daemon or None,
            "path": one.path or None,
            "read_at": rfc3339(one.read_at),
            "invalid_since": rfc3339(one.invalid_since),
            "mistake": one.mistake or None,
            "mistakes": one.mistakes,
        }
        for one in found
    ]


def settings_lines(found: Sequence[SettingsFacts], now: float) -> Iterator[tuple[str, str]]:
    """For people: the name of each line, empty when it continues the one above, and its text."""
    for one in (one for one in found if one.read_at is not None):
        name = f"{one.daemon}: {one.path}" if one.daemon else one.path
        if one.invalid_since is None:
            yield "settings", f"{name}, read {ago(one.read_at, now)}"
            continue
        in_force = f"the settings read {ago(one.read_at, now)} stay in force"
        yield "invalid", f"{name}, since {rfc3339(one.invalid_since)} ({ago(one.invalid_since, now)}): {in_force}"
        more = f"; {count(one.mistakes - 1, 'more mistake')} in the log (settings.invalid)" if one.mistakes > 1 else ""
        yield "", f"{one.mistake}{more}"
