from __future__ import annotations

import gzip
import zlib

import pytest

from bridge.net.exchange import Body


def _fed(*chunks: bytes, encoding: str = "", cap_bytes: int = 1000) -> Body:
    body = Body(encoding=encoding, cap_bytes=cap_bytes)
    if all(body.feed(chunk) for chunk in chunks):
        body.finish()
    return body


def _bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


RAW = zlib.compressobj(wbits=-15)
PACKED = {
    "gzip": gzip.compress(b"hello"),
    "x-gzip": gzip.compress(b"hello"),
    " GZip ": gzip.compress(b"hel") + gzip.compress(b"lo"),
    "deflate": zlib.compress(b"hello"),
    "Deflate": RAW.compress(b"hello") + RAW.flush(),
    "identity": b"hello",
    "UTF-8": b"hello",
    "": b"hello",
}


@pytest.mark.parametrize(("encoding", "packed"), PACKED.items(), ids=PACKED.keys())
def test_content_is_decoded_however_it_arrives(encoding: str, packed: bytes) -> None:
    for chunks in ([packed], _bytes(packed)):
        body = _fed(*chunks, encoding=encoding)

        assert (bytes(body.content), body.trouble) == (b"hello", "")


@pytest.mark.parametrize(
    ("encoding", "data", "trouble"),
    [
        ("br", b"hello", "the body has a content encoding that was not requested"),
        ("gzip, gzip", b"hello", "the body has a content encoding that was not requested"),
        ("gzip", b"<html>", "the compressed body is damaged"),
        ("gzip", gzip.compress(b"hello")[:-9], "the compressed body is incomplete"),
        ("gzip", gzip.compress(b"hello")[:-1] + b"\x00\x00", "the compressed body is damaged"),
        ("gzip", gzip.compress(b"hello") + b"more", "the compressed body is damaged"),
        ("deflate", zlib.compress(b"hello")[:-1] + b"\x00", "the compressed body is damaged"),
    ],
    ids=range(7),
)
def test_content_that_cannot_be_decoded_is_an_error(encoding: str, data: bytes, trouble: str) -> None:
    assert _fed(data, encoding=encoding).trouble == trouble


def test_an_empty_body_is_complete_whatever_its_encoding() -> None:
    assert _fed(encoding="gzip").trouble == ""


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("size", [999, 1000])
def test_content_up_to_the_limit_is_complete(encoding: str, size: int) -> None:
    data = b"x" * size
    body = _fed(gzip.compress(data) if encoding else data, encoding=encoding)

    assert (bytes(body.content), body.trouble, body.is_over_cap) == (data, "", False)


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_reading_stops_at_the_limit(encoding: str) -> None:
    data = b"x" * 1001
    body = _fed(gzip.compress(data) if encoding else data, encoding=encoding)

    assert (len(body.content), body.trouble, body.is_over_cap) == (1000, "body over 1000 bytes", True)


def test_endless_compressed_empty_blocks_exceed_the_limit() -> None:
    body = _fed(*[gzip.compress(b"")] * 10_000, encoding="gzip")

    assert body.is_over_cap
    assert not body.content
