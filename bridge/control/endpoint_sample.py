"""A sample for one endpoint, which shows whether the endpoint accepts genbridge's messages, and its pictures."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from bridge.domain.delivery import Delivery, Outcome
from bridge.domain.event import Topic
from bridge.domain.sample import sample_event
from bridge.ports import Sink

PICTURES: Final = 4


async def send_sample(
    sink: Sink,
    endpoint: str,
    *,
    now: float,
    topic: Topic = Topic.TASK_SUCCEEDED,
    results: int = 1,
    has_images: bool = False,
) -> list[tuple[str, Outcome]]:
    """Send a sample to each target of the endpoint; returns the outcome for each. Stores nothing."""
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
    """One of the pictures of `genbridge demo`, a PNG."""
    return files("bridge.simulator").joinpath(f"clips/poster{number % PICTURES}.png").read_bytes()
