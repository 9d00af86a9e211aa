"""The result files of simulated tasks: the smallest that programs accept as a picture, a video and two sounds."""

from __future__ import annotations

import struct
import zlib
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Final

from starlette.responses import Response

from bridge.simulator.simulated_task import SimulatedResult


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


_PNG: Final = b"".join(  # one grey pixel
    (
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(b"\x00\x80")),
        _chunk(b"IEND", b""),
    )
)
_FILES: Final = {
    ".png": ("image/png", _PNG),
    ".mp4": ("video/mp4", b"\x00\x00\x00\x14ftypisom\x00\x00\x02\x00isom"),
    ".mp3": ("audio/mpeg", b"ID3\x04\x00\x00\x00\x00\x00\x00"),
    ".wav": ("audio/wav", b"RIFF\x04\x00\x00\x00WAVE"),
}


_CONTENT: Final = {
    SimulatedResult.VIDEOS: "video.mp4",
    SimulatedResult.IMAGES: "0.png",
    SimulatedResult.AUDIOS: "audio.mp3",
}


def result_file(name: str) -> Response:
    """A file of the type that the name ends in; 404 for any other."""
    media_type, content = _FILES.get(PurePosixPath(name).suffix, (None, b""))
    if media_type is None:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    return Response(content, media_type=media_type)


def content_of(result: SimulatedResult) -> Response:
    """The file of a task that made this; 404 for texts."""
    return result_file(_CONTENT.get(result, ""))
