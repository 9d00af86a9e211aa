"""Imitated group robot services: their answers, and the requests that they got."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bridge.domain.delivery import Outcome
from tests.sinks.posting import deliver, robot_at
from tests.sinks.receivers import HttpReceiver, answer, http_receiver

OK: Final[Mapping[str, bytes]] = {
    "feishu": b'{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}',
    "dingtalk": b'{"errcode":0,"errmsg":"ok"}',
    "wecom": b'{"errcode":0,"errmsg":"ok"}',
    "slack": b"ok",
    "discord": b"",
    "telegram": b'{"ok":true,"result":{"message_id":7}}',
}


def taken(form: str) -> bytes:
    """The answer with which the service accepts a message."""
    return answer(204 if form == "discord" else 200, OK[form])


def said(body: object, *, status: int = 200, **headers: str) -> bytes:
    return answer(status, json.dumps(body).encode(), **headers)


def sent(receiver: HttpReceiver) -> list[dict[str, Any]]:
    """The JSON bodies that came in."""
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in receiver.requests]


def target(request: bytes) -> str:
    return request.split(b" ", 2)[1].decode()


async def outcome_of(form: str, *answers: bytes, secret: str | None = None) -> Outcome:
    async with http_receiver(*answers) as receiver, robot_at(receiver.url, form, secret=secret) as sink:
        return await deliver(sink)
