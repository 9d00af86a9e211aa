"""The promises of every sink: webhook, chat, and the fake of the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest

from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome, Refused
from bridge.domain.event import Event, Topic
from bridge.ports import Sink
from bridge.sinks.apprise_plugin import check_url
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.chat_services import ROBOTS
from bridge.sinks.chat_services.chat_service import Chat
from bridge.sinks.robot import RobotSink
from bridge.sinks.webhook import WebhookSink
from tests.fakes import FakeClock, RecordingSink
from tests.sinks.posting import post_to
from tests.sinks.receivers import HANG, answer, http_receiver, silent_service
from tests.sinks.samples import as_delivery, every_sample, task_sample
from tests.stopwatch import Stopwatch

pytestmark = [
    pytest.mark.usefixtures("unmeasured"),
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

TIMEOUT_S = 1.0
EVENT = task_sample()
Maker = Callable[[int], Awaitable[Sink]]


def chat_at(port: int) -> Sink:
    url = f"json://127.0.0.1:{port}/x"
    assert check_url(url) is None  # loads Apprise, which takes longer than the time-out here
    return ChatSink(
        name="one", urls=[ChatUrl(text=url, url=url)], title="{{ meta.gone.deep }}", body=None, timeout_s=TIMEOUT_S
    )


@asynccontextmanager
async def posting_at(port: int, *, form: str = "documented") -> AsyncIterator[Sink]:
    async with post_to(f"http://127.0.0.1:{port}/", api_key="k", timeout_s=TIMEOUT_S) as post:
        if form in ROBOTS:
            yield RobotSink(
                name="one", format=form, settings=post, secret="s", title=None, body=None, chat=Chat(chat_id="1")
            )
        else:
            secrets = ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]
            yield WebhookSink(name="one", settings=post, secrets=secrets, format=form)


@pytest.fixture(params=["webhook", "chat", "stand-in", *ROBOTS])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Maker]:
    """Makes a sink whose receiver is on this port of loopback."""
    async with AsyncExitStack() as stack:

        async def made(port: int) -> Sink:
            if request.param == "stand-in":
                return RecordingSink("one", FakeClock())
            if request.param == "chat":
                return chat_at(port)
            form = "documented" if request.param == "webhook" else request.param
            return await stack.enter_async_context(posting_at(port, form=form))

        yield made


def deliveries_to(sink: Sink, event: Event = EVENT) -> list[Delivery]:
    return [as_delivery(parcel, event) for parcel in sink.parcels(event)]


async def test_each_target_gets_one_delivery_with_the_same_bytes_every_time(make: Maker) -> None:
    sink = await make(9)
    for event in every_sample():
        parcels = sink.parcels(event)
        assert [parcel.target for parcel in parcels] == list(sink.targets())
        assert {parcel.endpoint for parcel in parcels} == {"one"}
        assert all(parcel.body for parcel in parcels)
        assert parcels == sink.parcels(event)


async def test_every_event_can_be_rendered(make: Maker) -> None:
    sink = await make(9)
    deep: object = []
    for _ in range(2000):
        deep = [deep]
    strange: list[dict[str, object]] = [
        {},
        {"urls": 7, "meta": "x", "label": ["\ud800"], "watched_at": "soon"},
        {"meta": deep},
        {"n": 10**400},
    ]
    for data in strange:
        event = Event(
            event_id="evt_x", topic=Topic.TASK_FAILED, account="", subject="\x00", occurred_at=1e300, data=data
        )
        assert len(sink.parcels(event)) == len(sink.targets())


async def test_a_received_delivery_is_accepted_and_a_repeat_is_harmless(make: Maker) -> None:
    async with http_receiver() as receiver:
        sink = await make(receiver.port)
        [delivery] = deliveries_to(sink)
        assert isinstance(await sink.deliver(delivery), Accepted)
        assert isinstance(await sink.deliver(delivery), Accepted)
    bodies = {request.partition(b"\r\n\r\n")[2] for request in receiver.requests}
    assert len(bodies) <= 1


async def test_every_failure_is_an_outcome(make: Maker) -> None:
    faults = [
        answer(500),
        answer(404, b"\xff\x00"),
        answer(410),
        b"SSH-2.0-nonsense\r\n\r\nconnection: close",
        b"connection: close",
        HANG,
    ]
    for fault in faults:
        async with http_receiver(fault) as receiver:
            sink = await make(receiver.port)
            [delivery] = deliveries_to(sink)
            outcome = await sink.deliver(delivery)
        assert isinstance(outcome, Accepted | Deferred | Refused)
        if not isinstance(sink, RecordingSink):
            assert not isinstance(outcome, Accepted), fault
            assert outcome.reason
            assert outcome.reason.isprintable()
            assert len(outcome.reason) <= 400


async def test_an_unreachable_receiver_is_an_outcome(make: Maker) -> None:
    with silent_service() as port:
        pass
    sink = await make(port)
    [delivery] = deliveries_to(sink)
    assert isinstance(await sink.deliver(delivery), Accepted if isinstance(sink, RecordingSink) else Deferred)


async def test_an_attempt_ends_within_the_time_out(make: Maker) -> None:
    with silent_service() as port:
        sink = await make(port)
        [delivery] = deliveries_to(sink)
        waiting = Stopwatch()
        await sink.deliver(delivery)
    assert waiting.seconds < TIMEOUT_S + 2


async def test_an_attempt_can_be_canceled_at_once_and_made_again(make: Maker) -> None:
    async with http_receiver(HANG, answer(200)) as receiver:
        sink = await make(receiver.port)
        [delivery] = deliveries_to(sink)
        outcomes: list[Outcome] = []

        async def attempt() -> None:
            outcomes.append(await sink.deliver(delivery))

        async with anyio.create_task_group() as attempts:
            attempts.start_soon(attempt)
            if not isinstance(sink, RecordingSink):
                while not receiver.requests:
                    await anyio.sleep(0.005)
            ending = Stopwatch()
            attempts.cancel_scope.cancel()
        assert ending.seconds < 0.3
        assert outcomes == []
        assert isinstance(await sink.deliver(delivery), Accepted)


async def test_many_simultaneous_deliveries_are_all_answered(make: Maker) -> None:
    async with http_receiver() as receiver:
        sink = await make(receiver.port)
        [delivery] = deliveries_to(sink)
        outcomes: list[Outcome] = []

        async def attempt() -> None:
            outcomes.append(await sink.deliver(delivery))

        async with anyio.create_task_group() as attempts:
            for _ in range(4):
                attempts.start_soon(attempt)
    assert len(outcomes) == 4
    assert any(isinstance(outcome, Accepted) for outcome in outcomes)
