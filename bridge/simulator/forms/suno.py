"""Suno through the aggregator: music and lyrics, one by one and together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.simulator.forms import newapi
from bridge.simulator.forms.form import Batch, Create, Form, Json, Query, uuid
from bridge.simulator.tasks import WORDS, Ending, Script, Stage, View

CLIPS: Final = 2


def clips(view: View) -> list[Json]:
    """The songs; while they are being made their addresses are of live streams."""
    if view.stage in {Stage.WAITING, Stage.FAILED}:
        return []
    return [_clip(view, number) for number in range(CLIPS)]


def _clip(view: View, number: int) -> Json:
    stem = f"clip-{number}"
    return {
        "id": f"{view.task.task_id}-{number}",
        "title": view.task.wish.get("title", "Simulated Song"),
        "status": "complete" if view.is_done else "streaming",
        "metadata": {
            "tags": view.task.wish.get("tags", "pop"),
            "prompt": view.task.wish.get("prompt", ""),
            "duration": 121.5 if view.is_done else None,
            "error_message": None,
        },
        "audio_url": view.file(f"{stem}.mp3"),
        "video_url": view.file(f"{stem}.mp4") if view.is_done else "",
        "image_url": view.file(f"{stem}.png"),
        "image_large_url": view.file(f"{stem}-large.png"),
        "model_name": "chirp-simulated",
    }


def _task(view: View) -> Json:
    is_text = view.ending is Ending.TEXTS
    return {
        "task_id": view.task.task_id,
        "notify_hook": view.task.wish.get("notify_hook", ""),
        "action": "LYRICS" if is_text else "MUSIC",
        **newapi.times(view),
        "data": _lyrics(view) if is_text else clips(view),
    }


def _lyrics(view: View) -> Json:
    if not view.is_done:
        return None
    return {"id": view.task.task_id, "text": f"[Verse]\n{WORDS}", "title": "Simulated", "status": "complete"}


def _created(view: View) -> Json:
    return newapi.good(view.task.task_id)


def _one(view: View) -> Json:
    return newapi.good(_task(view))


def _many(views: Sequence[View]) -> Json:
    return newapi.good([_task(view) for view in views] or None)


def _script(action: str) -> Script:
    return Script(ending=Ending.TEXTS if action.lower() == "lyrics" else Ending.AUDIOS)


FORM: Final = Form(
    name="suno",
    calls=(
        Create(paths=("/suno/submit/{action:(?!fetch$)[a-z-]+}",), answer=_created),
        Query(paths=("/suno/fetch/{id}",), answer=_one),
        Batch(paths=("/suno/fetch", "/suno/submit/fetch"), answer=_many),
    ),
    makes=(Ending.AUDIOS, Ending.TEXTS),
    new_id=uuid,
    script=_script,
    unauthorized=newapi.UNAUTHORIZED,
    not_found=newapi.NOT_FOUND,
    limited=newapi.TOO_MANY,
    bad_request=newapi.invalid,
)
