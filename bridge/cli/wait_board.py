"""Live progress of `wait` on a terminal: a bar for each task, and a summary row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge.cli.listing import PHASE_MARKS
from bridge.clock import SystemClock
from bridge.control.estimates import Estimates, eta, is_vague
from bridge.control.formats import clock_span
from bridge.control.waiting import WatchViews, all_succeeded, count_live, phases_text
from bridge.domain.quoting import printable
from bridge.domain.task import LIVE
from bridge.domain.views import WatchView
from bridge.screen import BAD, BUSY, GOOD, MARK_STYLES, Screen, cut

ROWS_LEFT: Final = 4  # rows of the terminal for the summary, the number of further tasks, and the prompt
NAME_CELLS: Final = 28
STATE_CELLS: Final = 24
NEARLY: Final = 0.95  # a bar that is filled by an estimate stops here until the task has finished
NEVER: Final = float("inf")
COLORS: Final = {"good": "green", "bad": "red", "busy": "cyan", "dim": "dim"}


class Bars:
    """A bar for each task. Those that should finish first are at the top; the tasks that do not fit on the terminal are
    counted."""

    def __init__(self, console: Console, screen: Screen, known_ends: Estimates) -> None:
        self._console = console
        self._screen = screen
        self._known_ends = known_ends
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._clock = SystemClock()
        self._began_at = self._clock.steady()
        self._parts: dict[int, float] = {}  # by watch id, so that a bar never goes back

    def __enter__(self) -> Bars:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._live.transient = kind is None  # after Ctrl-C the last known state stays on the terminal
        self._live.stop()

    def show(self, views: WatchViews) -> None:
        """Show the current progress of the tasks."""
        self._live.update(Group(*self.rows(views, self._clock.now())), refresh=True)

    def rows(self, views: WatchViews, now: float) -> Sequence[Table | Text]:
        """The bars, the number of tasks without one, and the summary."""
        found = sorted(views.values(), key=lambda view: self._order(view, now))
        room = max(1, self._console.height - ROWS_LEFT)
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        for each in ("left", "left", "left", "left", "right"):
            grid.add_column(justify=each, no_wrap=True, overflow="ellipsis")
        grid.columns[2].ratio = 1
        grid.columns[3].min_width = min(STATE_CELLS, self._console.width // 4)
        for view in found[:room]:
            grid.add_row(*self._row(view, now))
        more = [Text(f"  {len(found) - room} more", style="dim")] if len(found) > room else []
        return [grid, *more, *([self._sum(views)] if len(views) > 1 else [])]

    def _row(self, view: WatchView, now: float) -> tuple[Text | ProgressBar, ...]:
        done = self._done(view, now)
        mark = PHASE_MARKS.get(view.phase, BAD)
        style = COLORS[MARK_STYLES[mark]]
        name = Text(cut(printable(view.label or view.task_id), NAME_CELLS))
        bar = ProgressBar(total=1.0, completed=done or 0.0, complete_style=style, finished_style=style)
        state = self._state(view, now) if view.phase in LIVE else printable(view.reason or view.phase)
        took = clock_span((view.ended_at or now) - view.added_at)
        return (
            Text(mark if self._screen.marks else "", style=style),
            name,
            bar,
            Text(cut(state, STATE_CELLS)),
            Text(took, style="dim"),
        )

    def _state(self, view: WatchView, now: float) -> str:
        expected = self._known_ends.of(view, now)
        percent = "" if view.progress is None else f"{view.progress:.0f}%"
        if expected is None or is_vague(expected, now):
            return percent or view.phase
        return f"{percent} {eta(expected, now)}".strip()

    def _done(self, view: WatchView, now: float) -> float | None:
        """How much of a task is done: by the provider's progress, or else by the duration of similar tasks. None:
        unknown."""
        if view.phase not in LIVE:
            return 1.0
        if view.progress is not None:
            return min(view.progress / 100, 1.0)
        expected = self._known_ends.of(view, now)
        if expected is None:
            return None
        part = min(max(0.0, now - view.added_at) / max(1e-9, expected.at - view.added_at), NEARLY)
        self._parts[view.watch_id] = max(part, self._parts.get(view.watch_id, 0.0))
        return self._parts[view.watch_id]

    def _order(self, view: WatchView, now: float) -> tuple[int, float]:
        """Sort key: live tasks by expected finish, then finished tasks, the last first."""
        if view.phase not in LIVE:
            return 2, -(view.ended_at or 0.0)
        done, age_s = self._done(view, now), max(0.0, now - view.added_at)
        if not done:
            return 1, -age_s
        return 0, age_s * (1 - done) / done

    def _sum(self, views: WatchViews) -> Text:
        total, live = len(views), count_live(views)
        waited = clock_span(self._clock.steady() - self._began_at)
        mark = f"{BUSY} " if self._screen.marks else ""
        text = Text(f"{mark}{total - live} of {total} finished", style="bold")
        text.append(f"  {phases_text(views)}  {waited}", style="not bold dim")
        text.truncate(self._console.width, overflow="ellipsis")
        return text


def summary(views: WatchViews, screen: Screen, waited_s: float) -> str:
    """The summary row: how many tasks have finished, and with which result."""
    total, live = len(views), count_live(views)
    mark = screen.mark(BUSY if live else GOOD if all_succeeded(views) else BAD)
    return f"{mark}{total - live} of {total} finished: {phases_text(views)}, in {clock_span(waited_s)}"
