"""A webhook endpoint as tests need it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from bridge.domain.delivery import Outcome
from bridge.domain.event import Event
from bridge.net.client import HttpClient
from bridge.ports import Clock
from bridge.sinks.webhook import WebhookSink
from tests.fakes import FakeClock
from tests.sinks.samples import as_delivery, task_sample


@asynccontextmanager
async def sink_at(
    url: str,
    *,
    api_key: str | None = None,
    secrets: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
    clock: Clock | None = None,
    form: str = "documented",
    template: str | None = None,
    body: str | None = None,
) -> AsyncIterator[WebhookSink]:
    client = HttpClient(timeout_s=timeout_s, concurrency=4)
    try:
        yield WebhookSink(
            name="automation",
            url=url,
            api_key=api_key,
            secrets=secrets,
            headers=headers or {},
            client=client,
            clock=clock or FakeClock(),
            version="9.9",
            form=form,
            template=template,
            body=body,
        )
    finally:
        await client.aclose()


async def deliver(sink: WebhookSink, event: Event | None = None) -> Outcome:
    event = event or task_sample()
    [parcel] = sink.parcels(event)
    return await sink.deliver(as_delivery(parcel, event))
