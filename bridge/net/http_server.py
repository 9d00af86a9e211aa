"""The HTTP server: ASGI apps served by uvicorn inside genbridge's task groups. The parser's callbacks, such as
`on_headers_complete`, are in `served_connection.py`.

There are no process-wide signal handlers and no access log. uvicorn and starlette are used because both are
dependencies already, and only the parts below have to be added.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Generator
from http import HTTPStatus
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive

from bridge.domain.listen_address import ListenAddress
from bridge.errors import Unavailable, UsageError
from bridge.net.served_connection import ServedConnection

GRACE_S: Final = 0.3
"""How long requests in flight may continue after cancellation."""
ABORT_GRACE_S: Final = 0.1
"""How long a handler may take to notice that its connection is closed."""
KEEP_ALIVE_S: Final = 75
"""Longer than clients wait between two polls, so that they rarely use a connection that is just being closed."""
BACKLOG: Final = 2048
BODY_S: Final = 60.0
"""How long a client may take to send a body."""
MAX_UNIX_PATH_BYTES: Final = 107  # Linux allows 108, including a NUL
_REASONS: Final = {
    errno.EADDRINUSE: "another program is listening there; choose another port, or 0 for any free one",
    errno.EACCES: "not permitted; choose a port above 1023",
    errno.EADDRNOTAVAIL: "not an address of this machine; use 127.0.0.1 to allow only this machine",
}


class RequestBodyError(ValueError):
    """A body could not be read to its end. `status` is the HTTP status for the client."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The body of a request. RequestBodyError if it is larger, takes longer than `BODY_S`, or if the client
    disconnects."""
    body = bytearray()
    length = request.headers.get("content-length", "")
    try:
        with anyio.fail_after(BODY_S):
            if length.isdecimal() and int(length[:19]) > max_bytes:  # refused before it is sent
                raise _too_large(max_bytes)
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        raise RequestBodyError(HTTPStatus.REQUEST_TIMEOUT, f"the body did not arrive within {BODY_S:g} s") from None
    except ClientDisconnect:  # otherwise uvicorn would log a traceback
        raise RequestBodyError(HTTPStatus.BAD_REQUEST, "the client disconnected before the end of the body") from None
    return bytes(body)


async def cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel when the client disconnects. Discards what the client still sends."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _too_large(max_bytes: int) -> RequestBodyError:
    return RequestBodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {max_bytes} bytes")


async def serve_on(
    app: ASGIApp,
    listener: socket.socket,
    *,
    grace_s: float = GRACE_S,
    task_status: anyio.abc.TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until canceled. `started()` gets the port (0: a Unix socket) once connections are accepted.

    Cancellation ends it: no new connections are accepted, and requests in flight are cut off after `grace_s`. The
    listener is closed.
    """
    server = _Server(app, task_status, grace_s)
    async with anyio.create_task_group() as group:
        group.start_soon(_exit_when_cancelled, server)
        with anyio.CancelScope(shield=True):
            await server.serve(sockets=[listener])


def split_address(text: str) -> tuple[str, int]:
    """Host and port from `HOST:PORT` or `[IPV6]:PORT`. UsageError for anything else."""
    try:
        host, port, path = ListenAddress.parse(text)
    except ValueError as error:
        raise UsageError(f'"{text}" {error}') from None
    if path:
        raise UsageError(f'"{text}" is not an address to listen on: write HOST:PORT, such as 127.0.0.1:8700')
    return host, port


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. UsageError for an invalid port or host, Unavailable for an address that is taken."""
    return _listener(host, port, listens=True)


def check_port(host: str, port: int) -> None:
    """Raises the errors of `listen`, but listens to nothing, so that it disturbs no program that starts meanwhile."""
    _listener(host, port, listens=False).close()


def _listener(host: str, port: int, *, listens: bool) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port} does not exist: choose one from 1 to 65535, or 0 for any free one")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise UsageError(f'host "{host}" is unknown: give an address of this machine, such as 127.0.0.1') from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)  # asyncio disables Nagle's algorithm only for TCP
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if listens:
            listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = _REASONS.get(error.errno or 0, error.strerror)
        raise Unavailable(f"cannot listen on {host} port {port}: {reason}") from error
    return listener


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket, for its owner and group (0660). A socket that a dead process has left is replaced.
    Unavailable if it cannot be created, or if a program already listens there."""
    check_unix(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


def check_unix(path: Path) -> None:
    """Unavailable if no socket can be created here, or if a program already listens there. Changes nothing."""
    try:
        why = _unix_problem(path)
    except OSError as error:  # for example below a folder that this user may not enter
        why = error.strerror
    if why is not None:
        raise Unavailable(f"cannot listen on {path}: {why}")


def _unix_problem(path: Path) -> str | None:
    if len(os.fsencode(path)) > MAX_UNIX_PATH_BYTES:
        return f"the path is longer than {MAX_UNIX_PATH_BYTES} bytes; choose a shorter one"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; make it, or choose another path"
    if not os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True):
        return f"no permission to create files in {path.parent}; choose another path"
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.setblocking(False)  # a program that hangs may have a full queue
            is_dead = caller.connect_ex(str(path)) == errno.ECONNREFUSED  # not if it belongs to another user
            return None if is_dead else "another program is listening there"
    return "this is not a socket; choose another path, or remove it" if os.path.lexists(path) else None


async def _exit_when_cancelled(server: _Server) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        server.should_exit = True
        server.leaving.set()


class _Server(uvicorn.Server):
    """uvicorn that reports when it listens, does not handle signals, and stops within a second."""

    def __init__(self, app: ASGIApp, task_status: anyio.abc.TaskStatus[int], grace_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=ServedConnection,
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
        self._grace_s = grace_s
        self.leaving = anyio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        name = self.servers[0].sockets[0].getsockname()
        self._task_status.started(name[1] if isinstance(name, tuple) else 0)

    async def main_loop(self) -> None:
        """Keep the date of answers up to date. Unlike uvicorn's own loop, it wakes once a second and exits at once."""
        while not await self.on_tick(0):
            with anyio.move_on_after(1.0):
                await self.leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close connections before canceling handlers: a handler that reads or writes then stops without logging an
        error."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._until_idle(self._grace_s)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self._until_idle(ABORT_GRACE_S)
        for task in list(self.server_state.tasks):
            task.cancel()
        await self._until_idle(ABORT_GRACE_S)

    async def _until_idle(self, patience_s: float) -> None:
        with anyio.move_on_after(patience_s):
            while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn sets no event
                await anyio.sleep(0.01)
