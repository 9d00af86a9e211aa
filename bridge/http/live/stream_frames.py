"""The bytes of a stream of server-sent events (`text/event-stream`), made once for all followers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.domain.committed import LogPage

RETRY_MS: Final = 2000
# Single lines, because some clients take an empty block for an event.
OPENING: Final = f": genbridge\nretry: {RETRY_MS}\n".encode()
HEARTBEAT: Final = b":\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of the log, as it is sent."""

    number: int
    topic: str
    account: str
    data: bytes


@dataclass(frozen=True, slots=True)
class FramePage:
    """The events after a position. `is_gone` and `oldest`: see `LogPage`."""

    frames: tuple[Frame, ...]
    position: int
    oldest: int
    is_gone: bool

    @property
    def size_bytes(self) -> int:
        return sum(len(frame.data) for frame in self.frames)


def frame(name: str, data: bytes, *, number: int | None = None) -> bytes:
    """One event of a stream."""
    head = b"" if number is None else b"id: %d\n" % number
    lines = b"".join(b"data: %b\n" % line for line in data.splitlines() or [b""])
    return b"%bevent: %b\n%b\n" % (head, name.encode(), lines)


def encoded(page: LogPage) -> FramePage:
    """The frames of these events. Events whose bytes were removed are left out."""
    frames = [
        Frame(event.number, event.topic, event.account, frame(event.topic, event.body, number=event.number))
        for event in page.events
        if event.body is not None
    ]
    return FramePage(tuple(frames), page.position, page.oldest, page.is_gone)
