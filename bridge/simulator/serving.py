"""Starlette apps served by uvicorn inside our own task group: no process-wide signal handlers, no access log."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Generator
from typing import Final

import anyio
import anyio.abc
import uvicorn
from starlette.applications import Starlette

from bridge.errors import Unavailable, UsageError

GRACE_S: Final = 0.3
"""So long may requests under way go on after the cancellation."""
LAST_WORDS_S: Final = 0.1
"""So long may a handler take to notice that its connection is gone."""
KEEP_ALIVE_S: Final = 75
"""Longer than pollers wait between two polls, so that they rarely meet a connection just being closed."""
BACKLOG: Final = 2048


async def serve(app: Starlette, *, host: str, port: int, task_status: anyio.abc.TaskStatus[int]) -> None:
    """Serve `app` until cancelled; `started()` gives the real port (asked for 0, a free one) once requests are taken.

    Cancellation ends it within a second: nothing new is accepted, requests under way have `GRACE_S`, then they are cut
    off. UsageError for a port or host that cannot be, Unavailable for an address that is taken or forbidden.
    """
    listener = listen(host, port)
    server = _Server(app, task_status)
    async with anyio.create_task_group() as group:
        group.start_soon(_exit_when_cancelled, server)
        with anyio.CancelScope(shield=True):
            await server.serve(sockets=[listener])


def split_address(text: str) -> tuple[str, int]:
    """`HOST:PORT` or `[IPV6]:PORT` in its parts; UsageError for anything else."""
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or not (port.isascii() and port.isdigit()) or (":" in bare and bare == host):
        raise UsageError(f'"{text}" is no address to listen on: write HOST:PORT, such as 127.0.0.1:8700')
    return bare, int(port[:9])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. UsageError for a port or host that cannot be, Unavailable when the address cannot be had."""
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port} does not exist: choose one from 1 to 65535, or 0 for any free one")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise UsageError(f'host "{host}" is unknown: give an address of this machine, such as 127.0.0.1') from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)  # only where TCP is named does asyncio turn Nagle's algorithm off
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _unavailable(host, port, error) from error
    return listener


_MENDS: Final = {
    errno.EADDRINUSE: "another program does already; choose another port, or 0 for any free one",
    errno.EACCES: "not permitted; choose a port above 1023",
    errno.EADDRNOTAVAIL: "not an address of this machine; use 127.0.0.1 for this machine alone",
}


def _unavailable(host: str, port: int, error: OSError) -> Unavailable:
    reason = _MENDS.get(error.errno or 0, error.strerror)
    return Unavailable(f"cannot listen on {host} port {port}: {reason}")


async def _exit_when_cancelled(server: _Server) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        server.should_exit = True
        server.leaving.set()


class _Server(uvicorn.Server):
    """uvicorn that tells when it listens, leaves signals to us, and does not wait for ever on its way out."""

    def __init__(self, app: Starlette, task_status: anyio.abc.TaskStatus[int]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                log_level=logging.ERROR,
                access_log=False,
                lifespan="off",
                ws="none",
                workers=1,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )
        self._task_status = task_status
        self.leaving = anyio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._task_status.started(self.servers[0].sockets[0].getsockname()[1])

    async def main_loop(self) -> None:
        """Keep the date of answers right until the exit, which is at once: uvicorn itself looks ten times a second."""
        while not await self.on_tick(0):
            with anyio.move_on_after(1.0):
                await self.leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Connections are cut off first: a handler that reads or writes then ends by itself, and logs no error."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._until_idle(GRACE_S)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self._until_idle(LAST_WORDS_S)
        for task in list(self.server_state.tasks):
            task.cancel()
        await self._until_idle(LAST_WORDS_S)

    async def _until_idle(self, patience_s: float) -> None:
        with anyio.move_on_after(patience_s):
            while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
                await anyio.sleep(0.01)
