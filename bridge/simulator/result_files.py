"""The result files of simulated tasks: small clips, pictures and a tune that browsers can show and play.

They are in `clips/`. A task gets the file whose name its id contains: `paper-boats` gets `boats.mp4`.
"""

from __future__ import annotations

import zlib
from functools import cache
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Final

from starlette.responses import FileResponse, Response

from bridge.simulator.simulated_task import SimulatedResult

CLIPS: Final = Path(__file__).parent / "clips"
WAV: Final = b"RIFF\x04\x00\x00\x00WAVE"  # the smallest file that programs accept

_CONTENT: Final = {
    SimulatedResult.VIDEOS: "video.mp4",
    SimulatedResult.IMAGES: "0.png",
    SimulatedResult.AUDIOS: "audio.mp3",
}


@cache
def _clips(suffix: str) -> list[Path]:
    return sorted(CLIPS.glob(f"*{suffix}"))


def result_file(name: str) -> Response:
    """A file of the type that the name ends in, TASK_ID/FILE; 404 for any other type. Supports range requests."""
    path = PurePosixPath(name)
    if path.suffix == ".wav":
        return Response(WAV, media_type="audio/wav")
    clips = _clips(path.suffix) if path.suffix else []
    if not clips:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    task_id = str(path.parent)
    named = [clip for clip in clips if clip.stem in task_id]
    number = int(path.stem) if path.stem.isdecimal() and path.stem.isascii() else zlib.crc32(task_id.encode())
    return FileResponse((named or clips)[number % len(named or clips)])


def content_of(result: SimulatedResult) -> Response:
    """The file for a result of this kind; 404 for texts."""
    return result_file(_CONTENT.get(result, ""))
