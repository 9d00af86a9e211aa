"""The aggregator's digital human. A failure is never told: what its status numbers mean is documented nowhere."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms import newapi
from bridge.simulator.forms.form import Create, Form, Json, Query, seconds
from bridge.simulator.tasks import Ending, View


def _work(view: View) -> Json:
    return {
        "id": view.task.task_id,
        "ext": {},
        "file_type": "mp4",
        "work_name": "simulated",
        "animate_id": "simulated",
        "create_time": seconds(view.task.born_at),
        "user_image_url": view.task.wish.get("avatar_url", ""),
        "work_webp_path": view.file("cover.png") if view.is_done else "",
        "web_work_status": 2 if view.is_done else 1,
        "work_video_path": view.url,
    }


FORM: Final = Form(
    name="avatar",
    calls=(
        Create(paths=("/avatar/generation",), answer=_work),
        Query(paths=("/avatar/task/{id}",), answer=_work),
    ),
    makes=(Ending.VIDEOS,),
    fails=False,
    new_id=lambda number: f"av-{number}",
    unauthorized=newapi.UNAUTHORIZED,
    not_found=newapi.NOT_FOUND,
    limited=newapi.TOO_MANY,
    bad_request=newapi.invalid,
)
