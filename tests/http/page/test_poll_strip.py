"""The positions of a task's polls on a timeline."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain.durations.forecast import Expected
from bridge.http.page.poll_strip import WIDTH, StripGeometry, StripMark
from tests.factories import NOW


def strip(*polls_s: float, **fields: Any) -> StripGeometry:
    """A task that was added at NOW; instants are seconds after that."""
    usual = fields.pop("usual", None)
    instants = {name: None if value is None else NOW + value for name, value in fields.items()}
    given: dict[str, Any] = {"added_at": NOW, "now": NOW + 1000, "polls": [NOW + each for each in polls_s]}
    if usual is not None:
        low_at, at, high_at = (NOW + each for each in usual)
        given["usual"] = Expected(low_at=low_at, at=at, high_at=high_at, usual_until_at=high_at)
    return StripGeometry(**given | instants)


def test_a_finished_task_fills_the_whole_line() -> None:
    found = strip(0.0, 25.0, 50.0, finished_at=100.0)
    assert list(found.marks) == [0.0, 23.5, 47.0]
    assert found.end == StripMark(WIDTH, "end")
    assert (found.present, found.coming, found.band, found.middle, found.labels) == (None, None, None, None, {})


def test_the_usual_duration_is_a_band_with_its_middle() -> None:
    found = strip(finished_at=192.0, usual=(130.0, 171.0, 240.0))
    assert found.band == (50.9, 43.1)
    assert found.middle == 67.0
    assert found.end == StripMark(75.2, "middle")
    assert found.labels == {"low": StripMark(50.9, "start"), "high": StripMark(94.0, "end")}


def test_labels_without_room_are_left_out() -> None:
    assert set(strip(finished_at=100.0, usual=(30.0, 60.0, 100.0)).labels) == {"low", "mid", "high"}
    assert set(strip(finished_at=100.0, usual=(1.0, 2.0, 3.0)).labels) == set()
    assert set(strip(finished_at=100.0, usual=(1.0, 50.0, 100.0)).labels) == {"high"}


def test_a_running_task_ends_now_and_shows_its_next_poll() -> None:
    found = strip(10.0, now=50.0, next_at=100.0)
    assert found.present == StripMark(47.0, "middle")
    assert found.coming == WIDTH
    assert found.end is None
    assert strip(10.0, now=50.0, next_at=40.0).coming is None
    assert strip(10.0, now=50.0, next_at=None).coming is None


def test_a_next_poll_in_the_far_future_is_at_the_edge() -> None:
    found = strip(10.0, now=100.0, next_at=86_400.0)
    assert found.coming == WIDTH
    assert found.present == StripMark(47.0, "middle")


def test_polls_that_cannot_be_distinguished_are_one_mark() -> None:
    found = strip(*(each / 1000 for each in range(1000)), finished_at=100.0)
    assert len(found.marks) < 5


@pytest.mark.parametrize("polls", [(), (-50.0,), (5000.0,), (0.0, 0.0)])
@pytest.mark.parametrize("finished_at", [0.0, -10.0, 1e9, None])
def test_every_instant_stays_on_the_line(polls: tuple[float, ...], finished_at: float | None) -> None:
    found = strip(*polls, finished_at=finished_at, now=-5.0, next_at=3.0, usual=(-9.0, 0.0, 1.0))
    places = [*found.marks, found.band[0] if found.band else 0.0, found.middle or 0.0, found.coming or 0.0]
    places += [mark.x for mark in (found.end, found.present) if mark]
    assert all(0.0 <= x <= WIDTH for x in places)
    assert found.band is None or found.band[0] + found.band[1] <= WIDTH + 0.1
