"""Suno's old list of clips; an id here is a clip's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.simulator.forms import newapi
from bridge.simulator.forms.form import Batch, Form, Json, iso, uuid, worded
from bridge.simulator.forms.suno import clips
from bridge.simulator.tasks import Ending, View

_STATUS: Final = worded("queued", "streaming", "complete", "error")


def _clip(view: View) -> Json:
    told = {"id": view.task.task_id, "status": _STATUS(view), "created_at": iso(view.task.born_at)}
    first: dict[str, Json] = next(iter(clips(view)), {"metadata": {}})
    return {**first, **told, "metadata": {**first["metadata"], "error_message": view.message or None}}


def _many(views: Sequence[View]) -> Json:
    return [_clip(view) for view in views]


FORM: Final = Form(
    name="suno_feed",
    calls=(
        Batch(method="GET", paths=("/suno/v1/feed/{ids}", "/suno/feed/{ids}"), answer=_many, none=newapi.NOT_FOUND),
    ),
    makes=(Ending.AUDIOS,),
    new_id=uuid,
    unauthorized=newapi.UNAUTHORIZED,
    not_found=newapi.NOT_FOUND,
    limited=newapi.TOO_MANY,
    bad_request=newapi.invalid,
)
