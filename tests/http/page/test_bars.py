"""The bar of a running task: its values, and how it is drawn."""

from __future__ import annotations

import re
from datetime import UTC

import pytest

from bridge.domain.durations.forecast import Expected
from bridge.http.page.rendering import environment
from bridge.http.page.running_rows import BarState, ProgressBar, stepped
from bridge.http.page.wording import Wording

ADDED = 1_764_433_876.0


def bar(age_s: float, *, progress: float | None = None, held_s: float | None = None, known: bool = True) -> ProgressBar:
    """The bar of a task. Such tasks take 100 to 200 s, and half of them at most 140 s."""
    held_at = None if held_s is None else ADDED + held_s
    return ProgressBar(ADDED, ADDED + age_s, usual(100, 140, 200) if known else None, progress, held_at)


def usual(low_s: float, mid_s: float, high_s: float) -> Expected:
    high_at = ADDED + high_s
    return Expected(low_at=ADDED + low_s, at=ADDED + mid_s, high_at=high_at, usual_until_at=high_at)


@pytest.mark.parametrize(
    ("made", "state", "fill", "band", "middle", "words"),
    [
        (bar(0), BarState.AHEAD, 1.0, (47.0, 47.0), 65.8, "in 1 min 30 s to 3 min 30 s"),
        (bar(50), BarState.AHEAD, 23.5, (47.0, 47.0), 65.8, "in 50 s to 2 min 30 s"),
        (bar(97), BarState.WITHIN, 45.6, (47.0, 47.0), 65.8, "in up to 2 min"),
        (bar(188), BarState.WITHIN, 88.4, (47.0, 47.0), 65.8, "in up to 15 s"),
        (bar(199.9), BarState.WITHIN, 94.0, (47.0, 47.0), 65.8, "in up to 5 s"),
        (bar(201), BarState.LATE, 94.0, (46.8, 46.7), 65.5, "longer than usual"),
        (bar(2000), BarState.LATE, 94.0, (4.7, 4.7), 6.6, "longer than usual"),
        (bar(50, progress=64.2), BarState.PROGRESS, 64.2, None, None, "64 %"),
        (bar(999, progress=100.0), BarState.PROGRESS, 100.0, None, None, "100 %"),
        (bar(50, known=False), BarState.UNKNOWN, 0.0, None, None, "no estimate yet"),
        (bar(5000, held_s=60), BarState.HELD, 28.2, (47.0, 47.0), 65.8, "held back"),
        (bar(5000, held_s=60, known=False), BarState.HELD, 0.0, None, None, "held back"),
        (bar(-5), BarState.AHEAD, 1.0, (47.0, 47.0), 65.8, "in 1 min 30 s to 3 min 30 s"),
    ],
)
def test_a_bar_shows_age_and_expected_finish(
    made: ProgressBar, state: BarState, fill: float, band: tuple[float, float] | None, middle: float | None, words: str
) -> None:
    assert made.state is state
    assert (made.fill, made.band, made.middle) == (fill, band, middle)
    drawn = drawing(made)
    assert f">{words}</span>" in drawn
    shown = dict(re.findall(r'<rect class="(fill|band|mid)"(?: x="[0-9.]+%")? width="([0-9.]+)', drawn))
    assert set(shown) == {*(["fill"] if fill else []), *(["band", "mid"] if band else [])}
    assert f'data-added="{ADDED * 1000:.0f}"' in drawn
    assert ("data-high" in drawn, "data-held" in drawn) == (made.usual is not None, made.held_at is not None)


def test_a_bar_of_a_task_added_this_instant_is_drawn() -> None:
    made = ProgressBar(ADDED, ADDED, usual(0, 0, 0))
    assert (made.fill, made.band, made.middle) == (1.0, (0.0, 0.0), 0.0)


@pytest.mark.parametrize(
    ("seconds", "down", "up"),
    [(-3, 0, 5), (0, 0, 5), (4.9, 0, 5), (12, 10, 15), (59, 55, 60), (61, 60, 90), (400, 390, 420), (3661, 3660, 3720)],
)
def test_a_forecast_is_rounded_to_steps(seconds: float, down: float, up: float) -> None:
    assert (stepped(seconds, up=False), stepped(seconds, up=True)) == (down, up)


def drawing(made: ProgressBar) -> str:
    words = Wording("en", UTC, made.now)
    source = '{% import "parts.html" as parts with context %}{{ parts.eta(made) }}{{ parts.when(made) }}'
    template = environment().from_string(source)
    return template.render(t=words.text, counted=words.counted, words=words, now=made.now, made=made)
