"""The midjourney-proxy protocol, with and without a speed mode in front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.simulator.forms import newapi
from bridge.simulator.forms.form import BEARER, Batch, Create, Form, Json, Query, Reply, millis, percent, saying, worded
from bridge.simulator.tasks import WORDS, Ending, Script, View

_STATUS: Final = worded("SUBMITTED", "IN_PROGRESS", "SUCCESS", "FAILURE")
_ACTIONS: Final = {Ending.VIDEOS: "VIDEO", Ending.TEXTS: "DESCRIBE"}
_MODE: Final = "{mode:[a-z]+(?:-[a-z]+)*}"


def _task(view: View) -> Json:
    prompt = view.task.wish.get("prompt", "")
    return {
        "id": view.task.task_id,
        "action": _ACTIONS.get(view.ending, "IMAGINE"),
        "prompt": prompt,
        "promptEn": prompt,
        "description": f"/imagine {prompt}",
        "state": view.task.wish.get("state", ""),
        "submitTime": millis(view.task.born_at),
        "startTime": millis(view.begun_at),
        "finishTime": millis(view.ended_at),
        "imageUrl": _image(view),
        "videoUrl": view.url if view.ending is Ending.VIDEOS else "",
        "videoUrls": [{"url": url} for url in view.urls] if view.ending is Ending.VIDEOS else None,
        "status": _STATUS(view),
        "progress": percent(view),
        "failReason": view.message,
        "buttons": None,
        "properties": {"finalPrompt": WORDS} if view.is_done and view.ending is Ending.TEXTS else None,
    }


def _image(view: View) -> str:
    """A preview at first, then one grid."""
    if view.ending is Ending.IMAGES:
        return view.url or (view.file("preview.png") if 0 < view.progress < 1 else "")
    return ""


def _many(views: Sequence[View]) -> Json:
    return [_task(view) for view in views]


def _created(view: View) -> Json:
    return {"code": 1, "description": "Submit success", "result": view.task.task_id, "properties": {}}


def _script(action: str) -> Script:
    kinds = {"video": Ending.VIDEOS, "describe": Ending.TEXTS, "shorten": Ending.TEXTS}
    return Script(ending=kinds.get(action, Ending.IMAGES))


def _paths(path: str) -> tuple[str, ...]:
    return path, f"/{_MODE}{path}"


FORM: Final = Form(
    name="midjourney",
    calls=(
        Create(paths=_paths("/mj/submit/{action:[a-z-]+}"), answer=_created),
        Query(paths=_paths("/mj/task/{id}/fetch"), answer=_task),
        Batch(paths=_paths("/mj/task/list-by-condition"), answer=_many),
    ),
    makes=(Ending.IMAGES, Ending.VIDEOS, Ending.TEXTS),
    new_id=lambda number: f"{number:016d}",
    script=_script,
    keys=(BEARER, ("mj-api-secret", "")),
    unauthorized=newapi.UNAUTHORIZED,
    not_found=Reply(status=400, body={"code": 4, "description": "task_no_found ", "type": "upstream_error"}),
    limited=Reply(status=429, body={"code": 30, "description": "saturated, try again later", "type": "upstream_error"}),
    bad_request=saying(400, lambda reason: {"code": 4, "description": reason, "type": "upstream_error"}),
)
