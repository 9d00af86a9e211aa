"""A client, alone or with a server. Tests that use the fixture `transport` run with both transports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridge.net.client import HttpClient
from tests.loopback import Loopback, Script, loopback

kind: str | None = None
"""The transport under test; the fixture `transport` sets it."""


def client(**options: Any) -> HttpClient:
    """A client that uses the transport under test."""
    assert kind is not None, "the module lacks usefixtures('transport')"
    return HttpClient(kind=kind, **options)


@asynccontextmanager
async def client_of(*, timeout_s: float = 5, concurrency: int = 4, **options: Any) -> AsyncIterator[HttpClient]:
    made = client(timeout_s=timeout_s, concurrency=concurrency, **options)
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def pair(
    script: Script, *, timeout_s: float = 5, concurrency: int = 4
) -> AsyncIterator[tuple[HttpClient, Loopback]]:
    async with loopback(script) as server, client_of(timeout_s=timeout_s, concurrency=concurrency) as made:
        yield made, server
