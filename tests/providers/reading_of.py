"""Functions that read an answer in tests."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from bridge.domain.task import Json, Reading
from bridge.net.client import Answer
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.reading import read
from bridge.providers.results import PollContext

TASK_ID = "857000000000000001"
ACTION = "videos/text2video"
OP = "models/veo-3/operations/x"


def answered(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """The whole answer of a provider."""
    return Answer(
        status=status,
        headers=headers or {},
        body=body,
        complete=True,
        trouble="",
        is_over_cap=False,
    )


def reading_of(
    body: Json,
    *,
    provider: str = "kling",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    task_id: str = TASK_ID,
    action: str | None = ACTION,
    own_host: str = "api.example.com",
    second: Json = None,
) -> Reading:
    """How a description reads this body. Bytes are used unchanged, and anything else as JSON."""
    asked = PollContext(task_id=task_id, action=action, base_url=f"https://{own_host}")
    then = None if second is None else answered(_raw(second))
    return read(BUILT_IN[provider], answered(_raw(body), status=status, headers=headers), asked, second=then)


def _raw(body: Json) -> bytes:
    return body if isinstance(body, bytes) else orjson.dumps(body)


def kling(task_status: str = "succeed", *, code: Json = 0, **fields: Json) -> Json:
    """An answer in the documented form."""
    return {"code": code, "message": "SUCCEED", "data": {"task_id": TASK_ID, "task_status": task_status, **fields}}


def videos(*urls: Json) -> Json:
    """The documented answer of success with these videos."""
    return kling(task_result={"videos": [{"id": str(at), "url": url} for at, url in enumerate(urls)]})


def newapi(status: str = "SUCCESS", **fields: Json) -> Json:
    """new-api's TaskDto answer."""
    return {"code": "success", "message": "", "data": {"task_id": TASK_ID, "status": status, **fields}}


def veo(**response: Json) -> Json:
    """The answer for the finished operation `OP`."""
    return {"name": OP, "done": True, "response": response}
