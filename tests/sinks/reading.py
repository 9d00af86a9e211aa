"""The visible text of a group robot's message, as plain lines with whole URLs."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any


def text_of(form: str, message: Mapping[str, Any]) -> str:
    """The visible text of one message of this service; a named link is shown as its URL."""
    return "\n".join(line.replace("\r", "") for line in _READERS[form](message) if line)


def _feishu(message: Mapping[str, Any]) -> list[str]:
    if "card" not in message:
        return [str(message["content"]["text"])]
    lines = [message["card"]["header"]["title"]["content"]]
    for element in message["card"]["elements"]:
        match element["tag"]:
            case "div":
                lines.append(element["text"]["content"])
            case "action":
                lines += [button["url"] for button in element["actions"]]
            case "note":
                lines += [part["content"] for part in element["elements"]]
    return lines


def _dingtalk(message: Mapping[str, Any]) -> list[str]:
    if message["msgtype"] == "text":
        return [str(message["text"]["content"])]
    card = message[message["msgtype"]]
    shown = re.sub(r"</?font[^>]*>|^### |!\[\]\([^)]*\)", "", card["text"].strip(), flags=re.MULTILINE)
    title, *rest = [line.strip() for line in shown.splitlines() if line.strip()]
    urls = [card["singleURL"]] if "singleURL" in card else [button["actionURL"] for button in card.get("btns", [])]
    assert title == card["title"]
    return [title, *urls, *rest]


def _wecom(message: Mapping[str, Any]) -> list[str]:
    if message["msgtype"] != "news":
        return [str(message[message["msgtype"]]["content"])]
    articles = message["news"]["articles"]
    return [articles[0]["title"], *(each["url"] for each in articles), articles[0].get("description", "")]


def _slack(message: Mapping[str, Any]) -> list[str]:
    if "text" in message:
        return [html.unescape(message["text"])]
    shown = message["attachments"][0]
    lines = re.sub(r"<([^|>]*)\|[^>]*>(?: · )?", r"\1\n", shown["text"]).split("\n")
    return [html.unescape(line) for line in (shown["title"], *lines)]


def _discord(message: Mapping[str, Any]) -> list[str]:
    embeds = [embed["description"] for embed in message.get("embeds", []) if "description" in embed]
    text = re.sub(r"\[[^]]*\]\(<([^>]*)>\)(?: · )?", r"\1\n", message.get("content", "").replace("\r", ""))
    return [re.sub(r"^\*\*(.*)\*\*$", r"\1", text, count=1, flags=re.MULTILINE), *embeds]


def _telegram(message: Mapping[str, Any]) -> list[str]:
    if message.get("parse_mode") != "HTML":
        return [str(message["text"])]
    text = re.sub(r'<a href="([^"]*)">[^<]*</a>(?: · )?', r"\1\n", message["text"])
    return html.unescape(re.sub(r"</?b>", "", text)).split("\n")


_READERS = {
    "feishu": _feishu,
    "dingtalk": _dingtalk,
    "wecom": _wecom,
    "slack": _slack,
    "discord": _discord,
    "telegram": _telegram,
}
