"""Discord. Sources: "Execute Webhook" (content up to 2000 characters), "Embed Limits" (description up to 4096), and
"Rate limits" (`retry_after` in seconds with a fraction, X-RateLimit-Reset-After)."""

from __future__ import annotations

from typing import Final

from bridge.net.client import Answer
from bridge.sinks.answers import ACCEPTED, Verdict, number, object_of, refusal, retry_after_in, text_in
from bridge.sinks.chat_services.chat_service import Chat, ChatService, Robot, RobotMessage
from bridge.sinks.splitting import MessageLimit, utf16_units

_LIMIT: Final = MessageLimit(size=2000, measure=utf16_units, lone_url=4096)


def _write(text: str, chat: Chat) -> RobotMessage:
    quiet: RobotMessage = {"allowed_mentions": {"parse": []}}
    # A URL too long for a message's content: an embed has twice the room.
    return {"content": text, **quiet} if _LIMIT.fits(text) else {"embeds": [{"description": text}], **quiet}


def _read(answer: Answer) -> Verdict:
    """Nothing, or with `?wait=true` the message; an error has a `message`, usually with a `code`."""
    if not answer.body and answer.complete:
        return ACCEPTED
    found, doubt = object_of(answer)
    if doubt:
        return Verdict(doubt=doubt)
    if "id" in found and "retry_after" not in found:
        return ACCEPTED
    code = number(found.get("code"))
    return Verdict(refusal=refusal(code or None, text_in(found.get("message")), answer), wait_s=retry_after_in(found))


DISCORD: Final = ChatService(
    name="discord",
    hosts={"discord.com": "Discord", "discordapp.com": "Discord"},
    path="/api/webhooks",
    read=_read,
    robot=Robot(limit=_LIMIT, write=_write),
)
