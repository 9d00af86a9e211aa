"""A relay between a browser and a site. Its connections can go silent without being closed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Relay:
    """Forwards bytes. After `freeze`, the connections stay open but forward nothing. New connections work."""

    url: str
    frozen: set[socket.socket] = field(default_factory=set)
    sockets: list[socket.socket] = field(default_factory=list)

    def freeze(self) -> None:
        """From now on, nothing arrives on the connections that are open."""
        self.frozen.update(self.sockets)


@contextmanager
def relay(to: str) -> Iterator[Relay]:
    """A relay to this site, until the end of the block."""
    target = (urlsplit(to).hostname or "", urlsplit(to).port or 80)
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Relay(f"http://127.0.0.1:{server.getsockname()[1]}")
        threading.Thread(target=_accept, args=(server, target, made), daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for one in made.sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()


def _accept(server: socket.socket, target: tuple[str, int], made: Relay) -> None:
    while True:
        try:
            browser, _ = server.accept()
        except OSError:
            return
        site = socket.create_connection(target)
        made.sockets += [browser, site]
        for source, sink in ((browser, site), (site, browser)):
            threading.Thread(target=_pass_on, args=(source, sink, made), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, made: Relay) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            if source not in made.frozen:
                sink.sendall(data)
        if source not in made.frozen:
            sink.shutdown(socket.SHUT_WR)
