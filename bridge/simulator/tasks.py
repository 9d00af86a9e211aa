"""Simulated tasks: how each goes, and where it stands at an instant. Pure; what is told of it is the forms' business.

A task that nobody has created is born when it is first asked for, if its id begins with `demo-`:

    demo-[KIND-][SECONDSs-][ANYTHING]

    KIND     video (the default), images (four), audio, text, fail, never (goes on for ever)
    SECONDS  from birth to end, with one decimal at most; 10 by default
    ANYTHING tells tasks apart

    demo-video-20s  demo-images-5s  demo-fail-8s  demo-audio-3s-again  demo-never  demo-0s  demo-my-own-name
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

LASTS_S: Final = 10.0
WAITS_MOST_S: Final = 2.0
IMAGES: Final = 4
REFUSED: Final = "Failure to pass the risk control system"
WORDS: Final = "The lamp goes out, the lighthouse stays"

_DEMO_ID: Final = re.compile(
    r"demo(?=-)(?:-(?P<kind>video|images|audio|text|fail|never)(?=-|$))?"
    r"(?:-(?P<seconds>[0-9]{1,6}(?:\.[0-9])?)s(?=-|$))?(?:-.*)?",
    re.DOTALL,
)


class Ending(StrEnum):
    """How a task ends; the values of the successes are the kinds of results as our own webhooks name them."""

    VIDEOS = "videos"
    IMAGES = "images"
    AUDIOS = "audios"
    TEXTS = "texts"
    FAILURE = "failure"
    NEVER = "never"


UNSUCCESSFUL: Final = frozenset({Ending.FAILURE, Ending.NEVER})
KINDS: Final = {
    "video": Ending.VIDEOS,
    "images": Ending.IMAGES,
    "audio": Ending.AUDIOS,
    "text": Ending.TEXTS,
    "fail": Ending.FAILURE,
    "never": Ending.NEVER,
}
_FILES: Final = {
    Ending.VIDEOS: ("video.mp4",),
    Ending.IMAGES: tuple(f"{number}.png" for number in range(IMAGES)),
    Ending.AUDIOS: ("audio.mp3", "audio.wav"),
}


class Stage(StrEnum):
    """Where a task stands, in no vendor's words."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How a task goes: waiting for a while, at work, and `lasts_s` after its birth its end. `message` is for failures:
    forms have nothing else to tell them by."""

    ending: Ending = Ending.VIDEOS
    lasts_s: float = LASTS_S
    message: str = REFUSED

    @property
    def waits_s(self) -> float:
        return min(WAITS_MOST_S, self.lasts_s / 4)


def script_of(task_id: str) -> Script | None:
    """What an id in the grammar above asks for; None when it does not begin with `demo-`."""
    match = _DEMO_ID.fullmatch(task_id)
    if match is None:
        return None
    return Script(ending=KINDS[match["kind"] or "video"], lasts_s=float(match["seconds"] or LASTS_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTask:
    """One task. `action` is what its path said beside the id, `external_id` its creator's own name for it, `wish` the
    body that created it."""

    task_id: str
    script: Script
    born_at: float
    action: str = ""
    external_id: str = ""
    wish: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ends_at(self) -> float | None:
        """None: never."""
        return None if self.script.ending is Ending.NEVER else self.born_at + self.script.lasts_s


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A task at an instant, as a form tells of it. `base_url` is the server's own, `ending` the script's, or what the
    form has in its place: a provider of videos alone makes no images."""

    task: SimulatedTask
    now: float
    base_url: str
    ending: Ending

    @property
    def stage(self) -> Stage:
        task = self.task
        if task.ends_at is not None and self.now >= task.ends_at:
            return Stage.FAILED if self.ending is Ending.FAILURE else Stage.DONE
        return Stage.WORKING if self.now >= task.born_at + task.script.waits_s else Stage.WAITING

    @property
    def is_done(self) -> bool:
        return self.stage is Stage.DONE

    @property
    def is_over(self) -> bool:
        return self.stage in {Stage.DONE, Stage.FAILED}

    @property
    def message(self) -> str:
        """Why it failed, "" when it did not."""
        return self.task.script.message if self.stage is Stage.FAILED else ""

    @property
    def progress(self) -> float:
        """From 0 to 1: 1 at its end alone, 0 while it waits."""
        if self.is_over:
            return 1.0
        if self.stage is Stage.WAITING:
            return 0.0
        return min(0.99, (self.now - self.task.born_at) / (self.task.script.lasts_s or 1.0))

    @property
    def begun_at(self) -> float | None:
        """None while it waits."""
        return None if self.stage is Stage.WAITING else self.task.born_at + self.task.script.waits_s

    @property
    def ended_at(self) -> float | None:
        """None until then."""
        return self.task.ends_at if self.is_over else None

    @property
    def updated_at(self) -> float:
        """When its stage last changed."""
        return self.ended_at or self.begun_at or self.task.born_at

    @property
    def urls(self) -> list[str]:
        """Where its results lie; none before its success."""
        return [self.file(name) for name in _FILES.get(self.ending, ())] if self.is_done else []

    @property
    def url(self) -> str:
        """Where its first result lies, "" before its success."""
        return next(iter(self.urls), "")

    def file(self, name: str) -> str:
        """An address of a file of this task, which needs no key."""
        return f"{self.base_url}/files/{quote(self.task.task_id, safe='')}/{name}"
