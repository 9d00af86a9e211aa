"""Luma: the vendor's own form, and the aggregator's with its list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.simulator.forms import newapi
from bridge.simulator.forms.form import Batch, Create, Form, Json, Query, Reply, iso, saying, uuid, worded
from bridge.simulator.tasks import Ending, Script, View

_STATE: Final = worded("queued", "dreaming", "completed", "failed")
_GATEWAYS_STATE: Final = worded("pending", "processing", "completed", "failed")
_OWN: Final = "/dream-machine/v1/generations"


def _generation(view: View) -> Json:
    is_image = view.ending is Ending.IMAGES
    return {
        "id": view.task.task_id,
        "generation_type": "image" if is_image else "video",
        "state": _STATE(view),
        "failure_reason": view.message or None,
        "created_at": iso(view.task.born_at),
        "assets": {"video": None, "image": None, "image" if is_image else "video": view.url} if view.is_done else None,
        "model": view.task.wish.get("model", "ray-2"),
        "request": {"prompt": view.task.wish.get("prompt", "")},
    }


def _gateways(view: View) -> Json:
    video = {"url": view.file("watermarked.mp4"), "download_url": view.url} if view.is_done else None
    return {
        "id": view.task.task_id,
        "state": _GATEWAYS_STATE(view),
        "video": video,
        "prompt": view.task.wish.get("user_prompt", ""),
        "failure_reason": view.message or None,
        "created_at": iso(view.task.born_at),
        "estimate_wait_seconds": None,
    }


def _item(view: View) -> Json:
    return {
        "id": 13917,
        "created_at": iso(view.task.born_at),
        "updated_at": iso(view.updated_at),
        "task_id": view.task.task_id,
        "platform": "luma",
        "action": "LUMA_VIDEO",
        **newapi.times(view),
        "data": _gateways(view),
    }


def _many(views: Sequence[View]) -> Json:
    return newapi.good([_item(view) for view in views])


def _script(action: str) -> Script:
    return Script(ending=Ending.IMAGES if action == "image" else Ending.VIDEOS)


FORM: Final = Form(
    name="luma",
    calls=(
        Create(
            paths=(f"{_OWN}/{{action:image|video}}", _OWN, f"/luma{_OWN}/{{action:image|video}}", f"/luma{_OWN}"),
            answer=_generation,
        ),
        Create(paths=("/luma/generations",), answer=_gateways),
        Query(paths=(f"{_OWN}/{{id}}", f"/luma{_OWN}/{{id}}"), answer=_generation),
        Query(paths=("/luma/generations/{id}",), answer=_gateways),
        Batch(paths=("/luma/tasks",), answer=_many),
    ),
    makes=(Ending.VIDEOS, Ending.IMAGES),
    new_id=uuid,
    script=_script,
    unauthorized=Reply(status=401, body={"detail": "Invalid API key provided"}),
    not_found=Reply(status=404, body={"detail": "Generation not found"}),
    limited=Reply(status=429, body={"detail": "Too many requests"}),
    bad_request=saying(400, lambda reason: {"detail": reason}),
)
