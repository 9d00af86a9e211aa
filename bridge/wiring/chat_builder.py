"""Builds the sinks whose messages people read: chats, emails and group robots.

Not imported by a daemon that notifies only programs: it loads the texts and their template engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.config.endpoint_settings import Apprise, Webhook
from bridge.config.load import Loaded
from bridge.config.model import Settings
from bridge.sinks.attached_files import ResultFiles
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.chat_services.chat_service import Chat
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.posting import PostSettings
from bridge.sinks.requests_hook import ChatNetwork
from bridge.sinks.robot import RobotSink


def chat_sink(name: str, endpoint: Apprise, loaded: Loaded, *, files: ResultFiles | None) -> ChatSink:
    return ChatSink(
        name=name,
        urls=[ChatUrl(text=url.written, url=url.reveal()) for url in endpoint.urls],
        title=endpoint.title,
        body=endpoint.body,
        timeout_s=loaded.settings.delivery.timeout_s,
        style=_style(endpoint, loaded.settings),
        files=files,
        network=ChatNetwork(**loaded.network(endpoint)),
    )


def robot_sink(
    name: str,
    endpoint: Webhook,
    settings: Settings,
    *,
    post: PostSettings,
    secrets: Sequence[str],
    files: ResultFiles | None,
) -> RobotSink:
    style = _style(endpoint, settings)
    return RobotSink(
        name=name,
        format=endpoint.format,
        settings=post,
        secret=secrets[0] if secrets else None,
        title=endpoint.title,
        body=endpoint.body,
        chat=Chat(chat_id=endpoint.chat_id or "", thread_id=endpoint.thread_id or "", previews=style.previews),
        style=style,
        files=files,
    )


def _style(endpoint: Webhook | Apprise, settings: Settings) -> ChatStyle:
    """How to write the texts for people."""
    return ChatStyle(
        language=endpoint.language,
        timezone=endpoint.timezone,
        marks=endpoint.marks,
        previews=endpoint.attach == "preview",
        files=endpoint.attach == "file",
        page_url=settings.public_url or "",
    )
