"""A network connection that a test can cut: a TCP proxy on loopback between a client and a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tap = Callable[[bytes], bool]
"""Is called with what a client sends. Returns False to break the connection before the data arrives."""


class Wire:
    """Forwards bytes both ways. `url` turns the URL of the server into one that leads through the proxy."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_black_hole = False  # accepts everything and answers nothing
        self.is_deaf = False  # answers of the server are lost
        self.on_request: Tap = lambda data: True
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, server: str) -> str:
        return server.replace(f":{self._to}/", f":{self.port}/")

    def cut(self) -> None:
        """Break every open connection."""
        for end in self._ends:
            _break(end)

    def close(self) -> None:
        _break(self._listener)
        self._listener.close()
        self.cut()
        while self._ends:
            self._ends.pop().close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._ends.append(client)
                try:
                    server = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    _break(client)  # nobody answers there now
                    continue
                self._ends.append(server)
                for source, to in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, to, source is client), daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket, is_request: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_request and not self.on_request(data):
                    break
                if not self.is_black_hole and (is_request or not self.is_deaf):
                    to.sendall(data)
        for end in (source, to):
            _break(end)


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire_to(server: str) -> Iterator[Wire]:
    """A proxy for the server of this URL (`...:PORT/...`)."""
    port = int(server.rpartition("@")[2].partition("/")[0].rpartition(":")[2])
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
