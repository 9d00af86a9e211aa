"""The strip of a task's polls: positions of each poll, the usual duration and the finish. Arithmetic only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.domain.durations.forecast import Expected

WIDTH: Final = 94.0  # percent of the strip for the whole time span, so that the last label is not at the edge
APART: Final = 0.4  # percent; polls that are closer together are drawn as one
ROOM: Final = 13.0  # percent; the space that a label needs next to another one
NEAR_EDGE: Final = 12.0  # percent; a label closer to an edge starts or ends at its mark


class StripMark(NamedTuple):
    """A position on the strip in percent, and the alignment of a label there."""

    x: float
    anchor: str  # start, middle, end


@dataclass(frozen=True, slots=True, kw_only=True)
class StripGeometry:
    """A task from `added_at` on. `finished_at` is None while it runs; then the strip ends now, or later."""

    added_at: float
    now: float
    polls: Sequence[float]
    finished_at: float | None = None
    next_at: float | None = None
    usual: Expected | None = None

    @property
    def marks(self) -> Sequence[float]:
        """The positions of the polls; polls that are too close together appear once."""
        found: list[float] = []
        for at in sorted(self.polls):
            x = self._x(at)
            if at >= self.added_at and (not found or x - found[-1] >= APART):
                found.append(x)
        return found

    @property
    def end(self) -> StripMark | None:
        """The position of the finish."""
        return None if self.finished_at is None else _mark(self._x(self.finished_at))

    @property
    def present(self) -> StripMark | None:
        """The position of the current time, while the task runs."""
        return _mark(self._x(self.now)) if self.finished_at is None else None

    @property
    def coming(self) -> float | None:
        """The position of the next poll."""
        is_ahead = self.finished_at is None and self.next_at is not None and self.next_at > self.now
        return self._x(self.next_at) if is_ahead and self.next_at is not None else None

    @property
    def band(self) -> tuple[float, float] | None:
        """Where 80 % of similar tasks finish: start and width."""
        if self.usual is None:
            return None
        low = self._x(self.usual.low_at)
        return low, round(self._x(self.usual.high_at) - low, 1)

    @property
    def middle(self) -> float | None:
        """Where 50 % of similar tasks have finished."""
        return None if self.usual is None else self._x(self.usual.at)

    @property
    def labels(self) -> dict[str, StripMark]:
        """The labels below the strip that have enough space: `low`, `mid` and `high`. `added` is always at the left."""
        if self.usual is None:
            return {}
        found: dict[str, StripMark] = {}
        reached = 0.0
        for name, at in (("low", self.usual.low_at), ("high", self.usual.high_at)):
            mark = _mark(self._x(at))
            if mark.x - reached >= ROOM:
                found[name] = StripMark(mark.x, "end" if name == "high" else "start")
                reached = mark.x + (ROOM if name == "low" else 0.0)
        x = self._x(self.usual.at)
        if "low" in found and "high" in found and x - found["low"].x >= ROOM * 1.4 and found["high"].x - x >= ROOM:
            found["mid"] = StripMark(x, "middle")
        return found

    @property
    def _ends_at(self) -> float:
        ends = [self.added_at + 1e-3, self.now if self.finished_at is None else self.finished_at]  # never an empty span
        if self.usual is not None:
            ends.append(self.usual.high_at)
        if self.finished_at is None and self.next_at is not None:
            ends.append(min(self.next_at, self.now + max(self.now - self.added_at, 60.0)))  # at the edge if far away
        return max(ends)

    def _x(self, at: float) -> float:
        share = (at - self.added_at) / (self._ends_at - self.added_at)
        return round(min(max(share, 0.0), 1.0) * WIDTH, 1)


def _mark(x: float) -> StripMark:
    return StripMark(x, "start" if x < NEAR_EDGE else "end" if x > WIDTH - NEAR_EDGE else "middle")
