"""Nouns beside their numbers."""

from __future__ import annotations

import pytest

from bridge.domain.plurals import and_more, count


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "delivery", "1 delivery"),
        (2, "delivery", "2 deliveries"),
        (0, "task", "0 tasks"),
        (3, "batch", "3 batches"),
    ],
)
def test_a_noun_agrees_with_its_number(number: int, noun: str, text: str) -> None:
    assert count(number, noun) == text


def test_others_are_mentioned_only_if_there_are_any() -> None:
    assert [and_more(number) for number in (0, 2)] == ["", " (and 2 more)"]
