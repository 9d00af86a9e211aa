"""WeCom. Sources: page 91770 (text up to 2048 bytes, Markdown up to 4096; 20 messages a minute, code 45009), and the
table of error codes (93000)."""

from __future__ import annotations

from typing import Final

from bridge.sinks.answers import CodeReader
from bridge.sinks.chat_services.chat_service import Chat, ChatService, Robot, RobotMessage
from bridge.sinks.splitting import MessageLimit, utf8_bytes

_LINK: Final = "[Open the result]"
_LIMIT: Final = MessageLimit(size=2048, measure=utf8_bytes, lone_url=4096 - len(_LINK) - 2)


def _write(text: str, chat: Chat) -> RobotMessage:
    if _LIMIT.fits(text):
        return {"msgtype": "text", "text": {"content": text}}
    # A URL too long for a text message: Markdown has twice the room.
    return {"msgtype": "markdown", "markdown": {"content": text if ")" in text else f"{_LINK}({text})"}}


WECOM: Final = ChatService(
    name="wecom",
    hosts={"qyapi.weixin.qq.com": "WeCom"},
    schemes=frozenset({"wecombot"}),
    read=CodeReader(codes=("errcode",), texts=("errmsg",), waits={45009: 60.0}),
    robot=Robot(limit=_LIMIT, write=_write),
)
