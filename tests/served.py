"""An ASGI app on loopback for the duration of a test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import httpx
from starlette.types import ASGIApp

from bridge.net.http_server import listen, serve_on


@asynccontextmanager
async def served(app: ASGIApp, *, key: str | None = None) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of the app, which runs on a free port. The client sends `key` as bearer token."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with anyio.create_task_group() as group:
        port = await group.start(partial(serve_on, app, listen("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{port}"
        # verify: reading the certificates of all authorities would be most of the work, and there is no TLS
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, verify=False) as client:
            yield client
        group.cancel_scope.cancel()
