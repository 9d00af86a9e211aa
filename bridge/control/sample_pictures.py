"""Pictures for the samples of `genbridge test --attach`. They are drawn here, so that nothing has to be downloaded."""

from __future__ import annotations

import struct
import zlib
from typing import Final

WIDTH: Final = 480
HEIGHT: Final = 270
SKIES: Final = ((24, 42, 96), (240, 168, 104), (28, 84, 72), (216, 120, 136))  # from top to bottom they get lighter


def sample_picture(number: int) -> bytes:
    """A PNG of a sky that gets lighter towards the horizon; its color depends on `number`."""
    red, green, blue = SKIES[number % len(SKIES)]
    rows = bytearray()
    for row in range(HEIGHT):
        is_ground = row > HEIGHT * 3 // 4
        light = 0 if is_ground else row * 120 // HEIGHT
        pixel = bytes(min(255, (each // 4 if is_ground else each) + light) for each in (red, green, blue))
        rows += b"\0" + pixel * WIDTH
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
