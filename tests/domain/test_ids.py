from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.ids import MAX_TASK_ID_CHARS, clean_task_id, event_id

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
PARTS = st.tuples(TEXT, TEXT, TEXT, st.integers(0, 10**6), TEXT)


@pytest.mark.parametrize(
    "task_id",
    ["0123", "CjgHPmYAAAAAAAAA", "a/b", "../x", "%2f", "a?b#c", "任务-1", "🎬", "a b", "...", "x" * MAX_TASK_ID_CHARS],
)
def test_an_id_is_kept_as_it_is(task_id: str) -> None:
    assert clean_task_id(task_id) == task_id


@pytest.mark.parametrize("text", [" task-1", "task-1\r\n", "\ttask-1 \n", "\u3000task-1"])
def test_blanks_around_an_id_are_trimmed(text: str) -> None:
    assert clean_task_id(text) == "task-1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("x" * (MAX_TASK_ID_CHARS + 1), "513 characters; at most 512"),
        (".", "path segment"),
        (" .. ", "path segment"),
        ("a\tb", "a tab: it looks like a row of a table"),
        ("a\nb", r"control character U\+000A"),
        ("a\x00b", r"U\+0000"),
        ("a\x7fb", r"U\+007F"),
        ("a\u2028b", r"U\+2028"),
        ("a\u2029b", r"U\+2029"),
        ("a\ud800b", "not valid UTF-8"),
    ],
)
def test_an_invalid_id_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        clean_task_id(text)


@given(st.text(max_size=600))
def test_every_valid_id_can_be_encoded_and_stays_valid(text: str) -> None:
    try:
        task_id = clean_task_id(text)
    except ValueError:
        return
    assert 1 <= len(task_id.encode().decode()) <= MAX_TASK_ID_CHARS
    assert clean_task_id(task_id) == task_id


def test_an_event_id_never_changes() -> None:
    assert event_id("task_succeeded", "kling", "task-1", 1) == "evt_fbrzkyanrdwibc25ogy3rv2i5h4ufb67"


def test_watching_again_gives_new_event_ids() -> None:
    ids = {event_id("task_succeeded", "kling", "task-1", generation) for generation in range(1, 100)}
    assert len(ids) == 99


@given(PARTS, PARTS)
def test_event_ids_are_the_same_if_and_only_if_all_parts_are(
    one: tuple[str, str, str, int, str], other: tuple[str, str, str, int, str]
) -> None:
    assert event_id(*one) == event_id(*one)
    assert (event_id(*one) == event_id(*other)) is (one == other)


@given(PARTS, st.integers(0, 4))
def test_each_part_changes_the_event_id(parts: tuple[str, str, str, int, str], place: int) -> None:
    changed: list[str | int] = list(parts)
    part = changed[place]
    changed[place] = part + 1 if isinstance(part, int) else part + "x"
    topic, account, subject, generation, rest = changed
    assert event_id(str(topic), str(account), str(subject), int(generation), str(rest)) != event_id(*parts)


def test_each_part_of_an_event_id_is_kept_separate() -> None:
    assert event_id("a", "bc", "", 1) != event_id("ab", "c", "", 1)
    assert event_id("a", "b", "1", 1) != event_id("a", "b", "", 11)


@given(PARTS)
def test_an_event_id_suits_the_webhook_id_header(parts: tuple[str, str, str, int, str]) -> None:
    identity = event_id(*parts)
    assert identity.startswith("evt_")
    assert identity.isascii()
    assert "." not in identity
    assert len(identity) == 36
