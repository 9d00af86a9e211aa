"""Whether a daemon works on a store, for health checks."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from bridge.domain.listen_address import ListenAddress
from bridge.domain.proxies import NO_PROXY
from bridge.store import DaemonLock, StorePlace, open_reader

TIMEOUT_S: Final = 5.0  # for the request to the HTTP server
MAX_SILENCE_S: Final = 60.0  # a working daemon stores a sign of life every 5 s


def daemons_on(place: StorePlace) -> str | None:
    """The daemons that work on this store, in words; None if there are none."""
    if isinstance(place, Path):
        return DaemonLock.holder(place)
    with closing(open_reader(place)) as store:
        return ", ".join(view.member for view in store.members()) or None


def daemon_problem(place: StorePlace, http: ListenAddress | None) -> str | None:
    """Why the daemon on this store does not work. None if it works: it holds the store, is not frozen, and its HTTP
    server, if any, answers. StoreError if the store cannot be read."""
    daemon = daemons_on(place)
    if daemon is None:
        return "no daemon is running"  # or, on a shared store, it was frozen until its lease ended
    silence_s = DaemonLock.silence_s(place) if isinstance(place, Path) else None
    if silence_s is not None and silence_s > MAX_SILENCE_S:
        return f"{daemon} is not responding: it last worked {silence_s:.0f} s ago; restart it"
    open_reader(place).close()
    if http is None or http.path or not http.port:
        return None
    import anyio  # here, because only this needs it

    return anyio.run(_http_problem, http.reached_from_here)


async def _http_problem(at: ListenAddress) -> str | None:
    from bridge.net.client import HttpClient, Request, Unanswered  # imported here, because only this needs it

    client = HttpClient(timeout_s=TIMEOUT_S, concurrency=1, proxy=NO_PROXY)
    try:
        answer = await client.fetch(Request(method="GET", url=f"http://{at}/healthz"), cap_bytes=65536)
    finally:
        await client.aclose()
    if isinstance(answer, Unanswered):
        return f"the HTTP server does not answer: {answer.reason}"
    # Any answer shows that the event loop runs. A server with another host name answers 421.
    return f"/healthz answers {answer.status}" if answer.status >= 500 else None
