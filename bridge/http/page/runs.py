"""A running task, as a row shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bridge.control.account_waits import opens_at, waits_on
from bridge.control.estimates import Estimates
from bridge.domain.account_state import AccountState
from bridge.domain.views import WatchView
from bridge.http.page.bars import Bar

LONG_S: Final = 10.0  # a shorter wait is over before anybody could read about it


class HeldBack(StrEnum):
    """Why a task is not polled now."""

    BLOCKED = "blocked"  # the provider rejects the account
    PAUSED = "paused"  # by a person
    WAITS = "waits"  # the provider asked for a wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row."""

    view: WatchView
    bar: Bar
    held: HeldBack | None


def run_of(view: WatchView, accounts: Mapping[str, AccountState], estimates: Estimates, now: float) -> Run:
    """The row of this task."""
    # Estimated from its addition, not from its current age: the bar shows how late it is, so the band must not move.
    usual = estimates.of(view, view.added_at)
    held, held_at = _held(view, accounts.get(view.account), now)
    return Run(view=view, bar=Bar(view.added_at, now, usual, view.progress, held_at), held=held)


def _held(view: WatchView, account: AccountState | None, now: float) -> tuple[HeldBack | None, float | None]:
    """Why it is not polled, and since when."""
    if account is None:
        return None, None
    if account.blocked_at is not None:
        return HeldBack.BLOCKED, account.blocked_at
    if (pause := account.current_pause(now)) is not None:
        return HeldBack.PAUSED, pause.since_at
    is_long = opens_at(waits_on(account, view.action, now)) - now >= LONG_S
    return (HeldBack.WAITS, now) if is_long else (None, None)
