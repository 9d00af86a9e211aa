"""A webhook endpoint for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from bridge.domain.delivery import Outcome
from bridge.domain.event import Event
from bridge.net.client import HttpClient
from bridge.ports import Clock, Sink
from bridge.sinks.chat_services.chat_service import Chat
from bridge.sinks.message_values import USUAL_STYLE, ChatStyle
from bridge.sinks.posting import PostSettings
from bridge.sinks.robot import RobotSink
from bridge.sinks.webhook import WebhookSink
from tests.fakes import FakeClock
from tests.sinks.samples import as_delivery, task_sample


@asynccontextmanager
async def post_to(
    url: str,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
    clock: Clock | None = None,
) -> AsyncIterator[PostSettings]:
    client = HttpClient(timeout_s=timeout_s, concurrency=4)
    try:
        yield PostSettings(
            url=url,
            api_key=api_key,
            headers=headers or {},
            client=client,
            clock=clock or FakeClock(),
            version="9.9",
        )
    finally:
        await client.aclose()


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
    async with post_to(url, api_key=api_key, headers=headers, timeout_s=timeout_s, clock=clock) as settings:
        yield WebhookSink(
            name="automation", settings=settings, secrets=secrets, format=form, template=template, body=body
        )


@asynccontextmanager
async def robot_at(
    url: str,
    form: str,
    *,
    secret: str | None = None,
    title: str | None = None,
    body: str | None = None,
    chat: Chat | None = None,
    style: ChatStyle = USUAL_STYLE,
    timeout_s: float = 10.0,
    clock: Clock | None = None,
) -> AsyncIterator[RobotSink]:
    async with post_to(url, timeout_s=timeout_s, clock=clock) as settings:
        yield RobotSink(
            name="team",
            format=form,
            settings=settings,
            secret=secret,
            title=title,
            body=body,
            chat=chat or Chat(chat_id="-42"),
            style=style,
        )


async def deliver(sink: Sink, event: Event | None = None) -> Outcome:
    event = event or task_sample()
    [parcel] = sink.parcels(event)
    return await sink.deliver(as_delivery(parcel, event))
