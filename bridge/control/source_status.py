"""What each source has read, as the daemons have stored it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.config.settings_file import SettingsFile
from bridge.control.formats import rfc3339
from bridge.domain.source import DISCOVER, SETTINGS, SourceFacts
from bridge.store import ReadStore


def known_sources(store: ReadStore, file: SettingsFile) -> list[SourceFacts]:
    """Every source of these settings, even if it was never read. On a shared store, also those of the other running
    daemons."""
    daemon = file.member_name if store.is_shared else ""
    stored = {(one.daemon, one.source, one.path): one for one in store.sources()}
    own = [(daemon, source, str(path)) for source, path in file.source_paths.items()]
    own += [(daemon, f"{DISCOVER}{name}", "") for name, account in file.accounts.items() if account.is_discovered]
    working = {view.member.rpartition("#")[0] for view in store.members()} - {daemon}
    others = [key for key in stored if key[0] in working and key[1] != SETTINGS]
    unread = {key: SourceFacts(daemon=key[0], source=key[1], path=key[2]) for key in own}
    return [stored.get(key) or unread[key] for key in (*own, *others)]


def sources_json(sources: Sequence[SourceFacts]) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {
            "daemon": one.daemon or None,
            "source": one.source,
            "path": one.path or None,
            "last_read_at": rfc3339(one.read_at),
            "taken": one.taken,
            "rejected": one.rejected,
            "left_alone": one.left_alone,
            "failing": one.is_failing,
            "last_error": one.error,
            "last_error_at": rfc3339(one.error_at),
            "note": one.note,
        }
        for one in sources
    ]
