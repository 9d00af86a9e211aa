"""Simulated tasks: the course of each one, and its state at an instant. No I/O.

A task that nobody created starts when it is first requested, if its id begins with `demo-`:

    demo-[KIND-][SECONDSs-][ANYTHING]

    KIND     video (the default), images (four), audio, text, fail, never (never finishes)
    SECONDS  from creation to finish, at most one decimal; 10 by default
    ANYTHING makes ids different

    demo-video-20s  demo-images-5s  demo-fail-8s  demo-audio-3s-again  demo-never  demo-0s  demo-my-own-name
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

DEFAULT_LASTS_S: Final = 10.0
MAX_WAITS_S: Final = 2.0
DEFAULT_MESSAGE: Final = "Failure to pass the risk control system"

_DEMO_ID: Final = re.compile(
    r"demo(?=-)(?:-(?P<kind>video|images|audio|text|fail|never)(?=-|$))?"
    r"(?:-(?P<seconds>[0-9]{1,6}(?:\.[0-9])?)s(?=-|$))?(?:-.*)?",
    re.DOTALL,
)


class SimulatedResult(StrEnum):
    """The result of a task. The successes are named like the kinds of results in genbridge's webhooks."""

    VIDEOS = "videos"
    IMAGES = "images"
    AUDIOS = "audios"
    TEXTS = "texts"
    FAILURE = "failure"
    NEVER = "never"

    @property
    def is_success(self) -> bool:
        return self not in {SimulatedResult.FAILURE, SimulatedResult.NEVER}


class Stage(StrEnum):
    """The state of a task. The values name the files of recorded answers."""

    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The course of a task: it waits, runs, and finishes `lasts_s` after its creation. `message` is why it fails."""

    result: SimulatedResult = SimulatedResult.VIDEOS
    lasts_s: float = DEFAULT_LASTS_S
    message: str = DEFAULT_MESSAGE

    @property
    def waits_s(self) -> float:
        return min(MAX_WAITS_S, self.lasts_s / 4)


def script_of(task_id: str) -> Script | None:
    """The script that a demo id describes; None for an id that does not begin with `demo-`."""
    match = _DEMO_ID.fullmatch(task_id)
    if match is None:
        return None
    kind = match["kind"] or "video"  # the beginning of a result's name
    result = next(result for result in SimulatedResult if result.startswith(kind))
    return Script(result=result, lasts_s=float(match["seconds"] or DEFAULT_LASTS_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTask:
    """One task. `action` comes from the path of its request, `external_id` is its creator's own name for it, `vendor`
    the API it was created with, `request` the body. All instants are on the clock of the simulated provider."""

    task_id: str
    script: Script
    created_at: float
    action: str = ""
    external_id: str = ""
    vendor: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)

    @property
    def started_at(self) -> float:
        """When it stops waiting."""
        return self.created_at + self.script.waits_s

    @property
    def finished_at(self) -> float | None:
        """When it succeeds or fails, perhaps in the future; None for never."""
        return None if self.script.result is SimulatedResult.NEVER else self.created_at + self.script.lasts_s

    def stage_at(self, now: float) -> Stage:
        if self.finished_at is not None and now >= self.finished_at:
            return Stage.FAILED if self.script.result is SimulatedResult.FAILURE else Stage.SUCCEEDED
        return Stage.RUNNING if now >= self.started_at else Stage.SUBMITTED

    def updated_at(self, now: float) -> float:
        """When its stage last changed."""
        times = {Stage.SUBMITTED: self.created_at, Stage.RUNNING: self.started_at}
        return times.get(self.stage_at(now), self.created_at + self.script.lasts_s)

    def progress_at(self, now: float) -> float:
        """From 0 to 1: 0 while it waits, 1 only once it has finished."""
        stage = self.stage_at(now)
        if stage is Stage.RUNNING:
            return min(0.99, (now - self.created_at) / (self.script.lasts_s or 1.0))
        return 0.0 if stage is Stage.SUBMITTED else 1.0
