"""Posts callbacks about simulated tasks, as vendors do when the create call names an address."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Callback:
    """One callback to be posted."""

    task: SimulatedTask
    vendor: Vendor
    base_url: str  # of the simulated provider
    address: str


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
        self._waiting: list[tuple[float, int, _Callback]] = []
        self._numbers = itertools.count()
        self._added = anyio.Event()
        provider.on_created = self._expect

    async def run(self) -> None:
        """Post what is due, until cancelled."""
        async with anyio.create_task_group() as group:
            while True:
                self._added = anyio.Event()
                now = self._clock.steady()
                while self._waiting and self._waiting[0][0] <= now:
                    group.start_soon(self._post, heapq.heappop(self._waiting)[2])
                wait_s = self._waiting[0][0] - now if self._waiting else None
                await self._clock.wait(self._added, wait_s)

    def _expect(self, task: SimulatedTask, vendor: Vendor, base_url: str) -> None:
        """Note a new task, if its request has a callback address on this machine."""
        address = None if vendor.callback is None else value_at(task.request, vendor.callback.field)
        if not isinstance(address, str) or not _is_here(address) or len(self._waiting) >= MAX_WAITING:
            return
        callback = _Callback(task=task, vendor=vendor, base_url=base_url, address=address)
        for at in (task.started_at, task.finished_at):
            if at is not None:
                heapq.heappush(self._waiting, (at, next(self._numbers), callback))
        self._added.set()

    async def _post(self, callback: _Callback) -> None:
        _, told = self._provider.answer_about(callback.task, callback.vendor, base_url=callback.base_url)
        rule = callback.vendor.callback
        body = orjson.dumps(told if rule is None or rule.item is None else told[rule.item])
        headers = {"Content-Type": "application/json", **self._signature(body)}
        await self._client.fetch(Request("POST", callback.address, headers, body), cap_bytes=MAX_ANSWER_BYTES)

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
