"""WeCom.

Sources: page 91770 (text up to 2048 bytes, Markdown up to 4096; 20 messages a minute, code 45009), and the table of
error codes (93000). `news` shows pictures of up to 8 articles (title 128 bytes, description 512 bytes); other messages
are text only. `image` holds a JPG or PNG of up to 2 MB in base64. `upload_media` takes a file of 6 bytes to 20 MB and
returns its `media_id`, for a message of type `file`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import Final

from bridge.net.client import Answer
from bridge.sinks.answers import CodeReader, Verdict, object_of, text_in
from bridge.sinks.attached_files import ResultFile
from bridge.sinks.chat_cards import ChatCard
from bridge.sinks.chat_services.chat_service import (
    AppriseFacts,
    Chat,
    ChatService,
    FileForm,
    Robot,
    RobotMessage,
)
from bridge.sinks.splitting import MessageLimit, utf8_bytes

_LINK: Final = "[Open the result]"
_LIMIT: Final = MessageLimit(size=2048, measure=utf8_bytes, lone_url=4096 - len(_LINK) - 2)

_MOST_ARTICLES: Final = 8
_PICTURE_BYTES: Final = 2_000_000
_LEAST_BYTES: Final = 6
_UPLOAD: Final = "upload_media?type=file"
_TITLE_BYTES: Final = 128
_BELOW_BYTES: Final = 512


def _write(text: str, chat: Chat) -> RobotMessage:
    if _LIMIT.fits(text):
        return {"msgtype": "text", "text": {"content": text}}
    # A URL can be too long for a text message: Markdown may be twice as long.
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
        words = {"description": below} if is_one else {}  # a service shows it only for a single article
        articles.append(
            {
                "title": link.label if place else first,
                **words,
                "url": link.url,
                **({"picurl": picture} if picture else {}),
            }
        )
    return {"msgtype": "news", "news": {"articles": articles}}


def _later(file: ResultFile) -> RobotMessage | FileForm:
    """A picture is sent in the message itself; any other file is uploaded first."""
    if file.media_type in {"image/jpeg", "image/png"} and len(file.content) <= _PICTURE_BYTES:
        content = base64.b64encode(file.content).decode()
        digest = hashlib.md5(file.content, usedforsecurity=False).hexdigest()
        return {"msgtype": "image", "image": {"base64": content, "md5": digest}}
    return FileForm(
        {}, {"media": file}, _UPLOAD, then=lambda media_id: {"msgtype": "file", "file": {"media_id": media_id}}
    )


def _read(answer: Answer) -> Verdict:
    """The answer has a code; after an upload also the id of the file."""
    verdict = _CODES(answer)
    found, _ = object_of(answer)
    return replace(verdict, media_id=text_in(found.get("media_id")) or "")


_CODES: Final = CodeReader(codes=("errcode",), texts=("errmsg",), waits={45009: 60.0})

WECOM: Final = ChatService(
    name="wecom",
    hosts={"qyapi.weixin.qq.com": "WeCom"},
    read=_read,
    robot=Robot(
        limit=_LIMIT,
        write=_write,
        write_card=_write_card,
        file_bytes=20_000_000,
        later_files=lambda chat, files: [_later(each) for each in files if len(each.content) >= _LEAST_BYTES],
    ),
    apprise=AppriseFacts(schemes=frozenset({"wecombot"}), ignores_refusals=True, measure=utf8_bytes, pause_s=3.0),
)
