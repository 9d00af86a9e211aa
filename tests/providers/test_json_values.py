from __future__ import annotations

import pytest

from bridge.domain.task import Json
from bridge.providers.json_values import ProgressForm, as_hint_s, as_id, as_ms, as_progress, one_line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_762_000_000, 1_762_000_000_000),
        (1_762_000_000_000, 1_762_000_000_000),
        ("1762000000", 1_762_000_000_000),
        (1_762_000_000.5, 1_762_000_000_500),
        (0, None),
        ("0", None),
        (-5, None),
        (True, None),
        (1e300, None),
        ("", None),
        ("2025-11-01T12:26:40Z", 1_762_000_000_000),
        ("2025-11-01T13:26:40.250+01:00", 1_762_000_000_250),
        ("2025-11-01 12:26:40", 1_762_000_000_000),
        ("2025-11-01", None),
        ("2025-13-01T00:00:00Z", None),
        ("9" * 5000, None),
        ([], None),
    ],
)
def test_instants_come_out_in_milliseconds_or_not_at_all(value: Json, expected: int | None) -> None:
    assert as_ms([value]) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("30%", 30.0),
        (" 62.5 % ", 62.5),
        ("7", 7.0),
        (100, 100.0),
        (0, 0.0),
        (101, None),
        (-1, None),
        (True, None),
        ("half", None),
        ("٣٠%", None),
        (None, None),
        ({}, None),
    ],
)
def test_progress_is_per_cent_or_nothing(value: Json, expected: float | None) -> None:
    assert as_progress([value], "percent") == expected


@pytest.mark.parametrize(
    ("way", "value", "expected"),
    [
        ("fraction", 0.37, 37.0),
        ("fraction", 1, 100.0),
        ("fraction", 40, 40.0),
        ("fraction", "half", None),
        ("tqdm", "  5%|x\n 42%|####      | 21/50 [00:03<00:04,  6.9it/s]\nsaved", 42.0),
        ("tqdm", "done 100%", None),
        ("tqdm", 42, None),
    ],
)
def test_other_notations_of_progress_become_percent(way: ProgressForm, value: Json, expected: float | None) -> None:
    assert as_progress([value], way) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Request was throttled. Your rate limit resets in ~30s.", 30.0),
        (2.5, 2.5),
        ("7", 7.0),
        ("in 12 seconds", 12.0),
        ("soon", None),
        (-1, None),
        (10**9, 3600.0),
        ({}, None),
    ],
)
def test_a_retry_hint_is_in_seconds(value: Json, expected: float | None) -> None:
    assert as_hint_s([value]) == expected


def test_the_first_usable_value_counts() -> None:
    assert as_ms([None, 0, "x", 5, True, 999_999_999, 1_762_000_000]) == 1_762_000_000_000
    assert as_progress(["?", "5%", 6], "percent") == 5.0


def test_an_id_is_text_or_a_whole_number() -> None:
    values: list[Json] = ["a", "", 7, True, 7.5, None, []]

    assert [as_id(value) for value in values] == ["a", None, "7", None, None, None, None]


def test_a_line_is_one_printable_line_of_bounded_length() -> None:
    assert one_line("a\r\n b\t c\x00\u202e", 40) == "a b c\\x00\\u202e"
    assert one_line("x" * 10**6, 5) == "xxxx…"
