"""WeCom. Sources: page 91770 (text up to 2048 bytes, Markdown up to 4096; 20 messages a minute, code 45009), and the
table of error codes (93000). `news` shows pictures of up to 8 articles (title 128 bytes, description 512 bytes); other
messages are text alone."""

from __future__ import annotations

from typing import Final

from bridge.sinks.answers import CodeReader
from bridge.sinks.chat_cards import ChatCard
from bridge.sinks.chat_services.chat_service import Chat, ChatService, Robot, RobotMessage
from bridge.sinks.splitting import MessageLimit, utf8_bytes

_LINK: Final = "[Open the result]"
_LIMIT: Final = MessageLimit(size=2048, measure=utf8_bytes, lone_url=4096 - len(_LINK) - 2)

_MOST_ARTICLES: Final = 8
_TITLE_BYTES: Final = 128
_BELOW_BYTES: Final = 512


def _write(text: str, chat: Chat) -> RobotMessage:
    if _LIMIT.fits(text):
        return {"msgtype": "text", "text": {"content": text}}
    # A URL too long for a text message: Markdown has twice the room.
    return {"msgtype": "markdown", "markdown": {"content": text if ")" in text else f"{_LINK}({text})"}}


def _write_card(card: ChatCard, chat: Chat) -> RobotMessage | None:
    """An article for each result, with its picture; None without pictures."""
    if not chat.previews or not card.pictures or not 1 <= len(card.links) <= _MOST_ARTICLES:
        return None
    if card.story is not None:
        return None  # an article has one link
    lines = [*card.before, *card.quiet]
    is_one = len(card.links) == 1
    first, below = (card.title, "\n".join(lines)) if is_one else (" · ".join([card.title, *lines]), "")
    if utf8_bytes(first) > _TITLE_BYTES or utf8_bytes(below) > _BELOW_BYTES:
        return None
    pictures = [*card.pictures, *[""] * len(card.links)]
    articles: list[RobotMessage] = []
    for place, (link, picture) in enumerate(zip(card.links, pictures, strict=False)):
        words = {"description": below} if is_one else {}  # shown for a single article only
        articles.append(
            {
                "title": link.label if place else first,
                **words,
                "url": link.url,
                **({"picurl": picture} if picture else {}),
            }
        )
    return {"msgtype": "news", "news": {"articles": articles}}


WECOM: Final = ChatService(
    name="wecom",
    hosts={"qyapi.weixin.qq.com": "WeCom"},
    schemes=frozenset({"wecombot"}),
    read=CodeReader(codes=("errcode",), texts=("errmsg",), waits={45009: 60.0}),
    robot=Robot(limit=_LIMIT, write=_write, write_card=_write_card),
)
