"""Slack. Sources: "Sending messages using incoming webhooks" and "Formatting message text" (`&`, `<` and `>` escaped;
text is cut at 40,000 characters)."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final

from bridge.net.client import Answer
from bridge.sinks.answers import ACCEPTED, Verdict, json_of, words_of
from bridge.sinks.chat_services.chat_service import Chat, ChatService, Robot, RobotMessage
from bridge.sinks.splitting import MessageLimit, utf16_units


def _write(text: str, chat: Chat) -> RobotMessage:
    return {"text": html.escape(text, quote=False), "mrkdwn": False}


def _escaped_units(text: str) -> int:
    return utf16_units(html.escape(text, quote=False))


def _read(answer: Answer) -> Verdict:
    """A bare `ok`, or the name of an error such as `no_text`; compatible receivers answer with JSON."""
    text = answer.body.decode(errors="replace").strip()
    if text == "ok" and answer.complete:
        return ACCEPTED
    found, doubt = json_of(answer)
    if isinstance(found, Mapping) and (found.get("ok") is True or found.get("success") is True):
        return ACCEPTED
    if re.fullmatch(r"[a-z]+(_[a-z]+)+", text):
        return Verdict(refusal=text)
    return Verdict(doubt=doubt) if doubt else Verdict(refusal=words_of(answer))


SLACK: Final = ChatService(
    name="slack",
    hosts={"hooks.slack.com": "Slack"},
    read=_read,
    robot=Robot(limit=MessageLimit(size=4000, measure=_escaped_units, lone_url=39_000), write=_write),
)
