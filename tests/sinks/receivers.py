"""Real receivers on loopback: HTTP with scripted answers, silent TCP, SMTP, MQTT, Node-RED."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc

HANG = b"\x00hang"  # at the end of an answer: keep the connection open and send nothing more


@dataclass
class HttpReceiver:
    """Records each request byte for byte, and sends these answers. It repeats the last answer."""

    port: int = 0
    answers: list[bytes] = field(default_factory=lambda: [answer(200)])
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?x=1"

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with stream:
                while True:
                    self.requests.append(await _request(stream))
                    said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    await stream.send(said.removesuffix(HANG))
                    if said.endswith(HANG):
                        await anyio.sleep_forever()
                    if b"connection: close" in said:
                        return


async def _request(stream: anyio.abc.SocketStream) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += await stream.receive()
    head, _, body = raw.partition(b"\r\n\r\n")
    lengths = (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    length = next(lengths, 0)
    while len(body) < length:
        body += await stream.receive()
    return head + b"\r\n\r\n" + body


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole HTTP answer. Write header names with underscores."""
    lines = [f"HTTP/1.1 {status} Whatever".encode(), b"content-length: %d" % len(body)]
    lines += [f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@asynccontextmanager
async def http_receiver(*answers: bytes) -> AsyncIterator[HttpReceiver]:
    receiver = HttpReceiver()
    if answers:
        receiver.answers = list(answers)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    receiver.port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, receiver.serve)
        yield receiver
        serving.cancel_scope.cancel()


@contextmanager
def silent_service() -> Iterator[int]:
    """A port at which the kernel accepts connections but no program ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def program(*command: str, env: dict[str, str] | None = None, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block. Its output is in `log`."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def until_listening(port: int, process: subprocess.Popen[bytes], *, within_s: float = 60) -> None:
    """Return when a program listens at this port. Fails if `process` ends before that."""
    with anyio.fail_after(within_s):
        while True:
            assert process.poll() is None, "the program ended before it listened"
            with contextlib.suppress(OSError):
                await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                return
            await anyio.sleep(0.05)
