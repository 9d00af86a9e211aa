"""Telegram. Sources: its Bot API, "sendMessage" (text up to 4096 characters after parsing), "HTML style",
"LinkPreviewOptions" and "ResponseParameters"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.net.client import Answer
from bridge.sinks.answers import ACCEPTED, Verdict, number, object_of, refusal, retry_after_in, text_in
from bridge.sinks.chat_cards import ChatCard, card_html
from bridge.sinks.chat_services.chat_service import Chat, ChatService, Robot, RobotMessage
from bridge.sinks.splitting import MessageLimit, utf16_units

_LIMIT: Final = MessageLimit(size=4096, measure=utf16_units)


def _write(text: str, chat: Chat) -> RobotMessage:
    return {**_address(chat), "text": text, "link_preview_options": {"is_disabled": not chat.previews}}


def _write_card(card: ChatCard, chat: Chat) -> RobotMessage | None:
    preview: RobotMessage = {"is_disabled": True}
    if chat.previews and card.links:
        preview = {"url": card.links[0].url, "prefer_large_media": True, "show_above_text": True}
    text = card_html(card, line_break="\n")
    if not _LIMIT.fits(text):  # Telegram counts what is shown, which is less
        return None
    return {**_address(chat), "text": text, "parse_mode": "HTML", "link_preview_options": preview}


def _address(chat: Chat) -> RobotMessage:
    digits = chat.chat_id.removeprefix("-")
    is_id = digits.isascii() and digits.isdecimal()
    address: RobotMessage = {"chat_id": int(chat.chat_id) if is_id else chat.chat_id}
    return {**address, "message_thread_id": int(chat.thread_id)} if chat.thread_id else address


def _url(url: str) -> str:
    """The address of `sendMessage`, which the settings may leave out."""
    path, mark, query = url.partition("?")
    path = path.rstrip("/")
    return f"{path if path.endswith('/sendMessage') else f'{path}/sendMessage'}{mark}{query}"


def _read(answer: Answer) -> Verdict:
    """`ok`, or a description with `parameters` that say what to do."""
    found, doubt = object_of(answer)
    if doubt:
        return Verdict(doubt=doubt)
    if found.get("ok") is True:
        return ACCEPTED
    parameters = found.get("parameters")
    moved_to = number(parameters.get("migrate_to_chat_id")) if isinstance(parameters, Mapping) else None
    return Verdict(
        refusal=refusal(number(found.get("error_code")), text_in(found.get("description")), answer),
        wait_s=retry_after_in(found),
        moved_to="" if moved_to is None else str(int(moved_to)),
    )


TELEGRAM: Final = ChatService(
    name="telegram",
    hosts={"api.telegram.org": "Telegram"},
    read=_read,
    robot=Robot(limit=_LIMIT, write=_write, write_card=_write_card, url=_url),
)
