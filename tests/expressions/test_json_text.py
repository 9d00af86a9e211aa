"""JSON as providers write it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.expressions.json_text import parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [NaN, -Infinity, 1]}', {"a": [None, None, 1]}),
        ('{"a": Infinity}', {"a": None}),
        (rb'{"\ud83d": "fox \ud83d", "b": "\ud83e\udd8a"}', {"\ufffd": "fox \ufffd", "b": "\N{FOX FACE}"}),
        (b"[NaN, 123456789012345678901234567890]", [None, 123456789012345678901234567890.0]),
    ],
)
def test_numbers_and_texts_outside_the_standard_are_read(text: bytes | str, value: Any) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    "text", [b"", b"nan", b"[NaN", b'"\xff"', b"[NaN] x", b"[1e999]", b"[" * 100_000, b"[NaN, " + b"9" * 5000 + b"]"]
)
def test_anything_else_is_not_json(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        parse_json(text)
