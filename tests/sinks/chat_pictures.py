"""Draws how chat services show messages, for `docs/chat.md`.

Each function takes the recorded requests for one event, and returns HTML that shows the messages.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from email import message_from_bytes
from email.policy import default as email_policy
from typing import Any, Final, NamedTuple

from bridge.control.endpoint_sample import sample_picture
from tests.loopback import Asked

ROBOT: Final = "genbridge"
_URL: Final = re.compile(r"https?://[^\s<>]+")

STYLE: Final = """
* { box-sizing: border-box; margin: 0 }
body { width: 860px; padding: 14px; columns: 2; column-gap: 14px;
  font: 14px/1.45 "DejaVu Sans", "Noto Sans CJK SC", sans-serif }
a { color: #1264a3; text-decoration: none }
h3 { font-size: 15px; margin: 4px 0 }
.one { break-inside: avoid; margin-bottom: 14px; display: flex; gap: 10px }
.face { flex: none; width: 34px; height: 34px; border-radius: 50%; background: #3b43c4; color: #fff;
  text-align: center; font-weight: bold; line-height: 34px }
.said { flex: 1; min-width: 0; overflow-wrap: anywhere }
.who { font-size: 12px; opacity: .65; margin-bottom: 2px }
.quiet { color: #777; font-size: 12.5px }
img, .player { display: block; width: 240px; border-radius: 6px; margin: 4px 0 }
.player { position: relative; aspect-ratio: 16/9; background: linear-gradient(#f0a868, #ffe0a0 70%, #3c2a1a 70%) }
.player::after { content: "▶"; position: absolute; inset: 0; margin: auto; width: 44px; height: 44px;
  border-radius: 50%; background: #0009; color: #fff; text-align: center; line-height: 44px }
.audio { border-radius: 20px; background: #8882; padding: 6px 14px; margin: 4px 0 }
.audio::after { content: ""; display: inline-block; width: 60%; height: 4px; margin: 0 0 3px 10px; background: #8886 }
.grid { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; margin: 4px 0 }
.grid img, .bubble > .player { width: 100%; margin: 0 }
.card { background: #fff; border: 1px solid #dee0e3; border-radius: 8px; overflow: hidden }
.card > * { padding: 8px 12px }
.bubble { background: #fff; border-radius: 10px; padding: 8px 12px; margin-bottom: 4px }
.bar { border-left: 4px solid; padding-left: 10px; margin-bottom: 4px }
.button { border: 1px solid #d0d3d9; border-radius: 6px; padding: 4px 10px; color: #1c53c4 }
.telegram { background: #c4d9c0 }
.telegram .face, .mail .face { display: none }
.discord { background: #313338; color: #dbdee1 }
.discord a { color: #00a8fc }
.discord .bar { background: #2b2d31; border-radius: 4px; padding: 8px 12px; margin-top: 4px }
.slack, .matrix { background: #fff }
.slack .face, .matrix .face { border-radius: 8px }
.slack img, .dingtalk img, .matrix img { width: 176px }
.feishu { background: #eff0f2 }
.feishu .card > :first-child { color: #fff; font-weight: bold }
.green { background: #2ea121 }
.red { background: #e0483e }
.orange { background: #d98300 }
.blue { background: #245bdb }
.feishu .button { background: #1456f0; color: #fff; border: 0; display: inline-block; margin: 2px 8px 2px 0 }
.dingtalk { background: #eceff3 }
.dingtalk .button { display: block; text-align: center; margin-top: 6px }
.wecom { background: #ededed }
.wecom .first { position: relative; padding: 0 }
.wecom .first img { width: 100%; margin: 0; border-radius: 0 }
.wecom .first b { position: absolute; inset: auto 0 0; padding: 6px 10px; background: #0008; color: #fff }
.wecom .more { display: flex; justify-content: space-between; align-items: center; border-top: 1px solid #eee }
.wecom .more img { width: 40px; height: 40px; object-fit: cover; margin: 0 }
.mail { background: #e9eaee }
.mail .top { border-bottom: 1px solid #e2e2e8 }
.mail p { margin: 8px 0 }
.mail img { display: inline-block; width: 176px }
"""


class Sent(NamedTuple):
    """What a service got for one event: JSON bodies, whole requests, or emails."""

    bodies: Sequence[Mapping[str, Any]] = ()
    requests: Sequence[Asked] = ()
    mails: Sequence[bytes] = ()


def page(service: str, sent: Iterable[Sent]) -> str:
    """The whole page of one service, with one message below the other."""
    shown = "".join(
        f'<div class="one"><div class="face">g</div><div class="said">{_SHOWN[service](each)}</div></div>'
        for each in sent
    )
    return f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style><body class="{service}">{shown}</body>'


def _who() -> str:
    return f'<div class="who"><b>{ROBOT}</b> 12:28</div>'


def _lines(text: str) -> str:
    """HTML of a text in which each URL is a link, as chats show it."""
    parts = _URL.split(text)
    urls = [f"<a>{html.escape(url)}</a>" for url in _URL.findall(text)]
    mixed = "".join(html.escape(part, quote=False) + link for part, link in zip(parts, [*urls, ""], strict=True))
    return mixed.strip().replace("\n", "<br>")


def _picture(content: bytes, media_type: str = "image/png") -> str:
    if media_type.startswith("video/"):
        return '<div class="player"></div>'
    if media_type.startswith("audio/"):
        return '<div class="audio">▶</div>'
    return f'<img src="data:{media_type};base64,{base64.b64encode(content).decode()}">'


def _at(url: str) -> str:
    """HTML of the sample picture at this URL: a, b, c, d or a cover."""
    name = url.rpartition("/")[2].partition(".")[0]
    return _picture(sample_picture("abcd".find(name) if name in {"a", "b", "c", "d"} else 1))


def form_of(asked: Asked) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """The fields of a request, and its files with their media types."""
    head = asked.headers["content-type"]
    if head.startswith("application/json"):
        return json.loads(asked.body), []
    parts = message_from_bytes(f"content-type: {head}\r\n\r\n".encode() + asked.body, policy=email_policy)
    fields, files = dict[str, str](), []
    for part in parts.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if part.get_filename():
            files.append((_type_of(content), content))
        else:
            fields[str(part.get_param("name", header="content-disposition"))] = content.decode()
    return fields, files


def _type_of(content: bytes) -> str:
    if content.startswith(b"\x89PNG"):
        return "image/png"
    return "video/mp4" if b"ftyp" in content[:16] else "audio/mpeg"


def _telegram(sent: Sent) -> str:
    shown = []
    for asked in sent.requests:
        fields, files = form_of(asked)
        pictures = "".join(_picture(content, media_type) for media_type, content in files)
        if "media" in fields:
            fields = {"caption": json.loads(fields["media"])[0].get("caption", "")}
            pictures = f'<div class="grid">{pictures}</div>'
        text = fields.get("caption") or fields.get("text") or ""
        shown.append(
            f'<div class="bubble">{pictures}{text.strip().replace(chr(13), "").replace(chr(10), "<br>")}</div>'
        )
    return "".join(shown)


def _discord(sent: Sent) -> str:
    [message] = sent.bodies
    text = html.escape(message.get("content", ""), quote=False)
    urls = [url for url in _URL.findall(text) if f"](&lt;{url}" not in text]
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"\[([^]]+)\]\(&lt;(.+?)&gt;\)", r"<a>\1</a>", text)
    text = re.sub(r"(?m)^(https?://\S+)$", r"<a>\1</a>", text).replace("\n", "<br>")
    shown = [_who(), text]
    shown += [_picture(b"", "audio/mpeg" if ".mp3" in url else "video/mp4") for url in urls]
    pictures = [_at(each["image"]["url"]) for each in message.get("embeds", []) if "image" in each]
    shown += [f'<div class="grid">{"".join(pictures)}</div>'] if pictures else []
    for each in message.get("embeds", []):
        if "description" in each:
            shown.append(
                f'<div class="bar" style="border-color:#{each["color"]:06x}">{_lines(each["description"])}</div>'
            )
    return "".join(shown)


def _slack(sent: Sent) -> str:
    [message] = sent.bodies
    shown = [_who()]
    for each in message["attachments"]:
        text = re.sub(r"<([^|>]+)\|([^>]+)>", r"<a>\2</a>", each.get("text", "")).replace("\n", "<br>")
        title = f"<b>{each['title']}</b><br>" if "title" in each else ""
        picture = _at(each["image_url"]) if "image_url" in each else ""
        shown.append(f'<div class="bar" style="border-color:{each["color"]}">{title}{text}{picture}</div>')
    return "".join(shown)


def _feishu(sent: Sent) -> str:
    [message] = sent.bodies
    card = message["card"]
    head = card["header"]
    shown = [f'<div class="{head["template"]}">{_lines(head["title"]["content"])}</div>']
    for element in card["elements"]:
        if element["tag"] == "div":
            shown.append(f"<div>{_lines(element['text']['content'])}</div>")
        elif element["tag"] == "action":
            buttons = [f'<span class="button">{_lines(each["text"]["content"])}</span>' for each in element["actions"]]
            shown.append(f"<div>{''.join(buttons)}</div>")
        else:
            shown.append(f'<div class="quiet">{_lines(element["elements"][0]["content"])}</div>')
    return f'{_who()}<div class="card">{"".join(shown)}</div>'


def _dingtalk(sent: Sent) -> str:
    [message] = sent.bodies
    card = message[message["msgtype"]]
    text = re.sub(r"!\[\]\(([^)]+)\)", lambda found: _at(found[1]), card["text"])
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"<a>\1</a>", text)
    text = re.sub(r"(?m)^### (.*)$", r"<h3>\1</h3>", text)
    text = "".join(f"<div>{part}</div>" for part in text.replace("  \n", "<br>").split("\n\n"))
    buttons = [each["title"] for each in card.get("btns", [])] or [card[key] for key in card if key == "singleTitle"]
    below = "".join(f'<span class="button">{html.escape(each)}</span>' for each in buttons)
    return f'{_who()}<div class="card"><div>{text}{below}</div></div>'


def _wecom(sent: Sent) -> str:
    [message] = sent.bodies
    if message["msgtype"] != "news":
        return f'{_who()}<div class="bubble">{_lines(message[message["msgtype"]]["content"])}</div>'
    first, *more = message["news"]["articles"]
    rows = [f'<div class="first">{_at(first["picurl"])}<b>{_lines(first["title"])}</b></div>']
    if not more:
        rows.append(f'<div class="quiet">{_lines(first.get("description", ""))}</div>')
    rows += [
        f'<div class="more">{_lines(each["title"])}{_at(each["picurl"]) if "picurl" in each else ""}</div>'
        for each in more
    ]
    return f'{_who()}<div class="card">{"".join(rows)}</div>'


def _mail(sent: Sent) -> str:
    mail = message_from_bytes(sent.mails[0], policy=email_policy)
    body = mail.get_body(("html",))
    assert body is not None
    text = body.get_content()
    for part in mail.walk():
        if part["content-id"]:
            name = part["content-id"].strip("<>")
            data = base64.b64encode(part.get_content()).decode()
            text = text.replace(f"cid:{name}", f"data:{part.get_content_type()};base64,{data}")
    text = re.sub(r'width="\d+"', "", text)  # the page is not as wide
    sender = f'<div class="quiet">{html.escape(mail["from"])}</div>'
    return (
        f'<div class="card"><div class="top"><b>{html.escape(mail["subject"])}</b>{sender}</div><div>{text}</div></div>'
    )


def _matrix(sent: Sent) -> str:
    uploads = [(asked.headers["content-type"], asked.body) for asked in sent.requests if "/upload" in asked.target]
    shown = [_who()]
    for asked in sent.requests:
        message = json.loads(asked.body) if "/send/m.room.message/" in asked.target else {}
        if message.get("msgtype") == "m.text":
            shown.append(f"<div>{message['formatted_body']}</div>")
        elif message:
            media_type, content = uploads[int(message["url"].rpartition("/")[2])]
            shown.append(_picture(content, media_type))
    return "".join(shown)


_SHOWN: Final[Mapping[str, Callable[[Sent], str]]] = {
    "telegram": _telegram,
    "discord": _discord,
    "slack": _slack,
    "feishu": _feishu,
    "dingtalk": _dingtalk,
    "wecom": _wecom,
    "mail": _mail,
    "matrix": _matrix,
}
