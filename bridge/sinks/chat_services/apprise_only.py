"""Services that genbridge reaches only through Apprise. Their plugins ignore refusals with HTTP 200."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.net.client import Answer
from bridge.sinks.answers import CodeReader, Verdict, object_of
from bridge.sinks.chat_services.chat_service import ChatService

_PUSHDEER_CODES: Final = CodeReader(codes=("code",), texts=("error", "message"))


def _read_pushdeer(answer: Answer) -> Verdict:
    """A code, and the number of devices that were reached: none for an unknown key."""
    verdict = _PUSHDEER_CODES(answer)
    content = object_of(answer)[0].get("content")
    if not verdict.refusal and isinstance(content, Mapping) and content.get("result") == []:
        return Verdict(refusal="no device was reached; check the key")
    return verdict


SERVERCHAN: Final = ChatService(
    name="serverchan",
    hosts={"sctapi.ftqq.com": "ServerChan"},
    schemes=frozenset({"schan"}),
    read=CodeReader(codes=("code", "errno"), texts=("message", "info", "errmsg")),
    apprise_url="schan://SENDKEY",
)
PUSHDEER: Final = ChatService(
    name="pushdeer",
    hosts={"api2.pushdeer.com": "PushDeer"},
    schemes=frozenset({"pushdeer", "pushdeers"}),
    read=_read_pushdeer,
    apprise_url="pushdeer://PUSHKEY",
)
BARK: Final = ChatService(
    name="bark",
    hosts={"api.day.app": "Bark"},
    schemes=frozenset({"bark", "barks"}),
    read=CodeReader(codes=("code",), texts=("message",), good=frozenset({0, 200})),
    apprise_url="barks://api.day.app/DEVICE_KEY",
)
