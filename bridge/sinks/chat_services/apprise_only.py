"""Services that genbridge reaches only through Apprise. Some of their plugins ignore refusals with HTTP 200."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any, Final

from bridge.net.client import Answer
from bridge.sinks.answers import CodeReader, Verdict, object_of
from bridge.sinks.chat_cards import CardLink, ChatCard, card_html, card_mail
from bridge.sinks.chat_services.chat_service import AppriseFacts, CardForm, ChatService
from bridge.sinks.splitting import apprise_json_bytes, utf8_bytes

_PUSHDEER_CODES: Final = CodeReader(codes=("code",), texts=("error", "message"))


def _read_pushdeer(answer: Answer) -> Verdict:
    """A code, and the number of devices that were reached: none for an unknown key."""
    verdict = _PUSHDEER_CODES(answer)
    content = object_of(answer)[0].get("content")
    if not verdict.refusal and isinstance(content, Mapping) and content.get("result") == []:
        return Verdict(refusal="no device was reached; check the key")
    return verdict


def _prepare_serverchan(plugin: Any, options: Sequence[str]) -> None:
    """ServerChan renders every text as Markdown, which Apprise does not know: it joins the lines of plain text."""
    if "format" not in options:
        plugin.notify_format = "markdown"


SERVERCHAN: Final = ChatService(
    name="serverchan",
    hosts={"sctapi.ftqq.com": "ServerChan"},
    read=CodeReader(codes=("code", "errno"), texts=("message", "info", "errmsg")),
    apprise=AppriseFacts(
        schemes=frozenset({"schan"}),
        url="schan://SENDKEY",
        ignores_refusals=True,
        prepare=_prepare_serverchan,
    ),
)
PUSHDEER: Final = ChatService(
    name="pushdeer",
    hosts={"api2.pushdeer.com": "PushDeer"},
    read=_read_pushdeer,
    apprise=AppriseFacts(schemes=frozenset({"pushdeer", "pushdeers"}), url="pushdeer://PUSHKEY", ignores_refusals=True),
)
BARK: Final = ChatService(
    name="bark",
    hosts={"api.day.app": "Bark"},
    read=CodeReader(codes=("code",), texts=("message",), good=frozenset({0, 200})),
    apprise=AppriseFacts(
        schemes=frozenset({"bark", "barks"}),
        url="barks://api.day.app/DEVICE_KEY",
        ignores_refusals=True,
        measure=utf8_bytes,
        most=3000,  # Apple takes 4096 bytes, with the title and everything else
    ),
)


# "Limitations": a message over 4096 bytes becomes a file that nobody reads on a phone, and a body over 8192 is refused.
NTFY: Final = ChatService(
    name="ntfy",
    apprise=AppriseFacts(
        schemes=frozenset({"ntfy", "ntfys"}),
        measure=lambda text: max(utf8_bytes(text), apprise_json_bytes(text) // 2),
        most=3900,
    ),
)


_MAIL_BYTES: Final = 7_000_000  # 10 MB when encoded
_COVER_BYTES: Final = 300_000


def _files_of_mail(card: ChatCard) -> Sequence[CardLink]:
    """An email never has a video: it has the results if all are images, or else the cover."""
    if _has_only_images(card):
        return card.links
    return [CardLink(label="", url=url, kind="images") for url in card.pictures[:1]]


def _has_only_images(card: ChatCard) -> bool:
    return all(each.kind == "images" for each in card.links)


def _prepare_mail(plugin: Any, options: Sequence[str]) -> None:
    """Name the sender, unless the URL does. Mark the message as automatic, so that no out-of-office reply comes back
    (RFC 3834)."""
    name, address = plugin.from_addr
    plugin.from_addr = (name or plugin.app_id, address)
    plugin.headers.setdefault("Auto-Submitted", "auto-generated")


MAIL: Final = ChatService(
    name="mail",
    apprise=AppriseFacts(
        schemes=frozenset({"mailto", "mailtos"}),
        card=CardForm("html", "{}", card_mail, with_pictures=card_mail),
        prepare=_prepare_mail,
        pause_s=0.5,
        files_of=_files_of_mail,
        file_bytes=lambda card: _MAIL_BYTES if _has_only_images(card) else _COVER_BYTES,
        joins_files=lambda text, files: True,
        file_options=("inline",),
    ),
)


_PLAYS: Final = {"video": "m.video", "audio": "m.audio"}
_NEW_ROOM_ID: Final = 43  # characters of a Matrix room's id since room version 12, which has no ":SERVER"


def _prepare_matrix(plugin: Any, options: Sequence[str]) -> None:
    """Make the plugin send videos and audio as such, send no empty text after files, and send `plain_text` in addition
    to HTML."""
    kind: Any = type(plugin)
    plugin.__class__ = _better_matrix(kind)
    if "hsreq" not in options and any(len(room.lstrip("!")) == _NEW_ROOM_ID for room in plugin.rooms):
        plugin.hsreq = False


@lru_cache
def _better_matrix(base: Any) -> Any:
    # Private methods, because Apprise offers no extension point. tests/sinks/test_matrix.py tests them with a real
    # server.
    class BetterMatrix(base):  # type: ignore[misc]
        plain_text = ""

        def _fetch(self, path: str, payload: Any = None, **options: Any) -> Any:
            if isinstance(payload, Mapping) and "msgtype" in payload:
                if not payload.get("body"):
                    return True, {}, 200
                media_type = str(payload.get("info", {}).get("mimetype", ""))
                if payload["msgtype"] == "m.file":
                    payload = {**payload, "msgtype": _PLAYS.get(media_type.partition("/")[0], "m.file")}
            return super()._fetch(path, payload=payload, **options)

        def _e2ee_send_to_room(self, room_id: str, body: str, *args: Any, **options: Any) -> Any:
            return super()._e2ee_send_to_room(room_id, body, *args, **options) if body else True

        def _matrix_plain_fallback(self, body: str, *args: Any) -> Any:
            return (body and self.plain_text) or super()._matrix_plain_fallback(body, *args)

    return BetterMatrix


MATRIX: Final = ChatService(
    name="matrix",
    apprise=AppriseFacts(
        schemes=frozenset({"matrix", "matrixs"}), card=CardForm("html", "", card_html), prepare=_prepare_matrix
    ),
)


def _prepare_mqtt(plugin: Any, options: Sequence[str]) -> None:
    """Wait for the broker's answer to the login, and for its confirmation of a message. Apprise waits for the first
    never, and for the second only if `qos` is above 0: a message to a broker that hangs would count as accepted."""
    if "qos" not in options:
        plugin.qos = 1
    client, timeout_s = plugin.client, plugin.socket_read_timeout
    answers: SimpleQueue[Any] = SimpleQueue()
    client.on_connect = lambda *said: answers.put(said[3])

    def start_and_log_in() -> None:
        del client.loop_start  # the client's own method from now on
        client.loop_start()
        try:
            answer = answers.get(timeout=timeout_s)
        except Empty:
            why = "the broker did not answer"
        else:
            if not answer.is_failure:
                return
            why = f"the broker refused the login: {answer}"
        client.disconnect()
        client.loop_stop()
        raise ConnectionError(why)

    client.loop_start = start_and_log_in


MQTT: Final = ChatService(
    name="mqtt", apprise=AppriseFacts(schemes=frozenset({"mqtt", "mqtts"}), prepare=_prepare_mqtt)
)
