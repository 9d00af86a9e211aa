"""Kling's legacy standard, at aggregators below `/kling/v1` and direct below `/v1`. Not simulated: callbacks (most
aggregators drop them), and that a task belongs to one action: its id alone is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bridge.simulator.forms.form import Create, Form, Json, Listing, Query, Reply, millis, worded
from bridge.simulator.tasks import Ending, Script, Stage, View

SPEECH: Final = "audio/tts"
"""The action whose create answers with the result at once; its sounds have one `url`, those of others two formats."""

_TWO_PARTS: Final = r"videos/avatar/image2video|images/editing/expand"
_ONE_PART: Final = (
    r"videos/(?:text2video|(?:multi-)?image2video|omni-video|motion-control|video-extend|(?:advanced-)?lip-sync|effects"
    r"|multi-elements)|images/(?:generations|multi-image2image|omni-image|kolors-virtual-try-on)"
    r"|audio/(?:text-to-audio|video-to-audio|tts)"
)
_STATUS: Final = worded("submitted", "processing", "succeed", "failed")


def good(data: Json) -> Json:
    return {"code": 0, "message": "SUCCEED", "data": data}


def error(status: int, code: int, message: str) -> Reply:
    return Reply(status=status, body={"code": code, "message": message})


def request_id(number: int) -> Mapping[str, Json]:
    return {"request_id": f"{number:08x}-0000-4000-8000-000000000000"}


UNAUTHORIZED: Final = error(401, 1002, "Authorization is invalid")
UNKNOWN_METHOD: Final = error(404, 1202, "The requested method does not exist")
UNKNOWN_RESOURCE: Final = error(404, 1203, "The requested resource does not exist")
TOO_MANY: Final = error(429, 1302, "Too many requests; rate limit exceeded")


def invalid(reason: str) -> Reply:
    return error(400, 1201, reason)


def data(view: View) -> Json:
    """`data` of a query's answer."""
    told = _head(view) | {"task_status_msg": view.message}
    results = _results(view)
    if results:
        told["task_result"] = {view.ending.value: results}
        told["final_unit_deduction"] = "2"
    return told


def _head(view: View) -> dict[str, Json]:
    external_id = view.task.external_id
    return {
        "task_id": view.task.task_id,
        "task_status": _STATUS(view),
        "task_info": {"external_task_id": external_id} if external_id else {},
        "created_at": millis(view.task.born_at),
        "updated_at": millis(view.updated_at),
    }


def _results(view: View) -> list[Json]:
    if view.stage is not Stage.DONE:
        return []
    own = {"id": f"{view.task.task_id}01"}
    match view.ending:
        case Ending.IMAGES:
            return [{"index": index, "url": url} for index, url in enumerate(view.urls)]
        case Ending.AUDIOS if view.task.action == SPEECH:
            return [{**own, "url": view.url, "duration": "3.2"}]
        case Ending.AUDIOS:
            mp3, wav = view.urls
            return [{**own, "url_mp3": mp3, "url_wav": wav, "duration_mp3": "3.2", "duration_wav": "3.2"}]
        case _:
            return [{**own, "url": view.url, "duration": "5.1"}]


def _created(view: View) -> Json:
    return good(data(view) if view.task.action == SPEECH else _head(view))


def _queried(view: View) -> Json:
    return good(data(view))


def _listed(views: Sequence[View]) -> Json:
    return good([data(view) for view in views])


def _script(action: str) -> Script:
    """A success of the kind that fits the action."""
    if action == SPEECH:
        return Script(ending=Ending.AUDIOS, lasts_s=0.0)
    kinds = {"images": Ending.IMAGES, "audio": Ending.AUDIOS}
    return Script(ending=kinds.get(action.partition("/")[0], Ending.VIDEOS))


FORM: Final = Form(
    name="kling",
    calls=(
        Create(
            paths=(
                f"/kling/v1/{{action:{_TWO_PARTS}|[^/]+/[^/]+}}",
                f"/v1/{{action:{_TWO_PARTS}|(?:videos|images|audio)/[^/]+}}",
            ),
            answer=_created,
            external="external_task_id",
        ),
        Listing(
            paths=(f"/kling/v1/{{action:{_TWO_PARTS}|[^/]+/[^/]+}}", f"/v1/{{action:{_TWO_PARTS}|{_ONE_PART}}}"),
            answer=_listed,
        ),
        Query(
            paths=(
                "/kling/v1/{action:[^/]+(?:/[^/]+){1,2}}/{id}",
                # /v1/videos/ID/content is OpenAI's
                "/v1/{action:(?:videos|images|audio)(?:/[^/]+){1,2}}/{id:(?!content$)[^/]+}",
            ),
            answer=_queried,
        ),
    ),
    makes=(Ending.VIDEOS, Ending.IMAGES, Ending.AUDIOS),
    new_id=lambda number: f"857{number:015d}",
    script=_script,
    unauthorized=UNAUTHORIZED,
    not_found=UNKNOWN_RESOURCE,
    unknown_method=UNKNOWN_METHOD,
    limited=TOO_MANY,
    bad_request=invalid,
    stamp=request_id,
)
