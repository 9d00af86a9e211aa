"""The recorded answers of a vendor, and the placeholders in them.

Each answer is a JSON file with a body as the vendor documents it. Texts and keys in it can have placeholders, `{NAME}`,
or `{NAME:SPEC}` with a format specification of Python, such as `{number:08x}`. A text that is only `{NAME}` becomes the
value itself, which can be a number, an object or a list.

    {id} {external_id}           the task's id; its creator's own id
    {action} {app}               its action; the first two parts of the action
    {message}                    why it failed
    {progress} {percent}         its progress, from 0 to 1 and from 0 to 100
    {created_s} {started_s} {updated_s} {finished_s} {expires_s}
                                 its times in epoch seconds; with _ms in milliseconds, with _iso in ISO 8601
    {runs_s}                     seconds from start to finish
    {files}                      the URL of its result files: {files}/video.mp4
    {base}                       the URL of the simulated provider
    {request.KEY}                a key of the body that created it; vendor.yaml has defaults
    {path.NAME}                  a value in the path of a static route
    {reason}                     what is wrong with a request (bad_request.json)
    {tasks}                      the tasks of a list (list.json)
    {more} {last} {next} {next_url}
                                 for a page of a list: whether more tasks follow, the id of its last task, the same
                                 if more follow, and the address of the next page
    {number} {uuid}              a running number; for ids also in the shape of a UUID
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson

from bridge.encoding import rfc3339_of_ms
from bridge.simulator.simulated_task import SimulatedResult, SimulatedTask, Stage

Json = Any
UNKNOWN_METHOD: Final = "unknown_method"
EXPIRES_AFTER_S: Final = 3600
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)?)(?::([^{}]*))?\}")


class RecordedAnswers:
    """The JSON files of one vendor, read at first use. `http` has the HTTP statuses by file name; 200 if absent."""

    def __init__(self, folder: Path, http: Mapping[str, int]) -> None:
        self._folder = folder
        self._http = http

    @cached_property
    def _bodies(self) -> dict[str, Json]:
        bodies = {path.stem: orjson.loads(path.read_bytes()) for path in self._folder.glob("*.json")}
        return {UNKNOWN_METHOD: {"error": {"message": "method not allowed"}}, **bodies}

    @property
    def can_fail(self) -> bool:
        """Whether the vendor can report a failure."""
        return Stage.FAILED in self._bodies

    def name_for(self, answer: str, stage: Stage, result: SimulatedResult) -> str:
        """The file that answers about a task: the first that exists.

        For `gateway` and a task that made images, in this order: gateway.succeeded.images, gateway.succeeded, gateway,
        succeeded.images, succeeded. A vendor that cannot report a failure keeps answering `running`.
        """
        own = (f"{answer}.{stage}.{result}", f"{answer}.{stage}", answer) if answer else ()
        names: tuple[str, ...] = (*own, f"{stage}.{result}", stage.value, Stage.RUNNING.value)
        return next(name for name in names if name in self._bodies)

    def filled(self, name: str, values: Mapping[str, Json]) -> tuple[int, Json]:
        """HTTP status and body."""
        default = 405 if name == UNKNOWN_METHOD else 200
        return self._http.get(name, default), fill(self._bodies[name], values)


def fill(template: Json, values: Mapping[str, Json]) -> Json:
    """The template with its placeholders replaced. KeyError for one without a value."""
    if isinstance(template, dict):
        return {fill(key, values): fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(each, values) for each in template]
    if not isinstance(template, str):
        return template
    whole = _PLACEHOLDER.fullmatch(template)
    if whole is not None and whole[2] is None:
        return values[whole[1]]
    return _PLACEHOLDER.sub(lambda found: format(values[found[1]], found[2] or ""), template)


def values_of(
    task: SimulatedTask, *, now: float, base_url: str, action: str, request: Mapping[str, Json]
) -> dict[str, Json]:
    """The placeholders of a task in its state at `now`. `action` and `request` are used if the task has none."""
    action = task.action or action
    finished_at = task.created_at + task.script.lasts_s
    times = {
        "created": task.created_at,
        "started": task.started_at,
        "updated": task.updated_at(now),
        "finished": finished_at,
        "expires": finished_at + EXPIRES_AFTER_S,
    }
    values: dict[str, Json] = {
        "id": task.task_id,
        "external_id": task.external_id,
        "action": action,
        "app": "/".join(action.split("/")[:2]),
        "progress": round(task.progress_at(now), 2),
        "percent": round(task.progress_at(now) * 100),
        "runs_s": finished_at - task.started_at,
        "message": task.script.message,
        "base": base_url,
        "files": f"{base_url}/files/{quote(task.task_id, safe='')}",
    }
    for name, at in times.items():
        values |= {f"{name}_s": int(at), f"{name}_ms": round(at * 1000), f"{name}_iso": rfc3339_of_ms(at * 1000)}
    return values | {f"request.{key}": task.request.get(key) or default for key, default in request.items()}


def uuid_of(number: int) -> str:
    digits = f"{number:012x}"
    return f"{digits[:8]}-{digits[8:12]}-4000-8000-{number % 16**12:012x}"
