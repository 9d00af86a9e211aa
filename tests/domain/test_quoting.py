"""Text from outside, made safe to show."""

from __future__ import annotations

from bridge.domain.quoting import printable, quoted, unknown_name


def test_printable_text_is_unchanged_and_the_rest_is_escaped() -> None:
    assert printable("Ein Film, 第三幕") == "Ein Film, 第三幕"
    assert printable("👩🏽\u200d🚀 🏳\ufe0f\u200d🌈 ❤\ufe0f\u200d🔥") == "👩🏽\u200d🚀 🏳\ufe0f\u200d🌈 ❤\ufe0f\u200d🔥"
    assert printable("a\u200d\u200b🚀\u200d") == r"a\u200d\u200b🚀\u200d"
    assert printable("a\nb\x1b[31m\u202e\udcff") == r"a\nb\x1b[31m\u202e\udcff"


def test_quoted_text_is_one_short_line() -> None:
    assert quoted("a\nb\x1b") == r'"a\nb\x1b"'
    assert len(quoted("x" * 1000)) == 62


def test_an_unknown_word_gets_the_most_similar_one_or_a_list() -> None:
    assert (
        unknown_name("topic", "task_fail", ["task_failed", "x"])
        == 'unknown topic "task_fail"; did you mean "task_failed"?'
    )
    assert unknown_name("level", "INFO", ["debug", "info"]) == 'unknown level "INFO"; did you mean "info"?'
    assert unknown_name("account", "kling", ["Kling"]) == 'unknown account "kling"; did you mean "Kling"?'
    assert unknown_name("topic", "zzz", ["b", "a"]) == 'unknown topic "zzz"; there are: a, b'
    assert unknown_name("topic", "zzz", []) == 'unknown topic "zzz"; there are none'
    assert unknown_name("topic", "zzz", map(str, range(13))).endswith(", 8, ...")
