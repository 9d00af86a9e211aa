"""When each daemon read its settings, and what is wrong with the file since then."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.config.settings_file import SettingsFile
from bridge.control.formats import ago, rfc3339
from bridge.domain.plurals import count
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


def known_settings(file: SettingsFile, stored: Sequence[SourceFacts], working: Collection[str]) -> list[SettingsFacts]:
    """The settings of the daemons with these names, according to the store; or else of this file, which none uses."""
    found = [_facts(one) for one in stored if one.source == SETTINGS and one.daemon in working]
    return found or [SettingsFacts(daemon="", path=str(file.path), read_at=None)]


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
