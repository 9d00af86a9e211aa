"""Discord.

Sources: "Execute Webhook" (content up to 2000 characters), "Embed Limits" (description up to 4096), and "Rate limits"
(`retry_after` in seconds with a fraction, X-RateLimit-Reset-After). Discord shows a player or a picture for a bare URL,
but not for a link inside an embed (discord-api-docs#6689). Embeds with the same `url` form a grid. "Uploading Files":
`payload_json` and `files[n]` in a form, 10 MiB by default, at most 10 files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.encoding import encode
from bridge.net.client import Answer
from bridge.sinks.answers import ACCEPTED, Verdict, number, object_of, refusal, retry_after_in, text_in
from bridge.sinks.attached_files import ResultFile
from bridge.sinks.chat_cards import COLORS, ChatCard, card_bare_lines, card_quiet_lines
from bridge.sinks.chat_services.chat_service import (
    AppriseFacts,
    CardForm,
    Chat,
    ChatService,
    FileForm,
    Robot,
    RobotMessage,
)
from bridge.sinks.splitting import MessageLimit, utf16_units

_LIMIT: Final = MessageLimit(size=2000, measure=utf16_units, lone_url=4096)

_MOST_IN_GRID: Final = 4


def _write(text: str, chat: Chat) -> RobotMessage:
    quiet: RobotMessage = {"allowed_mentions": {"parse": []}}
    # A URL can be too long for a message's content: an embed may be twice as long.
    return {"content": text, **quiet} if _LIMIT.fits(text) else {"embeds": [{"description": text}], **quiet}


def _write_card(card: ChatCard, chat: Chat) -> RobotMessage | None:
    message: RobotMessage = {"allowed_mentions": {"parse": []}}
    title = f"**{card.title}**"
    if not card.links:
        below = card_bare_lines(card)
        message |= {"content": title, "embeds": [{"description": below, "color": COLORS[card.tone]}]}
        return message if _LIMIT.measure(below) <= _LIMIT.lone_url else None
    grid = card.pictures if chat.previews and not card.has_players else ()
    least = 2 if any(each.kind == "images" for each in card.links) else 1  # one image shows itself, a 3D model does not
    if least <= len(grid) <= _MOST_IN_GRID:
        message["embeds"] = [{"url": grid[0], "color": COLORS[card.tone], "image": {"url": url}} for url in grid]
        lines = [title, card_quiet_lines(card)]
    else:
        lines = [title, card_bare_lines(card)]
    message["content"] = "\n".join(lines)
    return message if _LIMIT.fits(str(message["content"])) else None


def _write_form(card: ChatCard, chat: Chat, files: Sequence[ResultFile]) -> FileForm | None:
    """The text, with links that have no preview, and the files below it."""
    content = f"**{card.title}**\n{card_quiet_lines(card)}"
    return _form({"content": content}, files) if _LIMIT.fits(content) else None


def _form(message: RobotMessage, files: Sequence[ResultFile]) -> FileForm:
    whole = {**message, "allowed_mentions": {"parse": []}}
    return FileForm({"payload_json": encode(whole).decode()}, {f"files[{n}]": each for n, each in enumerate(files)})


def _read(answer: Answer) -> Verdict:
    """The answer is empty, or with `?wait=true` the message; an error has a `message`, usually with a `code`."""
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
    robot=Robot(
        limit=_LIMIT,
        write=_write,
        write_card=_write_card,
        probe_url=str,  # its API: "Get Webhook with Token"
        file_bytes=10_000_000,
        write_form=_write_form,
        later_files=lambda chat, files: [_form({}, files)],
    ),
    apprise=AppriseFacts(
        schemes=frozenset({"discord"}),
        measure=utf16_units,
        card=CardForm("markdown", "**{}**", card_bare_lines, card_quiet_lines),  # a player needs the bare URL
    ),
)
