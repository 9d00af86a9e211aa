"""A running task, as a row shows it: its progress, when similar tasks finish, and why it is not polled now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from bridge.control.account_waits import opens_at, waits_on
from bridge.control.estimates import Estimates
from bridge.control.health_facts import STOPPED, FactState, account_state
from bridge.domain.account_state import AccountState
from bridge.domain.durations.forecast import Expected
from bridge.domain.views import WatchView

WIDTH: Final = 94.0  # percent of the width from the start to the expected finish, so that the finish is not at the edge
LEAST: Final = 1.0  # percent; the smallest visible fill
STEPS: Final = ((60.0, 5.0), (600.0, 30.0), (math.inf, 60.0))  # below this many seconds: rounded to this step
LONG_S: Final = 10.0  # a shorter wait is over before anybody could read about it


class BarState(StrEnum):
    """The kind of text next to a bar."""

    AHEAD = "ahead"  # the first similar tasks will finish later than now
    WITHIN = "within"  # similar tasks finish about now
    LATE = "late"  # 90 % of similar tasks have finished by now
    PROGRESS = "progress"  # the provider reports the progress
    UNKNOWN = "unknown"  # too few similar tasks were observed
    HELD = "held"  # the task is not polled now


class ProgressBar(NamedTuple):
    """One running task. `usual`: when such tasks finish; None: unknown. `held_at`: when polling stopped."""

    added_at: float
    now: float
    usual: Expected | None = None
    progress: float | None = None  # percent
    held_at: float | None = None

    @property
    def state(self) -> BarState:
        if self.held_at is not None:
            return BarState.HELD
        if self.progress is not None:
            return BarState.PROGRESS
        if self.usual is None:
            return BarState.UNKNOWN
        if self.now > self.usual.high_at:
            return BarState.LATE
        return BarState.AHEAD if self.usual.low_at - self.now >= STEPS[0][1] else BarState.WITHIN

    @property
    def fill(self) -> float:
        """The filled part in percent of the width; 0 without an estimate."""
        if self.progress is not None:
            return max(LEAST, min(100.0, self.progress))
        return 0.0 if self.usual is None else max(LEAST, self._place(self._reached_at))

    @property
    def band(self) -> tuple[float, float] | None:
        """Where 80 % of similar tasks finish: start and width, in percent."""
        if self.progress is not None or self.usual is None:
            return None
        low = self._place(self.usual.low_at)
        return low, round(self._place(self.usual.high_at) - low, 1)

    @property
    def middle(self) -> float | None:
        """Where 50 % of similar tasks have finished, in percent."""
        return None if self.progress is not None or self.usual is None else self._place(self.usual.at)

    @property
    def low_s(self) -> float:
        """Seconds until the first similar tasks finish, rounded."""
        return stepped((self.usual.low_at if self.usual else 0.0) - self.now, up=False)

    @property
    def high_s(self) -> float:
        """Seconds until the last similar tasks finish, rounded."""
        return stepped((self.usual.high_at if self.usual else 0.0) - self.now, up=True)

    @property
    def _reached_at(self) -> float:
        return self.now if self.held_at is None else min(self.now, self.held_at)

    def _place(self, at: float) -> float:
        whole_s = max(self.usual.high_at if self.usual else 0.0, self._reached_at) - self.added_at
        return round(max(0.0, min(1.0, (at - self.added_at) / whole_s)) * WIDTH, 1) if whole_s > 0 else 0.0


def stepped(seconds: float, *, up: bool) -> float:
    """Seconds rounded for a forecast: to 5 s below a minute, to 30 s below ten minutes, otherwise to a minute."""
    seconds = max(0.0, seconds)
    step = next(step for below, step in STEPS if seconds < below)
    whole = math.ceil(seconds / step) if up else math.floor(seconds / step)
    return max(STEPS[0][1], whole * step) if up else whole * step


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRow:
    view: WatchView
    bar: ProgressBar
    held: FactState | None  # why it is not polled now: the account is blocked, paused or held

    @property
    def kind(self) -> str:
        """What is generated, in a word: the last part of the action, except for `generations`, which says nothing."""
        parts = [part for part in (self.view.action or "").split("/") if part != "generations"]
        return parts[-1] if parts else ""


def running_row(view: WatchView, accounts: Mapping[str, AccountState], estimates: Estimates, now: float) -> RunningRow:
    """The row of this task."""
    # Estimated from its addition, not from its current age: the bar shows how late it is, so the band must not move.
    usual = estimates.of(view, view.added_at)
    held, held_at = _held(view, accounts.get(view.account), now)
    return RunningRow(view=view, bar=ProgressBar(view.added_at, now, usual, view.progress, held_at), held=held)


def _held(view: WatchView, account: AccountState | None, now: float) -> tuple[FactState | None, float | None]:
    """Why it is not polled, and since when."""
    found = account_state(account, now)
    if found.state in STOPPED:
        return found.state, found.since_at
    is_long = opens_at(waits_on(account, view.action, now)) - now >= LONG_S
    return (FactState.HELD, now) if is_long else (None, None)
