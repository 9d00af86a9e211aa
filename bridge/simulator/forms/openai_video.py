"""OpenAI's videos. There is no address of the result: its bytes come from `/content`, with the key."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms.form import Content, Create, Form, Json, Query, Reply, saying, seconds, worded
from bridge.simulator.tasks import Ending, Stage, View

LIVES_S: Final = 3600
_STATUS: Final = worded("queued", "in_progress", "completed", "failed")


def _error(reason: str, kind: str = "invalid_request_error") -> Json:
    return {"error": {"message": reason, "type": kind, "param": None, "code": None}}


def _video(view: View) -> Json:
    wish = view.task.wish
    told = {
        "id": view.task.task_id,
        "object": "video",
        "model": wish.get("model", "sora-2"),
        "status": _STATUS(view),
        "progress": int(view.progress * 100) if view.stage is not Stage.FAILED else 0,
        "created_at": seconds(view.task.born_at),
        "seconds": str(wish.get("seconds", "8")),
        "size": wish.get("size", "1280x720"),
        "error": {"code": "moderation_blocked", "message": view.message} if view.message else None,
    }
    if view.is_done:
        told |= {"completed_at": seconds(view.ended_at), "expires_at": seconds(view.ended_at) + LIVES_S}
    return told


FORM: Final = Form(
    name="openai_video",
    calls=(
        Create(paths=("/v1/videos",), answer=_video),
        Content(paths=("/v1/videos/{id}/content",)),
        Query(paths=("/v1/videos/{id}",), answer=_video),
    ),
    makes=(Ending.VIDEOS,),
    new_id=lambda number: f"video_simulated{number:017d}",
    unauthorized=Reply(status=401, body=_error("Incorrect API key provided")),
    not_found=Reply(status=404, body=_error("Video not found.")),
    limited=Reply(status=429, body=_error("Rate limit reached", "rate_limit_error")),
    bad_request=saying(400, _error),
)
