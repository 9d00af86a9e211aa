"""The bytes of a stream of server-sent events (`text/event-stream`), made once for all followers."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bridge.domain.committed import LogPage

RETRY_MS: Final = 2000
# Single lines, because some clients take an empty block for an event.
OPENING: Final = f": genbridge\nretry: {RETRY_MS}\n".encode()
HEARTBEAT: Final = b":\n"


def frame(name: str, data: bytes, *, number: int | None = None) -> bytes:
    """One event of a stream."""
    head = b"" if number is None else b"id: %d\n" % number
    lines = b"".join(b"data: %b\n" % line for line in data.splitlines() or [b""])
    return b"%bevent: %b\n%b\n" % (head, name.encode(), lines)


def encoded(page: LogPage) -> LogPage:
    """The page, in which the bodies are the frames of the events. Events whose bytes were removed are left out."""
    kept = ((event, event.body) for event in page.events if event.body is not None)
    return replace(
        page, events=[event._replace(body=frame(event.topic, body, number=event.number)) for event, body in kept]
    )
