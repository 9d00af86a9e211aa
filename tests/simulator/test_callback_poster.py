"""The simulated provider posts callbacks as Kling and Replicate do, and genbridge reads them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.clock import SystemClock
from bridge.domain.callback import CallbackProof, CallbackRequest
from bridge.domain.proxies import NO_PROXY
from bridge.net.client import Answer, HttpClient, Unanswered
from bridge.net.client import Request as WireRequest
from bridge.providers.callbacks import callback_reader
from bridge.providers.catalogue import BUILT_IN
from bridge.simulator.callback_poster import CallbackPoster
from bridge.simulator.simulated_provider import SimulatedProvider
from tests.served import served

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


class Receiver:
    """Records what is posted to it."""

    def __init__(self) -> None:
        self.callbacks: list[CallbackRequest] = []
        self.app = Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.callbacks.append(CallbackRequest(headers=dict(request.headers), body=await request.body()))
        return Response()


class RecordingClient(HttpClient):
    """Records the addresses of its requests."""

    def __init__(self) -> None:
        super().__init__(timeout_s=5, concurrency=2, proxy=NO_PROXY)
        self.addresses: list[str] = []

    async def fetch(self, request: WireRequest, *, cap_bytes: int) -> Answer | Unanswered:
        self.addresses.append(request.url)
        return await super().fetch(request, cap_bytes=cap_bytes)


@asynccontextmanager
async def posting() -> AsyncIterator[tuple[httpx.AsyncClient, str, Receiver, RecordingClient]]:
    """Yields a client of the simulated provider, the address of a receiver, the receiver, and the client that posts to
    it."""
    clock, receiver = SystemClock(), Receiver()
    provider = SimulatedProvider(clock)
    client = RecordingClient()
    poster = CallbackPoster(provider, clock=clock, client=client, secret=SECRET)
    async with served(provider.app) as own, served(receiver.app) as there, anyio.create_task_group() as group:
        group.start_soon(poster.run)
        yield own, f"{str(there.base_url).rstrip('/')}/hook", receiver, client
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await client.aclose()


async def arrived(receiver: Receiver, count: int) -> None:
    with anyio.fail_after(20):
        while len(receiver.callbacks) < count:
            await anyio.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "path", "body", "field", "statuses"),
    [
        ("kling", "/v1/videos/text2video", {"prompt": "demo-0.4s"}, "callback_url", ["processing", "succeed"]),
        ("replicate", "/v1/predictions", {"input": {"prompt": "demo-fail-0.4s"}}, "webhook", ["processing", "failed"]),
    ],
)
async def test_a_callback_comes_when_a_task_starts_and_when_it_finishes(
    name: str, path: str, body: dict[str, object], field: str, statuses: list[str]
) -> None:
    async with posting() as (own, address, receiver, _):
        answer = orjson.loads((await own.post(path, json={**body, field: address})).content)
        task_id = answer["data"]["task_id"] if name == "kling" else answer["id"]
        await arrived(receiver, 2)

        async def no_keys(url: str) -> bytes | None:
            return None

        reader = callback_reader(BUILT_IN[name], base_url="", api_key="", secrets=[SECRET], fetch=no_keys)
        read = [reader.read(request, now=SystemClock().now()) for request in receiver.callbacks]
    assert [one.proof for one in read] == [CallbackProof.SIGNED] * 2
    assert [one.ids[0] for one in read] == [task_id] * 2
    assert [one.status for one in read] == statuses


@pytest.mark.parametrize("address", ["http://example.com/hook", "https://127.0.0.1/hook", "ftp://127.0.0.1", "", 5])
async def test_callbacks_go_to_this_machine_only(address: object) -> None:
    async with posting() as (own, _, _, client):
        body = {"prompt": "demo-video-0s", "callback_url": address}
        assert (await own.post("/v1/videos/text2video", json=body)).status_code == 200
        await anyio.sleep(0.1)
    assert client.addresses == []
