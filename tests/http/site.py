"""A real daemon with its HTTP server, for tests from outside."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.daemon_process import STOP_S, DaemonProcess
from tests.world import World, running_world, until

TOKEN: Final = "full-access-0123456789"
READ_TOKEN: Final = "only-reading-0123456789"


@dataclass(frozen=True)
class Site:
    """One daemon and its world. `client` has the token, `reader` has the read token, and `stranger` has no token."""

    world: World
    daemon: DaemonProcess
    folder: Path
    url: str
    client: httpx.Client
    reader: httpx.Client
    stranger: httpx.Client

    def add(self, *ids: str, seconds: float = 3600.0) -> None:
        """Watch tasks that finish at the provider after this many seconds."""
        self.world.ends_at.update(dict.fromkeys(ids, time.monotonic() + seconds))
        answer = self.client.post("/api/v1/tasks", json=list(ids))
        assert answer.status_code == 201, answer.text


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_site(
    folder: Path,
    *,
    http: dict[str, Any] | None = None,
    webhooks: Sequence[str] = (),
    chats: Sequence[str] = (),
    **settings: Any,
) -> Iterator[Site]:
    """A site that answers until the end of the block. `webhooks` are its endpoints, in place of `hook`. With `chats`,
    its only endpoint is a chat that sends to each of these paths of the receiver."""
    port = free_port()
    block = {"listen": f"127.0.0.1:{port}", "token": TOKEN, "read_token": READ_TOKEN, **(http or {})}
    url = f"http://127.0.0.1:{port}"

    def client(token: str | None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=url, headers=headers, trust_env=False, verify=False, timeout=20)

    with running_world(World()) as world, client(TOKEN) as full, client(READ_TOKEN) as reader, client(None) as stranger:
        if webhooks:
            settings["endpoints"] = world.webhooks(*webhooks)
        if chats:
            urls = [f"json://127.0.0.1:{world.receiver_port}/{name}" for name in chats]
            settings["endpoints"] = {"chat": {"type": "apprise", "urls": urls}}
        with DaemonProcess(world.settings(folder, http=block, **settings)) as daemon:
            until(lambda: is_ready(stranger), seconds=30, what="a site that is ready")
            yield Site(world, daemon, folder, url, full, reader, stranger)
            if daemon.process.poll() is None:
                daemon.process.terminate()  # a killed process would not write its coverage
                with suppress(subprocess.TimeoutExpired):
                    daemon.process.wait(STOP_S)


def is_ready(client: httpx.Client) -> bool:
    """Whether the site answers that it is ready."""
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
