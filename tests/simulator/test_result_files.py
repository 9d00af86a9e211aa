"""The files behind the result URLs of simulated tasks."""

from __future__ import annotations

import pytest

from bridge.simulator.result_files import CLIPS
from bridge.simulator.simulated_provider import SimulatedProvider
from tests.fakes import FakeClock
from tests.served import served

MAGIC = {".mp4": (4, b"ftyp"), ".png": (0, b"\x89PNG"), ".mp3": (0, b"ID3"), ".wav": (0, b"RIFF"), ".glb": (0, b"glTF")}


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("paper-boats/video.mp4", "boats.mp4"),
        ("lighthouse-at-dawn/video.mp4", "lighthouse.mp4"),
        ("four-posters/2.png", None),
        ("857000000000000001/video.mp4", None),
        ("a/b/audio.mp3", "song.mp3"),
        ("x/audio.wav", None),
        ("x/model.glb", "cube.glb"),
    ],
)
async def test_a_result_has_its_type_and_can_be_read_in_parts(name: str, clip: str | None) -> None:
    async with served(SimulatedProvider(FakeClock(), key=None, provider="kling").app) as client:
        whole = await client.get(f"/files/{name}")
        assert whole.status_code == 200
        start, magic = MAGIC[name[-4:]]
        assert whole.content[start:].startswith(magic)
        if clip is not None:
            assert whole.content == (CLIPS / clip).read_bytes()
            part = await client.get(f"/files/{name}", headers={"Range": "bytes=4-7"})
            assert (part.status_code, part.content) == (206, whole.content[4:8])


async def test_the_pictures_of_one_task_differ() -> None:
    async with served(SimulatedProvider(FakeClock(), key=None, provider="kling").app) as client:
        found = {(await client.get(f"/files/task/{number}.png")).content for number in range(4)}
        assert len(found) == 4
