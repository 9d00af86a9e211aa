"""The fast transport: connections of asyncio with llhttp on them; nothing of a request is built that does not go out.

`Opener` opens connections, `Reader` reads answers off them. A tenth of the CPU of httpx's own; it speaks asyncio alone,
elsewhere the stock transport serves.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import defaultdict, deque
from typing import Final

import httpx

from bridge.net.exchange import Message, Reply
from bridge.net.failures import NO_ANSWER
from bridge.net.head import request_line
from bridge.net.opening import Opener
from bridge.net.reader import Reader

KEEP_ALIVE_S: Final = 15.0  # idle connections are kept so long


class Connections:
    """`Transport`: as many connections as requests at once; at most `most_idle` of them wait for the next request.

    Callers bound their own concurrency. The connection used last is used next, so surplus ones grow stale and are
    closed. A GET that meets a kept-alive connection the other side has just closed is asked again on a new one, once.
    """

    def __init__(self, *, context: ssl.SSLContext, most_idle: int, proxy: httpx.Proxy | None) -> None:
        self._opener = Opener(context=context, proxy=proxy)
        self._most_idle = most_idle
        self._has_proxy = proxy is not None
        self._idle: defaultdict[str, deque[tuple[float, Reader]]] = defaultdict(deque)
        self._is_closed = False

    async def exchange(self, message: Message, reply: Reply, *, timeout_s: float) -> None:
        """See `Transport.exchange`."""
        sent = self._lines(message) + message.body
        now = asyncio.get_running_loop().time()
        ends_at = now + timeout_s
        kept = self._kept(message.origin, now)
        if kept is not None:
            try:
                return await self._converse(kept, message.origin, sent, reply, ends_at)
            except NO_ANSWER:
                if message.method != "GET" or reply.body is not None:
                    raise
        opened = await self._opener.open(message.at, ends_at)
        await self._converse(opened, message.origin, sent, reply, ends_at)

    async def aclose(self) -> None:
        """Close what is idle, and what is under way as soon as it ends."""
        self._is_closed = True
        for idle in self._idle.values():
            self._trim(idle, math.inf)

    def _release(self, origin: str, reader: Reader) -> None:
        """Take a connection back whose exchange is over, however it ended."""
        if not reader.rest():
            return reader.drop()
        idle = self._idle[origin]
        now = reader.loop.time()
        idle.append((now, reader))
        self._trim(idle, now)

    def _trim(self, idle: deque[tuple[float, Reader]], now: float) -> None:
        while idle and (self._is_closed or len(idle) > self._most_idle or idle[0][0] < now - KEEP_ALIVE_S):
            idle.popleft()[1].drop()

    def _kept(self, origin: str, now: float) -> Reader | None:
        """An idle connection on which nothing has been heard since: what came unasked is no answer of ours."""
        idle = self._idle.get(origin)
        while idle:
            put_at, reader = idle.pop()
            if reader.is_fit and now - put_at < KEEP_ALIVE_S:
                return reader
            reader.drop()
        return None

    def _lines(self, message: Message) -> bytes:
        if self._has_proxy and message.at.scheme == "http":
            target = b"http://" + message.at.netloc + message.target
            return request_line(message.method, target) + message.head.lines + self._opener.proxy_lines + b"\r\n"
        return request_line(message.method, message.target) + message.head.lines + b"\r\n"

    async def _converse(self, reader: Reader, origin: str, sent: bytes, reply: Reply, ends_at: float) -> None:
        """Send, and hear what is said to it; then the connection waits for the next request or is closed."""
        try:
            status, headers = await reader.ask(sent, ends_at)
            reply.begin(status, headers.items())
            body = reply.body
            assert body is not None
            while not reader.has_ended:
                chunk = await reader.more()
                if chunk and not body.feed(chunk):
                    return
            body.finish()
        finally:
            self._release(origin, reader)
