"""Reads the body of an answer: decoded, and with a size limit."""

from __future__ import annotations

import zlib
from typing import Final

MAX_SLACK_BYTES: Final = 64 * 1024  # allowed above the limit, because compressed bytes may be longer than the content
GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
RAW_DEFLATE: Final = -zlib.MAX_WBITS
GZIP_START: Final = b"\x1f"


class Body:
    """Collects at most `cap_bytes` of decoded content.

    Feed it raw chunks until it wants no more (`trouble` says why) or until they end, then call `finish`. Compressed
    content is decompressed only up to the limit, so a decompression bomb costs no more than the limit.
    """

    def __init__(self, *, encoding: str, cap_bytes: int) -> None:
        self.content = bytearray()
        self.trouble = ""
        self.is_over_cap = False
        self._cap_bytes = cap_bytes
        self._raw_bytes = 0
        self._inflate = None
        coding = encoding.strip().lower() if encoding else ""
        if not coding:
            return
        if coding in {"gzip", "x-gzip", "deflate"}:
            self._inflate = zlib.decompressobj(GZIP_OR_ZLIB)
        elif coding != "identity":
            self.trouble = "the body has a content encoding that was not asked for"

    def feed(self, chunk: bytes) -> bool:
        """Process one raw chunk; returns False if no more is wanted."""
        if self.trouble:
            return False
        self._raw_bytes += len(chunk)
        if self._inflate is None and self._raw_bytes <= self._cap_bytes:
            self.content += chunk
            return True
        if self._inflate is None:
            self.content += chunk[: self._room()]
        else:
            try:
                self._feed_compressed(chunk)
            except zlib.error:
                self.trouble = "the compressed body is damaged"
        if len(self.content) > self._cap_bytes or self._raw_bytes > self._cap_bytes + MAX_SLACK_BYTES:
            del self.content[self._cap_bytes :]
            self.is_over_cap = True
            self.trouble = f"body over {self._cap_bytes} bytes"
        return not self.trouble

    def finish(self) -> None:
        """Process the normal end of the body."""
        if self._inflate is not None and self._raw_bytes and not self._inflate.eof and not self.trouble:
            self.trouble = "the compressed body is cut short"

    def _room(self) -> int:
        return self._cap_bytes + 1 - len(self.content)

    def _feed_compressed(self, chunk: bytes) -> None:
        assert self._inflate is not None
        if self._raw_bytes == len(chunk) and not _has_header(chunk):
            self._inflate = zlib.decompressobj(RAW_DEFLATE)  # some servers send raw "deflate"
        while chunk and self._room() > 0:
            if self._inflate.eof:
                if not chunk.startswith(GZIP_START):
                    raise zlib.error("bytes after the end")
                self._inflate = zlib.decompressobj(GZIP_OR_ZLIB)  # a gzip file may have several members
            self.content += self._inflate.decompress(chunk, self._room())
            chunk = self._inflate.unused_data


def _has_header(chunk: bytes) -> bool:
    """Whether compressed content begins with a header of gzip (RFC 1952) or zlib (RFC 1950)."""
    return chunk.startswith(GZIP_START) or (
        chunk[0] & 0x0F == 8 and (len(chunk) < 2 or int.from_bytes(chunk[:2]) % 31 == 0)
    )
