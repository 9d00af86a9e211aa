"""`status --health`: whether the daemon works, for health checks of containers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anyio

from bridge.cli.session import CommandSession
from bridge.domain.listen_address import ListenAddress
from bridge.domain.proxies import NO_PROXY
from bridge.errors import GenbridgeError
from bridge.net.client import HttpClient, Request, Unanswered
from bridge.store import DaemonLock

TIMEOUT_S: Final = 5.0
MAX_SILENCE_S: Final = 60.0  # a working daemon stores a sign of life every 15 s
ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a server listens on all addresses


def health_problem(session: CommandSession) -> str | None:
    """Why the daemon does not work; None if it works. It works if it holds the store and is not frozen, the store can
    be read, and its HTTP server, if any, answers."""
    try:
        daemon, place = session.daemon(), session.store_place
        if daemon is None:
            return "no daemon is running"  # or, on a shared store, it was frozen until its lease ended
        silence_s = DaemonLock.silence_s(place) if isinstance(place, Path) else None
        if silence_s is not None and silence_s > MAX_SILENCE_S:
            return f"{daemon} is not responding: it last worked {silence_s:.0f} s ago; restart it"
        with session.reader():
            pass
        http = session.checked().settings.http
    except GenbridgeError as error:
        return str(error)
    if http is None or http.address.path or not http.address.port:
        return None
    return anyio.run(_http_problem, http.address)


async def _http_problem(at: ListenAddress) -> str | None:
    host = ListenAddress(ANY_HOST.get(at.host, at.host), at.port)
    client = HttpClient(timeout_s=TIMEOUT_S, concurrency=1, proxy=NO_PROXY)
    try:
        answer = await client.fetch(Request(method="GET", url=f"http://{host}/healthz"), cap_bytes=65536)
    finally:
        await client.aclose()
    if isinstance(answer, Unanswered):
        return f"the HTTP server does not answer: {answer.reason}"
    # Any answer shows that the event loop runs. A server with another host name answers 421.
    return f"/healthz answers {answer.status}" if answer.status >= 500 else None
