"""Feishu and Lark.

Sources: "Custom bot usage guide" (request body up to 20 KB; `sign` over an empty text with the key `timestamp` and
secret; codes 19021, 19022, 19024, 9499, 11232), and the page on rate limits (99991400).
"""

from __future__ import annotations

import math
from typing import Final

from bridge.sinks.answers import SHORT_WAIT_S, CodeReader
from bridge.sinks.chat_services.chat_service import Chat, ChatService, Robot, RobotMessage, hmac_sha256
from bridge.sinks.splitting import MessageLimit, json_bytes


def _write(text: str, chat: Chat) -> RobotMessage:
    return {"msg_type": "text", "content": {"text": text}}


def _sign(url: str, message: RobotMessage, secret: str, now: float) -> tuple[str, RobotMessage]:
    second = str(math.floor(now))
    return url, {"timestamp": second, "sign": hmac_sha256(f"{second}\n{secret}", ""), **message}


FEISHU: Final = ChatService(
    name="feishu",
    hosts={"open.feishu.cn": "Feishu", "open.larksuite.com": "Lark"},
    schemes=frozenset({"feishu", "lark"}),
    read=CodeReader(
        codes=("code", "StatusCode"),
        texts=("msg", "StatusMessage"),
        waits={11232: SHORT_WAIT_S, 99991400: SHORT_WAIT_S},
    ),
    # 20 KB is the limit of the whole body: 2 KB are left for what surrounds the text.
    robot=Robot(limit=MessageLimit(size=18_000, measure=json_bytes), write=_write, sign=_sign),
)
