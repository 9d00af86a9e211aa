"""Strings from outside are made harmless."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sinks.neutral import link, neutral, neutral_json, one_line, presentable


@pytest.mark.parametrize(
    "hostile",
    [
        "@everyone",
        "@here and @channel",
        "<@1234>, <!channel>, <@&99>, <#5>",
        '<at user_id="all">all</at>',
        "[click](https://evil.example)",
        "![x](https://evil.example/pixel.png)",
        "<img src=x onerror=alert(1)>",
        "**loud** and *loud*",
        "`code` and ```block```",
        "~~gone~~ ||spoiler||",
        "&#64;everyone &lt;b&gt;",
        "a\\*b",
        "_slanted_ __bold__",
    ],
)
def test_no_text_from_outside_is_markup_or_a_mention(hostile: str) -> None:
    calm = neutral(hostile)
    assert not re.search(r"[<>\[\]*`~|\\]", calm)
    assert not re.search(r"@\w", calm)
    assert not re.search(r"&#?\w+;", calm)
    assert not re.search(r"(?<!\w)_", calm)


@pytest.mark.parametrize("text", ["# loud", "- item", "+ item", "=== rule"])
def test_outside_text_never_starts_a_heading_or_a_list(text: str) -> None:
    assert neutral(text) == "\u200b" + text


@pytest.mark.parametrize(
    "text",
    ["CjgH_s2a8__x-1=", "857000000000000001", "trailer, take 3", "a@ b", "R&D; 100 %", "视频_1", "👩‍🎨", "100 €"],
)
def test_ordinary_ids_and_words_are_unchanged(text: str) -> None:
    assert neutral(text) == text


def test_direction_marks_and_control_characters_are_removed() -> None:
    text = "a\u202eb\u2066c\u200fd\x00e\nf\r\ng\x1b[31mh\ud800i\u2028j\ufeff"
    assert one_line(text) == "abcd e f g [31mh\ufffdi j"


def test_long_strings_are_cut_with_an_ellipsis() -> None:
    assert one_line("x" * 10_000_000, most_chars=10) == "x" * 9 + "…"


@given(st.text(max_size=200))
def test_every_string_becomes_one_clean_line(text: str) -> None:
    calm = neutral(text)
    assert all(unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"} for char in calm)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", calm)
    calm.encode()


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example.com/a_b/c*d~(1).mp4?X-Amz-Signature=0_f&x=%2F&y=[1]",
        "http://192.0.2.1:8080/@user/x.png",
        "https://例え.example/動画.mp4",
    ],
)
def test_a_result_url_is_unchanged(url: str) -> None:
    assert link(url) == url


def test_a_url_cannot_end_early_or_mention_everyone() -> None:
    assert link('https://x.example/\u202e<b>`"\n@everyone/@Here') == (
        "https://x.example/%E2%80%AE%3Cb%3E%60%22%0A%40everyone/%40Here"
    )


def test_anything_but_an_http_url_is_treated_as_text() -> None:
    assert link("javascript:alert`1`") == "javascript:alert'1'"


def test_json_from_outside_is_limited_and_harmless() -> None:
    deep: object = "@here"
    for _ in range(50):
        deep = [deep]
    value = {"<k>": ["*", 1, 1.5, True, None, 10**30, 10**400], "many": list(range(1000)), "deep": deep, "odd": object}
    calm = neutral_json(value)
    assert calm["\u2039k\u203a"] == ["\u2217", 1, 1.5, True, None, str(10**30)[:20], "…"]
    assert len(calm["many"]) == 50
    assert "@h" not in str(calm)


def test_a_text_keeps_its_lines_and_loses_invisible_characters() -> None:
    assert presentable("\n a \u202e\n\n\n\nb\x07 \n") == "a\n\nb"
