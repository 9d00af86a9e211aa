"""Veo of the Gemini API: a long-running operation, whose name is the id. Its last part follows the grammar of ids."""

from __future__ import annotations

from typing import Final

from bridge.simulator.forms.form import BEARER, Create, Form, Json, Query, Reply, iso, saying
from bridge.simulator.tasks import Ending, Stage, View

_OPERATIONS: Final = "models/simulated/operations/"
_ANSWER: Final = "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"


def _created(view: View) -> Json:
    return {"name": view.task.task_id}


def _operation(view: View) -> Json:
    told = {"name": view.task.task_id, "metadata": {"createTime": iso(view.task.born_at)}}
    match view.stage:
        case Stage.FAILED:
            return {**told, "done": True, "error": {"code": 3, "message": view.message}}
        case Stage.DONE:
            samples = [{"video": {"uri": url}} for url in view.urls]
            response = {"@type": _ANSWER, "generateVideoResponse": {"generatedSamples": samples}}
            return {**told, "done": True, "response": response}
        case _:
            return told


def _error(code: int, status: str, message: str) -> Reply:
    return Reply(status=code, body={"error": {"code": code, "message": message, "status": status}})


FORM: Final = Form(
    name="veo",
    calls=(
        Create(paths=("/v1beta/models/{action:[^/:]+}:predictLongRunning",), answer=_created),
        Query(paths=("/v1beta/{id:models/[^/]+/operations/.+}",), answer=_operation),
    ),
    makes=(Ending.VIDEOS,),
    new_id=lambda number: f"{_OPERATIONS}simulated{number}",
    prefix=_OPERATIONS,
    keys=(BEARER, ("x-goog-api-key", "")),
    unauthorized=_error(401, "UNAUTHENTICATED", "API key not valid. Please pass a valid API key."),
    not_found=_error(404, "NOT_FOUND", "Requested entity was not found."),
    limited=_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded."),
    bad_request=saying(400, lambda reason: {"error": {"code": 400, "message": reason, "status": "INVALID_ARGUMENT"}}),
)
