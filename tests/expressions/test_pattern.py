"""Regular expressions of the settings: linear time, and clear errors about unsupported syntax."""

from __future__ import annotations

import pytest

from bridge.expressions.answer_budget import ExpressionLimit, answer_budget
from bridge.expressions.pattern import Pattern
from tests.stopwatch import within_cpu_s

LONG = "https://cdn.example.com/" + "a" * 8000 + "!"


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|aa)+$",
        "(a*)*b",
        "(.*a){20}c",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(x+x+)+y",
        r"([a-zA-Z]+)*\d",
        "a(a|b){200}c",
        "(.*)(.*)(.*)(.*)(.*)c$",
    ],
)
def test_no_pattern_takes_long(pattern: str) -> None:
    compiled = Pattern(pattern, longest=8192)

    within_cpu_s(0.15, lambda: (compiled.is_in(LONG), compiled.is_whole(LONG)))


def test_many_slow_searches_of_one_answer_use_up_its_budget() -> None:
    compiled = Pattern("a(a|b){300}c", longest=8192)
    compiled.where = "providers.mine.needs_key"
    texts = [bin(0x9E3779B97F4A7C15**100 + at)[2:].translate({48: "a", 49: "b"}) for at in range(1000)]

    def search_all() -> None:
        with answer_budget():
            for text in texts:
                compiled.is_in(text)

    with pytest.raises(ExpressionLimit, match=r"^providers\.mine\.needs_key: "):
        search_all()


def test_ordinary_searches_of_a_large_answer_are_within_the_budget() -> None:
    compiled = Pattern(r"/v1/videos/[^/?#]+/content", longest=8192)

    with answer_budget():
        assert (
            sum(compiled.is_in(f"https://x.example/v1/videos/{at}/content?{'s' * 800}") for at in range(1200)) == 1200
        )


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("(?=a)b", "without lookaround"),
        ("(?!a)b", "operator: (?!"),
        ("(?<=x)y", "operator: (?<"),
        (
            r"(a)\1",
            r"backreferences, atomic or conditional groups, and possessive repetition, with \z for the end of the text",
        ),
        ("(?P<x>a)(?P=x)", "backreferences"),
        ("(?>a)", "atomic"),
        ("(?(1)a|b)", "conditional groups"),
        ("a++", "possessive repetition"),
        (r"a\Z", r"\z for the end of the text"),
        ("[a", "not a regular expression (RE2 syntax): missing ]"),
        ("a{5000}", "too large"),
        ("(.*a){900}", "too large"),
        ("\ud800", "not a regular expression"),
    ],
)
def test_a_pattern_that_re2_does_not_take_is_refused_with_the_reason(pattern: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="regular expression") as caught:
        Pattern(pattern, longest=8192)

    assert complaint in str(caught.value)


@pytest.mark.parametrize("text", ["\ud800", "a\ud800b", "\x00", "é🎬", ""])
def test_any_text_can_be_matched(text: str) -> None:
    assert Pattern("b", longest=512).is_whole(text) is False
    assert Pattern("zzz", longest=512).is_in(text) is False
    assert Pattern(".*", longest=512).is_in(text) is True
