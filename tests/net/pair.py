"""A client, alone and together with a server to talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.net.client import HttpClient
from tests.loopback import Loopback, Script, loopback


@asynccontextmanager
async def client_of(
    *, timeout_s: float = 5, concurrency: int = 4, proxy: str | None = None
) -> AsyncIterator[HttpClient]:
    client = HttpClient(timeout_s=timeout_s, concurrency=concurrency, proxy=proxy)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def pair(
    script: Script, *, timeout_s: float = 5, concurrency: int = 4
) -> AsyncIterator[tuple[HttpClient, Loopback]]:
    async with loopback(script) as server, client_of(timeout_s=timeout_s, concurrency=concurrency) as client:
        yield client, server
