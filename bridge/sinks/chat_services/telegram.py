"""Telegram.

Sources: its Bot API, "sendMessage" (text up to 4096 characters after parsing), "HTML style", "LinkPreviewOptions",
"ResponseParameters", "sendPhoto" (10 MB), "sendVideo", "sendAudio" and "sendDocument" (50 MB, captions up to 1024
characters after parsing), and "sendMediaGroup" (2 to 10 files; audio files only with audio files, documents only with
documents).
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Final

from bridge.encoding import encode
from bridge.net.client import Answer
from bridge.sinks.answers import ACCEPTED, Verdict, number, object_of, refusal, retry_after_in, text_in
from bridge.sinks.attached_files import ResultFile
from bridge.sinks.chat_cards import ChatCard, card_html
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

_LIMIT: Final = MessageLimit(size=4096, measure=utf16_units)

_CAPTION: Final = 1024  # visible characters
_FILE_BYTES: Final = 50_000_000
_PHOTO_BYTES: Final = 10_000_000
_PHOTOS: Final = frozenset({"image/jpeg", "image/png", "image/webp"})
_KINDS: Final = {"video/mp4": "video", "audio/mpeg": "audio", "audio/mp4": "audio", "audio/x-m4a": "audio"}
_METHODS: Final = {"photo": "sendPhoto", "video": "sendVideo", "audio": "sendAudio", "document": "sendDocument"}


def _write(text: str, chat: Chat) -> RobotMessage:
    return {**_address(chat), "text": text, "link_preview_options": {"is_disabled": not chat.previews}}


def _write_card(card: ChatCard, chat: Chat) -> RobotMessage | None:
    preview: RobotMessage = {"is_disabled": True}
    if chat.previews and card.links:
        first, *_ = card.pictures if card.links[0].kind == "files" and card.pictures else [card.links[0].url]
        preview = {"url": first, "prefer_large_media": True, "show_above_text": True}
    text = card_html(card, line_break="\n")
    if not _LIMIT.fits(text):  # Telegram counts only visible characters, which are fewer
        return None
    return {**_address(chat), "text": text, "parse_mode": "HTML", "link_preview_options": preview}


def _write_form(card: ChatCard, chat: Chat, files: Sequence[ResultFile]) -> FileForm | None:
    """The files with the text as their caption. None if the text is too long, or if the files do not fit into one
    message."""
    caption = card_html(card, line_break="\n")
    if utf16_units(html.unescape(re.sub(r"<[^>]*>", "", caption))) > _CAPTION:
        return None
    kinds = [_kind(each) for each in files]
    if len(files) > 1 and not (set(kinds) <= {"photo", "video"} or len(set(kinds)) == 1):
        return None
    return _form(chat, files, {"caption": caption, "parse_mode": "HTML"})


def _form(chat: Chat, files: Sequence[ResultFile], said: Mapping[str, str]) -> FileForm:
    address = {name: str(value) for name, value in _address(chat).items()}
    if len(files) == 1:
        kind = _kind(files[0])
        return FileForm({**address, **said}, {kind: files[0]}, _METHODS[kind])
    media = [
        {"type": _kind(each), "media": f"attach://file{place}", **(said if not place else {})}
        for place, each in enumerate(files)
    ]
    named = {f"file{place}": each for place, each in enumerate(files)}
    return FileForm({**address, "media": encode(media).decode()}, named, "sendMediaGroup")


def _kind(file: ResultFile) -> str:
    if file.media_type in _PHOTOS and len(file.content) <= _PHOTO_BYTES:
        return "photo"
    return _KINDS.get(file.media_type, "document")


def _address(chat: Chat) -> RobotMessage:
    digits = chat.chat_id.removeprefix("-")
    is_id = digits.isascii() and digits.isdecimal()
    address: RobotMessage = {"chat_id": int(chat.chat_id) if is_id else chat.chat_id}
    return {**address, "message_thread_id": int(chat.thread_id)} if chat.thread_id else address


def _url(url: str) -> str:
    """The URL of `sendMessage`; the settings may leave the method out."""
    path, mark, query = url.partition("?")
    path = path.rstrip("/")
    return f"{path if path.endswith('/sendMessage') else f'{path}/sendMessage'}{mark}{query}"


def _read(answer: Answer) -> Verdict:
    """The answer has `ok`, or a description with `parameters` that say what to do."""
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


def _apprise_joins_files(text: str, files: Sequence[ResultFile]) -> bool:
    """Whether all fit into one request, a single file or an album, with the text as its caption."""
    types = {each.media_type.partition("/")[0] for each in files}
    return (len(files) == 1 or types <= {"image", "video"}) and utf16_units(text) < _CAPTION


TELEGRAM: Final = ChatService(
    name="telegram",
    hosts={"api.telegram.org": "Telegram"},
    read=_read,
    robot=Robot(
        limit=_LIMIT,
        write=_write,
        write_card=_write_card,
        url=_url,
        probe_url=lambda url: f"{url.rstrip('/').removesuffix('/sendMessage')}/getMe",
        file_bytes=_FILE_BYTES,
        write_form=_write_form,
        later_files=lambda chat, files: [_form(chat, [each], {}) for each in files],
    ),
    apprise=AppriseFacts(
        schemes=frozenset({"tgram"}),
        measure=utf16_units,
        card=CardForm("html", "", card_html),
        file_bytes=lambda card: _PHOTO_BYTES if any(each.kind == "images" for each in card.links) else _FILE_BYTES,
        joins_files=_apprise_joins_files,
        file_options=("album",),  # otherwise each picture is a separate request
    ),
)
