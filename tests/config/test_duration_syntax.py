from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config.duration_syntax import PATTERN, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2s", 2.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("24h", 86_400.0),
        ("30d", 2_592_000.0),
        ("500ms", 0.5),
        ("1m500ms", 60.5),
        ("1.5h", 5400.0),
        ("90", 90.0),
        ("0.25", 0.25),
        ("0", 0.0),
        (" 5s ", 5.0),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert re.match(PATTERN, text.strip())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-3s", '"-3s" is negative'),
        ("-inf", '"-inf" is negative'),
        ("99999d", '"99999d" is longer than ten years'),
        ("9" * 400, "is longer than ten years"),
        ("30m1h", "has units twice or out of order"),
        ("1s1s", "has units twice or out of order"),
        *(
            (word, "is not a duration; write 30s, 5m, 1h30m")
            for word in ("nan", ".inf", "inf", "", "5 m", "1e9", "12:30:00")
        ),
    ],
)
def test_an_invalid_duration_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_duration(text)


@pytest.mark.usefixtures("unmeasured")
@given(st.text(max_size=40))
def test_any_text_is_a_duration_or_a_value_error_of_one_line(text: str) -> None:
    message = ""
    try:
        assert 0 <= parse_duration(text) <= 3650 * 86_400
    except ValueError as error:
        message = str(error)
    assert "\n" not in message
