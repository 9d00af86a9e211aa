"""A finished task, as a card shows it."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from bridge.domain.ids import ARCHIVE
from bridge.domain.task import Phase, Snapshot
from bridge.domain.views import DeliveryView, WatchView
from bridge.http.page.notification_states import NotificationState, notification_states
from bridge.http.page.result_boxes import ResultBox, ResultKind, ResultState, main_results, result_boxes, with_copies
from bridge.http.page.result_copies import CopiedTask, ShownCopy

MOST_PICTURES: Final = 4
MOST_PRELOADED: Final = 6  # how many videos of a page load their beginning
SHOWN_S: Final = 86_400.0  # if a result is kept longer, its expiry is not shown


class Look(StrEnum):
    """What the box of a card shows."""

    VIDEO = "video"
    IMAGES = "images"
    SONG = "song"
    TEXT = "text"
    ELSEWHERE = "elsewhere"  # at a host from which the page may not load, or a type that browsers do not show
    CLOSED = "closed"  # only the account's key opens it
    EMBEDDED = "embedded"  # it was inside the answer, and only the archive may have it
    GONE = "gone"  # the provider has deleted it
    NOTHING = "nothing"  # it succeeded without a result
    FAILED = "failed"
    OTHER = "other"  # canceled, not found, timed out


_SHOWN: Final = {
    ResultKind.VIDEO: Look.VIDEO,
    ResultKind.IMAGE: Look.IMAGES,
    ResultKind.AUDIO: Look.SONG,
    ResultKind.TEXT: Look.TEXT,
}
_NOT_SHOWN: Final = {
    ResultState.ELSEWHERE: Look.ELSEWHERE,
    ResultState.CLOSED: Look.CLOSED,
    ResultState.EMBEDDED: Look.EMBEDDED,
    ResultState.GONE: Look.GONE,
}


class FinishedTask(NamedTuple):
    """The stored facts about a finished task."""

    view: WatchView
    snapshot: Snapshot | None
    deliveries: Sequence[DeliveryView]

    @property
    def copied(self) -> CopiedTask | None:
        """Where its copies are; None if there cannot be any. Some may already exist while others are retried."""
        made = [one for one in self.deliveries if one.endpoint == ARCHIVE and one.attempts]
        if not made or self.snapshot is None or self.view.phase is not Phase.SUCCEEDED:
            return None
        view = self.view
        return CopiedTask(
            made[-1].event_id, view.account, view.task_id, view.label, view.ended_at, self.snapshot.result
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card. `results` are of one kind; those that can be shown come first."""

    view: WatchView
    look: Look
    results: Sequence[ResultBox]
    notified: Sequence[NotificationState]
    preload: str = "none"  # of a video

    @property
    def name(self) -> str:
        """The task's label, or else its id."""
        return self.view.label or self.view.task_id

    @property
    def pictures(self) -> Sequence[ResultBox]:
        """The images in the box."""
        return [one for one in self.results if one.state is ResultState.SHOWN][:MOST_PICTURES]

    @property
    def others(self) -> int:
        """How many images are not in the box."""
        return len(self.results) - len(self.pictures)

    @property
    def took_s(self) -> float:
        """Seconds from its addition to its finish."""
        return max(0.0, (self.view.ended_at or self.view.added_at) - self.view.added_at)

    def gone_at(self, now: float) -> float | None:
        """When the results will be gone, if that is soon enough to show."""
        at = self.results[0].gone_at if self.results and not self.results[0].copy else None
        return at if at is not None and 0 < at - now < SHOWN_S else None


def cards(
    tasks: Iterable[FinishedTask],
    *,
    previews: Collection[str],
    held: Container[str],
    now: float,
    copies: Mapping[str, ShownCopy] | None = None,
) -> list[Card]:
    """The cards of these tasks. `held`: endpoints that are disabled or paused; `copies`: see `copies_of`."""
    made: list[Card] = []
    videos = 0
    for task in tasks:
        boxes = with_copies(_boxes(task, previews, now), copies or {})
        made.append(
            _card(
                task, main_results(boxes), notification_states(task.deliveries, held), preload=videos < MOST_PRELOADED
            )
        )
        videos += made[-1].look is Look.VIDEO
    return made


def _boxes(task: FinishedTask, previews: Collection[str], now: float) -> Sequence[ResultBox]:
    view = task.view
    began_at = view.added_at if view.ended_at is None else view.ended_at
    return result_boxes(task.snapshot, previews, began_at=began_at, now=now)


def _card(
    task: FinishedTask, results: Sequence[ResultBox], notified: Sequence[NotificationState], *, preload: bool
) -> Card:
    """`preload`: the beginning of its video may be loaded at once."""
    return Card(
        view=task.view,
        look=_look(task.view.phase, results),
        results=results,
        notified=notified,
        preload="metadata" if preload else "none",
    )


def _look(phase: Phase, results: Sequence[ResultBox]) -> Look:
    if phase is not Phase.SUCCEEDED:
        return Look.FAILED if phase is Phase.FAILED else Look.OTHER
    if not results:
        return Look.NOTHING
    first = results[0]
    return _SHOWN[first.kind] if first.state is ResultState.SHOWN else _NOT_SHOWN[first.state]
