"""The message that a chat endpoint makes of an event."""

from __future__ import annotations

from bridge.domain.event import Event
from bridge.sinks.texts import ChatTexts

DEFAULT = ChatTexts(endpoint="chat", title=None, body=None)


def write(event: Event, texts: ChatTexts = DEFAULT) -> tuple[str, str]:
    written = texts.write(event)
    return written.title, written.body
