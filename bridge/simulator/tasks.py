"""Simulated tasks: how each goes, and what the documented Kling query answers about it at an instant. Pure.

A task that nobody has created is born when it is first asked for, if its id begins with `demo-`:

    demo-[KIND-][SECONDSs-][ANYTHING]

    KIND     video (the default), images (four), audio, fail, never (goes on for ever)
    SECONDS  from birth to end, with one decimal at most; 10 by default
    ANYTHING tells tasks apart

    demo-video-20s  demo-images-5s  demo-fail-8s  demo-audio-3s-again  demo-never  demo-0s  demo-my-own-name
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, assert_never
from urllib.parse import quote

Json = dict[str, Any]

LASTS_S: Final = 10.0
WAITS_MOST_S: Final = 2.0
IMAGES: Final = 4
SPEECH: Final = "audio/tts"
"""The action whose create answers with the result at once; its sounds have one `url`, those of others two formats."""
REFUSED: Final = "Failure to pass the risk control system"

_DEMO_ID: Final = re.compile(
    r"demo(?=-)(?:-(?P<kind>video|images|audio|fail|never)(?=-|$))?(?:-(?P<seconds>[0-9]{1,6}(?:\.[0-9])?)s(?=-|$))?"
    r"(?:-.*)?",
    re.DOTALL,
)


class Ending(StrEnum):
    """How a task ends; the values of the successes are their keys below `task_result`."""

    VIDEOS = "videos"
    IMAGES = "images"
    AUDIOS = "audios"
    FAILURE = "failure"
    NEVER = "never"


KINDS: Final = {
    "video": Ending.VIDEOS,
    "images": Ending.IMAGES,
    "audio": Ending.AUDIOS,
    "fail": Ending.FAILURE,
    "never": Ending.NEVER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How a task goes: submitted for a while, processing, and `lasts_s` after its birth its end."""

    ending: Ending = Ending.VIDEOS
    lasts_s: float = LASTS_S
    message: str = ""

    @property
    def waits_s(self) -> float:
        return min(WAITS_MOST_S, self.lasts_s / 4)


def script_of(task_id: str) -> Script | None:
    """What an id in the grammar above asks for; None when it does not begin with `demo-`."""
    match = _DEMO_ID.fullmatch(task_id)
    if match is None:
        return None
    ending = KINDS[match["kind"] or "video"]
    return Script(
        ending=ending,
        lasts_s=float(match["seconds"] or LASTS_S),
        message=REFUSED if ending is Ending.FAILURE else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTask:
    """One task. `action` is group and action2 of its path; `external_id` is its creator's own name for it."""

    task_id: str
    action: str
    script: Script
    born_at: float
    external_id: str = ""

    @property
    def ends_at(self) -> float | None:
        """None: never."""
        return None if self.script.ending is Ending.NEVER else self.born_at + self.script.lasts_s

    def status(self, now: float) -> str:
        if self.ends_at is not None and now >= self.ends_at:
            return "failed" if self.script.ending is Ending.FAILURE else "succeed"
        return "processing" if now >= self.born_at + self.script.waits_s else "submitted"

    def created(self) -> Json:
        """`data` of the answer to its creation."""
        return {
            "task_id": self.task_id,
            "task_info": self._info(),
            "task_status": "submitted",
            "created_at": _ms(self.born_at),
            "updated_at": _ms(self.born_at),
        }

    def data(self, now: float, *, files_url: str) -> Json:
        """`data` of a query's answer at `now`; result URLs lie below `files_url`."""
        status = self.status(now)
        data: Json = {
            "task_id": self.task_id,
            "task_status": status,
            "task_status_msg": self.script.message if status == "failed" else "",
            "task_info": self._info(),
            "created_at": _ms(self.born_at),
            "updated_at": _ms(self._updated_at(status)),
        }
        results = self._results(files_url) if status in {"succeed", "failed"} else []
        if results:
            data["task_result"] = {self.script.ending.value: results}
            data["final_unit_deduction"] = "2"
        return data

    def _info(self) -> Json:
        return {"external_task_id": self.external_id} if self.external_id else {}

    def _updated_at(self, status: str) -> float:
        match status:
            case "submitted":
                return self.born_at
            case "processing":
                return self.born_at + self.script.waits_s
            case _:
                return self.born_at + self.script.lasts_s

    def _results(self, files_url: str) -> list[Json]:
        stem = f"{files_url}/{quote(self.task_id, safe='')}"
        ending = self.script.ending
        match ending:
            case Ending.VIDEOS:
                return [{"id": f"{self.task_id}01", "url": f"{stem}/video.mp4", "duration": "5.1"}]
            case Ending.IMAGES:
                return [{"index": index, "url": f"{stem}/{index}.png"} for index in range(IMAGES)]
            case Ending.AUDIOS:
                sound: Json = {"id": f"{self.task_id}01"}
                if self.action == SPEECH:
                    return [sound | {"url": f"{stem}/audio.mp3", "duration": "3.2"}]
                urls = {"url_mp3": f"{stem}/audio.mp3", "url_wav": f"{stem}/audio.wav"}
                return [sound | urls | {"duration_mp3": "3.2", "duration_wav": "3.2"}]
            case Ending.FAILURE | Ending.NEVER:
                return []
            case _:
                assert_never(ending)


def _ms(instant: float) -> int:
    return round(instant * 1000)
