"""Vidu, direct (`Token` key) and through aggregators (`Bearer`)."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms.form import BEARER, TOKEN, Create, Form, Json, Query, Reply, iso, saying, worded
from bridge.simulator.tasks import Ending, Stage, View

_STATE: Final = worded("queueing", "processing", "success", "failed")


def _created(view: View) -> Json:
    wish = view.task.wish
    return {
        "task_id": view.task.task_id,
        "state": "created",
        "model": wish.get("model", "viduq2"),
        "prompt": wish.get("prompt", ""),
        "payload": wish.get("payload", ""),
        "credits": 4,
        "created_at": iso(view.task.born_at),
    }


def _task(view: View) -> Json:
    told = {
        "id": view.task.task_id,
        "state": _STATE(view),
        "err_code": view.message,
        "credits": 4,
        "payload": view.task.wish.get("payload", ""),
        "creations": _creations(view),
    }
    return {**told, "progress": int(view.progress * 100)} if view.stage is Stage.WORKING else told


def _creations(view: View) -> list[Json]:
    own = {"cover_url": view.file("cover.png"), "watermarked_url": view.file("watermarked.mp4")}
    return [{"id": f"c{number}", "url": url, **own} for number, url in enumerate(view.urls, 1)]


def _error(code: int, reason: str, message: str) -> Json:
    return {"code": code, "reason": reason, "message": message, "metadata": {}}


def _below(path: str) -> tuple[str, ...]:
    return path, f"/vidu{path}"


FORM: Final = Form(
    name="vidu",
    calls=(
        Create(paths=_below("/ent/v2/{action:[a-z0-9-]+}"), answer=_created),
        Query(paths=_below("/ent/v2/tasks/{id}/creations"), answer=_task),
    ),
    makes=(Ending.VIDEOS,),
    new_id=lambda number: f"{number:018d}",
    keys=(BEARER, TOKEN),
    unauthorized=Reply(status=401, body=_error(401, "Unauthorized", "invalid api key")),
    not_found=Reply(status=404, body=_error(404, "TaskNotFound", "task not found")),
    limited=Reply(status=429, body=_error(429, "QuotaExceeded", "too many requests")),
    bad_request=saying(400, lambda reason: _error(400, "FieldInvalid", reason)),
)
