"""Text from outside, fit to be shown."""

from __future__ import annotations

from bridge.domain.text import printable, quoted


def test_what_can_be_printed_stays_and_all_else_is_written_out() -> None:
    assert printable("Ein Film, 第三幕") == "Ein Film, 第三幕"
    assert printable("a\nb\x1b[31m\u202e\udcff") == r"a\nb\x1b[31m\u202e\udcff"


def test_quoted_text_is_one_short_line() -> None:
    assert quoted("a\nb\x1b") == r'"a\nb\x1b"'
    assert len(quoted("x" * 1000)) == 62
