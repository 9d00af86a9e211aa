"""A provider for the gateway. Its answers are raw bytes from a script."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Arrived:
    """One request as it arrived. `head` is everything before the body."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        """Method, target and version."""
        return self.head.partition(b"\r\n")[0]

    @property
    def target(self) -> str:
        return self.line.split(b" ")[1].decode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def header(self, name: str) -> str | None:
        """The only value of this header, or None without the header."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, values
        return values[0] if values else None


Answer = bytes | Iterable[bytes]


@dataclass
class Upstream:
    """The requests that arrived, and `answer`, which returns the raw answer to a request. Each connection carries one
    request."""

    port: int = 0
    arrived: list[Arrived] = field(default_factory=list)
    answer: Callable[[Arrived], Answer] = lambda arrived: reply(b"{}")
    hung_up: threading.Event = field(default_factory=threading.Event)  # the gateway closed during an answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/base"


def reply(body: bytes, *lines: str, status: int = 200, kind: str = "application/json") -> bytes:
    """A whole answer."""
    given = [f"HTTP/1.1 {status} Scripted", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*given, "Connection: close", "", ""]).encode("latin-1") + body


@contextmanager
def upstream() -> Iterator[Upstream]:
    """Serve until the block ends."""
    found = Upstream()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            arrived = Arrived(head.removesuffix(b"\r\n\r\n"), b"")
            arrived = Arrived(arrived.head, self._body(arrived))
            if len(arrived.body) < int(arrived.header("content-length") or 0):
                return  # broken off
            found.arrived.append(arrived)
            answer = found.answer(arrived)
            try:
                for part in [answer] if isinstance(answer, bytes) else answer:
                    self.wfile.write(part)
            except OSError:
                found.hung_up.set()

        def _body(self, arrived: Arrived) -> bytes:
            if arrived.header("transfer-encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body
            return self.rfile.read(int(arrived.header("content-length") or 0))

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()
