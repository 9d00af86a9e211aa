"""When the end of what is being watched is expected, by what daemons have learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.cli.session import Session
from bridge.cli.text import rfc3339, span
from bridge.domain.durations.knowledge import Key, Knowledge
from bridge.domain.durations.table import Table
from bridge.domain.durations.words import Expected, expected
from bridge.domain.task import LIVE
from bridge.store import Store
from bridge.store.views import WatchView


class Foresight:
    """What the store's tables say of watches; `forms` names each account's provider. It needs no daemon."""

    def __init__(self, tables: Mapping[Key, Table | None], forms: Mapping[str, str]) -> None:
        self._knowledge = Knowledge(forms)
        self._knowledge.stored(tables)

    def of(self, view: WatchView, now: float) -> Expected | None:
        """When this one's end is expected, counted from when it was added; None when it has ended, or too little is
        known."""
        if view.phase not in LIVE:
            return None
        fit = self._knowledge.fit(Key(view.account, view.action or ""))
        return expected(fit, began_at=view.added_at, now=now)


def foresight(session: Session, store: Store) -> Foresight:
    """By this store and these settings."""
    accounts = session.loaded.settings.accounts
    return Foresight(store.durations(), {name: account.provider for name, account in accounts.items()})


def eta(found: Expected | None, now: float) -> str:
    """For people: `in 20s to 45s`, or `-`."""
    if found is None:
        return "-"
    low, high = (span(max(0.0, at - now)) for at in (found.low_at, found.high_at))
    return f"in {low} to {high}"


def eta_json(found: Expected | None) -> Mapping[str, Any]:
    """For `--json`: the instant at which half of such tasks have ended, and those of one and nine of ten."""
    return {
        "eta_at": rfc3339(found.at if found else None),
        "eta_low_at": rfc3339(found.low_at if found else None),
        "eta_high_at": rfc3339(found.high_at if found else None),
    }
