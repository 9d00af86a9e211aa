"""Feishu and Lark.

Sources: "Custom bot usage guide" (request body up to 20 KB; `sign` over an empty text with the key `timestamp` and
secret; codes 19021, 19022, 19024, 9499, 11232), the page on rate limits (99991400), and "Card structure" (header with
`template`, elements `div`, `action`, `note`). A card can only show uploaded pictures, and a robot cannot upload
pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from bridge.encoding import encode
from bridge.sinks.answers import SHORT_WAIT_S, CodeReader
from bridge.sinks.chat_cards import CardLink, ChatCard
from bridge.sinks.chat_services.chat_service import AppriseFacts, Chat, ChatService, Robot, RobotMessage, hmac_sha256
from bridge.sinks.splitting import BODY_LIMIT, apprise_json_bytes

_MOST_BUTTONS: Final = 10
_TEMPLATES: Final[Mapping[str, str]] = {"success": "green", "failure": "red", "warning": "orange", "info": "blue"}


def _write_card(card: ChatCard, chat: Chat) -> RobotMessage | None:
    buttons = card.links[:_MOST_BUTTONS]
    elements: list[RobotMessage] = [_div("\n".join(card.before))] if card.before else []
    if buttons:
        elements.append({"tag": "action", "actions": [_button(link, place) for place, link in enumerate(buttons)]})
    if len(card.links) > len(buttons):
        elements.append(_div("\n".join(link.url for link in card.links[len(buttons) :])))
    if card.quiet:
        note = [{"tag": "plain_text", "content": "\n".join(card.quiet)}]
        elements.append({"tag": "note", "elements": note})
    if card.story is not None:
        elements.append({"tag": "action", "actions": [_button(card.story, place=1)]})
    header = {"title": {"tag": "plain_text", "content": card.title}, "template": _TEMPLATES[card.tone]}
    content = {"config": {"wide_screen_mode": True}, "header": header, "elements": elements}
    message: RobotMessage = {"msg_type": "interactive", "card": content}
    return message if len(encode(message)) <= BODY_LIMIT.size else None


def _button(link: CardLink, place: int) -> RobotMessage:
    text = {"tag": "plain_text", "content": link.label}
    return {"tag": "button", "text": text, "type": "default" if place else "primary", "url": link.url}


def _div(text: str) -> RobotMessage:
    return {"tag": "div", "text": {"tag": "plain_text", "content": text}}


def _sign(url: str, message: RobotMessage, secret: str, now: float) -> tuple[str, RobotMessage]:
    second = str(math.floor(now))
    return url, {"timestamp": second, "sign": hmac_sha256(f"{second}\n{secret}", ""), **message}


FEISHU: Final = ChatService(
    name="feishu",
    hosts={"open.feishu.cn": "Feishu", "open.larksuite.com": "Lark"},
    read=CodeReader(
        codes=("code", "StatusCode"),
        texts=("msg", "StatusMessage"),
        waits={11232: SHORT_WAIT_S, 99991400: SHORT_WAIT_S},
    ),
    robot=Robot(
        limit=BODY_LIMIT,
        write=lambda text, chat: {"msg_type": "text", "content": {"text": text}},
        write_card=_write_card,
        sign=_sign,
    ),
    apprise=AppriseFacts(schemes=frozenset({"feishu", "lark"}), ignores_refusals=True, measure=apprise_json_bytes),
)
