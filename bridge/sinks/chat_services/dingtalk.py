"""DingTalk.

Sources: "Custom robot security settings" (`timestamp` in ms and `sign` in the query); the error "message too long,
exceed 20000 bytes"; "Custom robot access" (20 messages a minute, then silence for up to ten minutes; codes 310000,
130101); the table of error codes (300001, 410100).
"""

from __future__ import annotations

import math
from typing import Final
from urllib.parse import quote

from bridge.sinks.answers import CodeReader
from bridge.sinks.chat_services.chat_service import Chat, ChatService, Robot, RobotMessage, hmac_sha256
from bridge.sinks.splitting import MessageLimit, json_bytes


def _write(text: str, chat: Chat) -> RobotMessage:
    return {"msgtype": "text", "text": {"content": text}}


def _sign(url: str, message: RobotMessage, secret: str, now: float) -> tuple[str, RobotMessage]:
    ms = str(math.floor(now * 1000))
    sign = quote(hmac_sha256(secret, f"{ms}\n{secret}"), safe="")
    return f"{url}{'&' if '?' in url else '?'}timestamp={ms}&sign={sign}", message


DINGTALK: Final = ChatService(
    name="dingtalk",
    hosts={"oapi.dingtalk.com": "DingTalk"},
    schemes=frozenset({"dingtalk"}),
    read=CodeReader(codes=("errcode",), texts=("errmsg",), waits={130101: 60.0, 410100: 60.0}),
    # 20,000 bytes is the limit of the whole body: 2 KB are left for what surrounds the text.
    robot=Robot(limit=MessageLimit(size=18_000, measure=json_bytes), write=_write, sign=_sign, penalty_s=600.0),
)
