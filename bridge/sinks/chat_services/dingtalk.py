"""DingTalk.

Sources: "Custom robot security settings" (`timestamp` in ms and `sign` in the query); the error "message too long,
exceed 20000 bytes"; "Custom robot access" (20 messages a minute, then silence for up to ten minutes; codes 310000,
130101); the table of error codes (300001, 410100); "Custom robot message types" (`actionCard` with one or more buttons,
whose text is Markdown and may show a picture).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from bridge.encoding import encode
from bridge.sinks.answers import CodeReader
from bridge.sinks.chat_cards import COLORS, ChatCard, markdown_link
from bridge.sinks.chat_services.chat_service import AppriseFacts, Chat, ChatService, Robot, RobotMessage, hmac_sha256
from bridge.sinks.splitting import BODY_LIMIT, apprise_json_bytes

_MOST_BUTTONS: Final = 5
_SIDE_BY_SIDE: Final = 2
_MOST_PICTURES: Final = 4
_TEXT_COLORS: Final[Mapping[str, str]] = {"failure": f"#{COLORS['failure']:06x}", "warning": "#9a6700"}


def _write_card(card: ChatCard, chat: Chat) -> RobotMessage | None:
    pictures = [f"![]({url})" for url in card.pictures if chat.previews and ")" not in url][:_MOST_PICTURES]
    color = _TEXT_COLORS.get(card.tone)
    head = f'### <font color="{color}">{card.title}</font>' if color else f"### {card.title}"
    before = ["  \n".join(card.before)] if card.before else []
    story = [markdown_link(card.story)] if card.story is not None else []
    text = "\n\n".join([*pictures, head, *before, *card.quiet, *story])
    buttons = [{"title": link.label, "actionURL": link.url} for link in card.links[:_MOST_BUTTONS]]
    if len(card.links) > len(buttons):
        return None
    content: RobotMessage = {"title": card.title, "text": text}
    if len(buttons) == 1:
        content |= {"singleTitle": buttons[0]["title"], "singleURL": buttons[0]["actionURL"]}
    elif buttons:
        content |= {"btns": buttons, "btnOrientation": "1" if len(buttons) <= _SIDE_BY_SIDE else "0"}
    kind = "actionCard" if buttons else "markdown"
    message: RobotMessage = {"msgtype": kind, kind: content}
    return message if len(encode(message)) <= BODY_LIMIT.size else None


def _sign(url: str, message: RobotMessage, secret: str, now: float) -> tuple[str, RobotMessage]:
    ms = str(math.floor(now * 1000))
    sign = quote(hmac_sha256(secret, f"{ms}\n{secret}"), safe="")
    return f"{url}{'&' if '?' in url else '?'}timestamp={ms}&sign={sign}", message


DINGTALK: Final = ChatService(
    name="dingtalk",
    hosts={"oapi.dingtalk.com": "DingTalk"},
    read=CodeReader(codes=("errcode",), texts=("errmsg",), waits={130101: 60.0, 410100: 60.0}),
    robot=Robot(
        limit=BODY_LIMIT,
        write=lambda text, chat: {"msgtype": "text", "text": {"content": text}},
        write_card=_write_card,
        sign=_sign,
        penalty_s=600.0,
    ),
    apprise=AppriseFacts(
        schemes=frozenset({"dingtalk"}), ignores_refusals=True, measure=apprise_json_bytes, pause_s=3.0
    ),
)
