from __future__ import annotations

import base64
from urllib.parse import quote, quote_from_bytes

import pytest

from bridge.domain import answer_file
from bridge.domain.answer_file import AnswerFile
from bridge.providers.json_values import inline_file

PIECE_CHARS = 1 << 12
LARGE = bytes(range(256)) * (PIECE_CHARS // 128 + 7)  # more than one piece
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(251)) * 9


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_file, "PIECE_CHARS", PIECE_CHARS)


def content(text: str) -> bytes:
    return b"".join(AnswerFile("images", 0, text).pieces())


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("data", [PNG, PNG + b"1", PNG + b"12", LARGE, LARGE + b"1"])
@pytest.mark.parametrize(
    "written",
    [
        b64,
        lambda data: b64(data).rstrip("="),
        lambda data: base64.urlsafe_b64encode(data).decode(),
        lambda data: base64.encodebytes(data).decode(),
        lambda data: f"data:image/png;base64,{b64(data)}",
        lambda data: f"DATA:image/png;charset=x;BASE64,{base64.encodebytes(data).decode()}",
        lambda data: f"data:image/png;base64,{quote(b64(data), safe='')}",
        lambda data: f"data:image/png,{quote_from_bytes(data)}",
    ],
    ids=["base64", "unpadded", "url-safe", "lines", "data", "data in lines", "data in percent", "data as it is"],
)
def test_a_file_inside_an_answer_is_decoded_with_the_stated_length(data: bytes, written: object) -> None:
    text = written(data)  # type: ignore[operator]
    assert content(text) == data
    found = inline_file(text, expected=True)
    assert found is not None
    assert found.bytes == len(data)


@pytest.mark.parametrize("text", ["data:image/png;base64,####", "data:image/png;base64,A", "AAAA=AAA"])
def test_invalid_base64_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not base64"):
        content(text)
