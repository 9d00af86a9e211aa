"""Posts callbacks about simulated tasks, as vendors do when the create call names an address."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import anyio
import orjson
from standardwebhooks import Webhook

from bridge.domain.listen_address import is_loopback
from bridge.net.client import HttpClient, Request
from bridge.ports import Clock
from bridge.simulator.request_body import value_at
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.simulated_task import SimulatedTask
from bridge.simulator.vendor import Vendor

MAX_WAITING: Final = 10_000
MAX_ANSWER_BYTES: Final = 64 << 10


class CallbackPoster:
    """Posts a callback when a task starts to run and when it finishes: once, to addresses on this machine only.

    `secret` (`whsec_...`) signs them by Standard Webhooks, as Kling and Replicate do.
    """

    def __init__(
        self, provider: SimulatedProvider, *, clock: Clock, client: HttpClient, secret: str | None = None
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._client = client
        self._signer = None if secret is None else Webhook(secret)
        self._waiting = 0
        self._numbers = itertools.count()

    async def run(self) -> None:
        """Post what is due, until canceled."""
        async with anyio.create_task_group() as self._group:
            self._provider.on_created = self._expect
            await anyio.sleep_forever()

    def _expect(self, task: SimulatedTask, vendor: Vendor, base_url: str) -> None:
        """Note a new task, if its request has a callback address on this machine."""
        address = None if vendor.callback is None else value_at(task.request, vendor.callback.field)
        if not isinstance(address, str) or not _is_here(address) or self._waiting >= MAX_WAITING:
            return
        for at in (task.started_at, task.finished_at):
            if at is not None:
                self._waiting += 1
                self._group.start_soon(self._post, at, task, vendor, base_url, address)

    async def _post(self, at: float, task: SimulatedTask, vendor: Vendor, base_url: str, address: str) -> None:
        await self._clock.sleep(max(0.0, at - self._clock.steady()))
        self._waiting -= 1
        _, answer = self._provider.answer_about(task, vendor, base_url=base_url)
        item = vendor.callback and vendor.callback.item
        body = orjson.dumps(answer if item is None else answer[item])
        headers = {"Content-Type": "application/json", **self._signature(body)}
        await self._client.fetch(Request("POST", address, headers, body), cap_bytes=MAX_ANSWER_BYTES)

    def _signature(self, body: bytes) -> Mapping[str, str]:
        if self._signer is None:
            return {}
        now, number = self._clock.now(), f"msg_{next(self._numbers)}"
        signature = self._signer.sign(number, datetime.fromtimestamp(now, UTC), body.decode())
        return {"webhook-id": number, "webhook-timestamp": str(int(now)), "webhook-signature": signature}


def _is_here(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme == "http" and is_loopback(parts.hostname or "")
    except ValueError:
        return False
