"""A sample for one endpoint, which shows whether the endpoint accepts genbridge's messages, and its pictures."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from bridge.domain.delivery import Delivery, Outcome
from bridge.domain.event import Topic
from bridge.domain.sample import sample_event
from bridge.ports import Sink

WIDTH: Final = 480
HEIGHT: Final = 270
SKIES: Final = ((24, 42, 96), (240, 168, 104), (28, 84, 72), (216, 120, 136))  # from top to bottom they get lighter


async def send_sample(
    sink: Sink,
    endpoint: str,
    *,
    now: float,
    topic: Topic = Topic.TASK_SUCCEEDED,
    results: int = 1,
    has_images: bool = False,
) -> list[tuple[str, Outcome]]:
    """Send a sample of this topic, with this many results, to each target of the endpoint. Stores nothing. Returns the
    outcome for each target."""
    event = sample_event(now, topic, results=results, has_images=has_images)
    outcomes = []
    for parcel in sink.parcels(event):
        delivery = Delivery(
            delivery_id=0,
            event_id=event.event_id,
            endpoint=endpoint,
            target=parcel.target,
            topic=event.topic,
            account=event.account,
            subject=event.subject,
            attempts=0,
            body=parcel.body,
            address=parcel.address,
        )
        outcomes.append((parcel.target, await sink.deliver(delivery)))
    return outcomes


def sample_picture(number: int) -> bytes:
    """A PNG of a sky that gets lighter towards the horizon; its color depends on `number`. It is drawn here, so that
    nothing has to be downloaded."""
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
