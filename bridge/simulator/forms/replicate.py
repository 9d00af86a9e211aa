"""Replicate's predictions, direct and below an aggregator's `/replicate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.simulator.forms.form import BEARER, TOKEN, Create, Fixed, Form, Json, Query, Reply, iso, saying, worded
from bridge.simulator.tasks import WORDS, Ending, View

_STATUS: Final = worded("starting", "processing", "succeeded", "failed")
_STEPS: Final = 50


def _prediction(view: View) -> Json:
    wish = view.task.wish
    own = f"{view.base_url}/v1/predictions/{view.task.task_id}"
    return {
        "id": view.task.task_id,
        "model": view.task.action or "simulated/model",
        "version": wish.get("version") or "simulated",
        "input": wish.get("input") or {},
        "logs": _logs(view),
        "output": _output(view),
        "data_removed": False,
        "error": view.message or None,
        "status": _STATUS(view),
        "created_at": iso(view.task.born_at),
        "started_at": iso(view.begun_at),
        "completed_at": iso(view.ended_at),
        "urls": {"get": own, "cancel": f"{own}/cancel"},
        "metrics": {"predict_time": view.task.script.lasts_s - view.task.script.waits_s} if view.is_done else {},
    }


def _version(places: Mapping[str, str]) -> Json:
    """What the official client looks up before it runs OWNER/NAME:VERSION: whether outputs come piece by piece."""
    schema = {"components": {"schemas": {"Output": {"title": "Output"}}}}
    created_at = "2025-01-01T00:00:00.000Z"
    return {"id": places["version"], "created_at": created_at, "cog_version": "0.9", "openapi_schema": schema}


def _output(view: View) -> Json:
    if not view.is_done:
        return None
    if view.ending is Ending.TEXTS:
        return [f"{word} " for word in WORDS.split()]
    return view.urls if view.ending is Ending.IMAGES else view.url


def _logs(view: View) -> str:
    """A line of progress as models print it."""
    if view.begun_at is None:
        return ""
    step = int(view.progress * _STEPS)
    bar = "█" * (step // 5)
    return f"Using seed: 1\n{view.progress:4.0%}|{bar:<10}| {step}/{_STEPS} [00:{step // 10:02d}<00:01,  6.9it/s]"


def _titled(status: int, title: str, detail: str) -> Reply:
    return Reply(status=status, body={"title": title, "detail": detail, "status": status})


def _below(path: str) -> tuple[str, ...]:
    return f"/replicate{path}", path


FORM: Final = Form(
    name="replicate",
    calls=(
        Create(
            paths=(
                *_below("/v1/predictions"),
                *_below("/v1/models/{action:[^/]+/[^/]+}/predictions"),
                *_below("/v1/deployments/{action:[^/]+/[^/]+}/predictions"),
            ),
            answer=_prediction,
        ),
        Query(paths=_below("/v1/predictions/{id}"), answer=_prediction),
        Fixed(paths=_below("/v1/models/{model:[^/]+/[^/]+}/versions/{version}"), answer=_version),
    ),
    makes=(Ending.IMAGES, Ending.VIDEOS, Ending.AUDIOS, Ending.TEXTS),
    new_id=lambda number: f"simulated{number:017d}",
    keys=(BEARER, TOKEN),
    unauthorized=_titled(401, "Unauthenticated", "You did not pass a valid authentication token"),
    not_found=_titled(404, "Not found", "The requested resource could not be found."),
    limited=Reply(status=429, body={"detail": "Request was throttled. Your rate limit resets in ~1s."}),
    bad_request=saying(422, lambda reason: {"title": "Input validation failed", "detail": reason, "status": 422}),
)
