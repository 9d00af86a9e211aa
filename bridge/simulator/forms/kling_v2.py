"""Kling's new standard: tasks are asked about by their ids, at `/tasks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.simulator.forms.form import Batch, Create, Form, Json, millis, worded
from bridge.simulator.forms.kling import (
    TOO_MANY,
    UNAUTHORIZED,
    UNKNOWN_METHOD,
    UNKNOWN_RESOURCE,
    good,
    invalid,
    request_id,
)
from bridge.simulator.tasks import Ending, Script, View

_STATUS: Final = worded("submitted", "processing", "succeeded", "failed")
_TYPES: Final = {Ending.VIDEOS: "video", Ending.IMAGES: "image", Ending.AUDIOS: "audio"}


def _head(view: View) -> dict[str, Json]:
    return {
        "id": view.task.task_id,
        "status": _STATUS(view),
        "message": view.message,
        "create_time": millis(view.task.born_at),
        "update_time": millis(view.updated_at),
        "external_id": view.task.external_id,
    }


def _outputs(view: View) -> list[Json]:
    if not view.is_done:
        return []
    own = {"type": _TYPES[view.ending], "id": f"{view.task.task_id}01"}
    if view.ending is Ending.AUDIOS:
        mp3, wav = view.urls
        return [{**own, "mp3_url": mp3, "wav_url": wav, "mp3_duration": "3.2", "wav_duration": "3.2"}]
    if view.ending is Ending.VIDEOS:
        return [{**own, "url": view.url, "duration": "5"}]
    return [{"type": "image", "id": f"{view.task.task_id}0{index}", "url": url} for index, url in enumerate(view.urls)]


def _created(view: View) -> Json:
    return good(_head(view))


def _queried(views: Sequence[View]) -> Json:
    return good([_head(view) | {"outputs": _outputs(view)} for view in views])


def _script(action: str) -> Script:
    return Script(ending=Ending.IMAGES if "to-image" in action else Ending.VIDEOS)


FORM: Final = Form(
    name="kling_v2",
    calls=(
        Create(
            paths=("/kling/{action:[a-z]+-to-(?:image|video)}/{model}", "/{action:[a-z]+-to-(?:image|video)}/{model}"),
            answer=_created,
            external="options.external_task_id",
        ),
        Batch(
            method="GET",
            paths=("/kling/tasks", "/tasks"),
            ids=("task_ids", "external_task_ids"),
            answer=_queried,
            none=UNKNOWN_RESOURCE,  # not documented
        ),
    ),
    makes=(Ending.VIDEOS, Ending.IMAGES, Ending.AUDIOS),
    new_id=lambda number: f"913{number:015d}",
    script=_script,
    unauthorized=UNAUTHORIZED,
    not_found=UNKNOWN_RESOURCE,
    unknown_method=UNKNOWN_METHOD,
    limited=TOO_MANY,
    bad_request=invalid,
    stamp=request_id,
)
