"""Slack.

Sources: "Sending messages using incoming webhooks" and "Formatting message text" (`&`, `<` and `>` escaped; text is cut
at 40,000 characters; `<URL|label>`), and "Secondary message attachments" (`color`, `fallback`, `image_url`), which
Mattermost and others understand, too.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final

from bridge.net.client import Answer
from bridge.sinks.answers import ACCEPTED, Verdict, json_of, words_of
from bridge.sinks.chat_cards import COLORS, CardLink, ChatCard, card_lines, card_short_markdown
from bridge.sinks.chat_services.chat_service import AppriseFacts, CardForm, Chat, ChatService, Robot, RobotMessage
from bridge.sinks.splitting import MessageLimit, utf16_units

_MOST_PICTURES: Final = 4


def _write_card(card: ChatCard, chat: Chat) -> RobotMessage | None:
    text = "\n".join(card_lines(card, _link, _escaped, is_short=True))
    if utf16_units(text) > _LIMIT.size:
        return None
    color = f"#{COLORS[card.tone]:06x}"
    title = _escaped(card.title)
    pictures = card.pictures[:_MOST_PICTURES] if chat.previews else ()
    shown: RobotMessage = {"color": color, "fallback": title, "title": title, "text": text, "mrkdwn_in": ["text"]}
    if pictures:
        shown["image_url"] = pictures[0]
    more = [{"color": color, "fallback": title, "image_url": url} for url in pictures[1:]]
    return {"attachments": [shown, *more]}


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _link(link: CardLink) -> str:
    return f"<{_escaped(link.url)}|{_escaped(link.inline)}>"


_LIMIT: Final = MessageLimit(size=4000, measure=lambda text: utf16_units(_escaped(text)), lone_url=39_000)


def _read(answer: Answer) -> Verdict:
    """The answer is a bare `ok`, or the name of an error such as `no_text`; compatible receivers answer with JSON."""
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
    robot=Robot(
        limit=_LIMIT,
        write=lambda text, chat: {"text": _escaped(text), "mrkdwn": False},
        write_card=_write_card,
    ),
    apprise=AppriseFacts(
        schemes=frozenset({"slack"}),
        # Apprise would change a bare URL that contains *, which is Markdown.
        card=CardForm("markdown", "{}", card_short_markdown, takes_odd_urls=False),
        takes_files=lambda plugin: "hook" not in str(getattr(plugin, "mode", "")),
        file_text="📎",
    ),
)
