"""The shapes and positions in the charts."""

from __future__ import annotations

import re

import pytest

from bridge.http.page.charts import BOTTOM, TOP, columns, high, path, rows, used


def test_the_highest_column_reaches_the_top_and_all_start_at_the_bottom() -> None:
    made = columns([(0, 0), (5, 1), (10, 10)])
    assert [one.height for one in made] == [0.0, (BOTTOM - TOP) / 2, BOTTOM - TOP]
    assert [one.y + one.height for one in made] == [BOTTOM] * 3
    assert made[2].failed_y == made[2].y == TOP
    assert 0 <= made[0].x < made[0].x + made[0].width < made[1].x < made[2].x + made[2].width <= 100


def test_a_small_number_next_to_a_large_one_is_visible() -> None:
    small, _ = columns([(1, 1), (1_000_000, 0)])
    assert small.height == small.failed == 1.0


@pytest.mark.parametrize("values", [[], [(0, 0)], [(0, 0)] * 24])
def test_a_chart_without_values_has_flat_columns(values: list[tuple[int, int]]) -> None:
    assert all(one.height == 0 for one in columns(values))


def test_a_line_has_a_gap_where_nothing_is_known() -> None:
    drawn = path([None, 0.0, 2.0, None, 1.0], highest=2.0)
    assert re.findall(r"[MLh]", drawn) == ["M", "L", "M", "h"]
    assert drawn.startswith(f"M100 {BOTTOM:.0f}L200 {TOP:.0f}M400 ")
    assert path([], highest=0.0) == path([None, None], highest=1.0) == ""
    assert path([0.0, 0.0], highest=0.0) == f"M0 {BOTTOM:.0f}L400 {BOTTOM:.0f}"


def test_the_highest_value_of_several_lines() -> None:
    assert high([1.0, None], [None, 3.0]) == 3.0
    assert high([None], []) == 0.0


def test_rows_are_the_largest_values_the_largest_first() -> None:
    made = rows([(f"account{number}", float(number)) for number in range(9)])
    assert [one.label for one in made] == ["account8", "account7", "account6", "account5", "account4"]
    assert [one.y for one in made] == sorted({one.y for one in made})
    assert made[0].width == 66.0
    assert rows([]) == []
    assert rows([("idle", 0.0)])[0].width == 0.0


@pytest.mark.parametrize(
    ("share", "percent"), [(None, 0.0), (0.0, 0.0), (0.001, 2.0), (0.5, 50.0), (1.0, 100.0), (7.0, 100.0)]
)
def test_the_bar_of_use_stays_within_its_track(share: float | None, percent: float) -> None:
    assert used(share) == percent
