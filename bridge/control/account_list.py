"""The accounts and endpoints of the settings, each with its state, for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bridge.control.overview import Overview

if TYPE_CHECKING:
    from bridge.config.load import Loaded


def accounts_json(found: Overview, loaded: Loaded) -> list[dict[str, Any]]:
    """Each account of the settings: its provider, the number of live tasks, and what prevents polls."""
    status = found.json()
    return [
        {
            "account": name,
            "provider": account.provider,
            "live": found.counts.live_by_account.get(name, 0),
            "is_able": name not in found.counts.blocked and name not in status["paused_accounts"],
            "blocked": found.counts.blocked.get(name),
            "paused": _pause(status["paused_accounts"], name),
            "holds": _about(status["held_accounts"], "account", name),
            "unread_answers": _about(status["unread_answers"], "account", name),
        }
        for name, account in loaded.settings.accounts.items()
    ]


def endpoints_json(found: Overview, loaded: Loaded) -> list[dict[str, Any]]:
    """Each endpoint of the settings: its kind, the number of waiting deliveries, and what prevents deliveries."""
    status = found.json()
    return [
        {
            "endpoint": name,
            "type": endpoint.type,
            "format": getattr(endpoint, "format", None),
            "waiting": found.counts.waiting_by_endpoint.get(name, 0),
            "dead": found.counts.dead_by_endpoint.get(name, 0),
            "disabled": found.counts.disabled.get(name),
            "paused": _pause(status["paused_endpoints"], name),
            "failing": status["failing_endpoints"].get(name),
            "holds": _about(status["held_endpoints"], "endpoint", name),
            "unchecked": status["unchecked_by_endpoint"].get(name),
        }
        for name, endpoint in loaded.settings.endpoints.items()
    ]


def _pause(paused: Mapping[str, str | None], name: str) -> dict[str, str | None] | None:
    return {"until": paused[name]} if name in paused else None


def _about(records: Iterable[dict[str, Any]], key: str, name: str) -> list[dict[str, Any]]:
    return [{field: value for field, value in one.items() if field != key} for one in records if one[key] == name]
