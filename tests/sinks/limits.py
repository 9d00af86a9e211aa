"""The documented limits of chat services, checked in the requests that were really sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import urlsplit


def within_limits(service: str, message: Mapping[str, Any], body: bytes) -> None:
    """Fails if the service would refuse or cut this message."""
    _CHECKS[service](message, body)


def units(text: str) -> int:
    """The number of characters as Telegram and Discord count them."""
    return len(text.encode("utf-16-le")) // 2


def _is_url(text: str) -> bool:
    return urlsplit(text).scheme in {"http", "https"} and bool(urlsplit(text).hostname) and " " not in text


def _feishu(message: Mapping[str, Any], body: bytes) -> None:
    assert len(body) <= 20_000
    if message["msg_type"] == "text":
        assert message["content"]["text"]
        return
    card = message["card"]
    assert card["header"]["title"]["content"]
    assert card["header"]["template"] in {"green", "red", "orange", "blue"}
    assert card["elements"], "a card without elements is refused"
    for element in card["elements"]:
        match element["tag"]:
            case "div":
                assert element["text"]["content"]
            case "action":
                assert 1 <= len(element["actions"]) <= 20
                assert all(_is_url(each["url"]) and each["text"]["content"] for each in element["actions"])
            case "note":
                assert all(each["content"] for each in element["elements"])
            case other:
                raise AssertionError(other)


def _dingtalk(message: Mapping[str, Any], body: bytes) -> None:
    assert len(body) <= 20_000
    if message["msgtype"] == "text":
        assert message["text"]["content"]
        return
    card = message[message["msgtype"]]
    assert card["title"]
    assert card["text"]
    if message["msgtype"] == "actionCard":
        assert ("singleURL" in card) != ("btns" in card)
        urls = [card["singleURL"]] if "singleURL" in card else [each["actionURL"] for each in card["btns"]]
        assert all(map(_is_url, urls))


def _wecom(message: Mapping[str, Any], body: bytes) -> None:
    if message["msgtype"] == "news":
        articles = message["news"]["articles"]
        assert 1 <= len(articles) <= 8
        for each in articles:
            assert 1 <= len(each["title"].encode()) <= 128
            assert len(each.get("description", "").encode()) <= 512
            assert _is_url(each["url"])
        return
    text = message[message["msgtype"]]["content"]
    assert 1 <= len(text.encode()) <= {"text": 2048, "markdown": 4096}[message["msgtype"]]


def _slack(message: Mapping[str, Any], body: bytes) -> None:
    shown = [message.get("text", "")]
    for each in message.get("attachments", []):
        assert re.fullmatch(r"#[0-9A-Fa-f]{6}", each["color"])
        shown += [each.get("title", ""), each.get("text", ""), each.get("fallback", "")]
    assert any(shown)
    for text in shown:
        assert units(text) <= 40_000
        plain = re.sub(r"<https?://[^<>| ]+\|[^<>|]+>", "", text)
        assert not re.search(r"[<>]|&(?!(?:amp|lt|gt);)", plain)


def _discord(message: Mapping[str, Any], body: bytes) -> None:
    assert message.get("content") or message.get("embeds")
    assert units(message.get("content", "")) <= 2000
    embeds = message.get("embeds", [])
    assert len(embeds) <= 10
    assert sum(units(each.get("title", "") + each.get("description", "")) for each in embeds) <= 6000
    for each in embeds:
        assert units(each.get("description", "")) <= 4096
        assert 0 <= each.get("color", 0) <= 0xFFFFFF
        assert _is_url(each["image"]["url"]) if "image" in each else each["description"]


class _TelegramText(HTMLParser):
    """What Telegram shows of a text in its HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.shown = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"b", "a"}, "Telegram refuses other tags"
        if tag == "a":
            assert _is_url(dict(attrs)["href"] or "")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.shown += data


def _shown_by_telegram(text: str) -> str:
    parser = _TelegramText()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser.shown


def _telegram(message: Mapping[str, Any], body: bytes) -> None:
    assert message["chat_id"]
    text = message["text"]
    if message.get("parse_mode") == "HTML":
        text = _shown_by_telegram(text)
    assert 1 <= units(text) <= 4096


def within_telegram_uploads(method: str, fields: Mapping[str, str], files: int) -> None:
    """Fails when Telegram would refuse this upload, or cut its caption."""
    media = json.loads(fields["media"]) if "media" in fields else []
    assert files == (len(media) or 1)
    assert not media or 2 <= len(media) <= 10
    assert len({each["type"] for each in media} - {"photo", "video"}) == 0
    assert method in {"sendMediaGroup", "sendPhoto", "sendVideo", "sendAudio"}
    for caption in (fields.get("caption"), *(each.get("caption") for each in media)):
        if caption:
            assert units(_shown_by_telegram(caption)) <= 1024


_CHECKS: Final = {
    "feishu": _feishu,
    "dingtalk": _dingtalk,
    "wecom": _wecom,
    "slack": _slack,
    "discord": _discord,
    "telegram": _telegram,
}
