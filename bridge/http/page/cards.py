"""A finished task, as a card shows it, and who was notified about it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.domain.event import END_TOPICS
from bridge.domain.ids import ARCHIVE
from bridge.domain.page_views import DeliveryGroup
from bridge.domain.task import LIVE, Phase, Snapshot, worked_s
from bridge.domain.views import DeliveryView, WatchView
from bridge.http.page.result_boxes import ResultBox, ResultKind, ResultState, main_results
from bridge.http.page.result_copies import TaskResult
from bridge.store import ReadStore

MOST_PICTURES: Final = 4
MOST_PRELOADED: Final = 6  # how many videos of a page load their beginning
SHOWN_S: Final = 86_400.0  # if a result is kept longer, its expiry is not shown
_WORST_FIRST: Final = list(DeliveryGroup)


class FinishedTask(NamedTuple):
    """The stored facts about a finished task."""

    view: WatchView
    snapshot: Snapshot | None
    deliveries: Sequence[DeliveryView]

    @property
    def result(self) -> TaskResult:
        """Its result. Some copies may already exist while others are retried."""
        made = [one.event_id for one in self.deliveries if one.endpoint == ARCHIVE and one.attempts]
        return TaskResult(self.view, self.snapshot, made[-1] if made else "")

    @property
    def took_s(self) -> float | None:
        """See `worked_s`."""
        said = self.snapshot or Snapshot()
        watched_s = None if self.view.ended_at is None else self.view.ended_at - self.view.added_at
        return worked_s(said.created_ms, said.updated_ms, watched_s=watched_s)


def finished_tasks(store: ReadStore, views: Sequence[WatchView]) -> list[FinishedTask]:
    """The facts about these tasks; those that are still running have none."""
    ids = [view.watch_id for view in views if view.phase not in LIVE]
    snapshots, deliveries = store.snapshots_by_id(ids), store.deliveries_by_watch(ids)
    return [FinishedTask(one, snapshots.get(one.watch_id), deliveries.get(one.watch_id, ())) for one in views]


class NotificationState(NamedTuple):
    """The state of one endpoint's delivery about a finish."""

    endpoint: str
    state: DeliveryGroup
    next_attempt_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card. `results` are of one kind; those that can be shown come first. `look`: what the box shows. For a
    result, that is its kind if it can be shown, or else its state; otherwise `nothing`, `failed`, or `other`."""

    view: WatchView
    look: str
    results: Sequence[ResultBox]
    notified: Sequence[NotificationState]
    took_s: float | None  # see `worked_s`
    preload: str  # of a video

    @property
    def pictures(self) -> Sequence[ResultBox]:
        return [one for one in self.results if one.state is ResultState.SHOWN][:MOST_PICTURES]

    @property
    def others(self) -> int:
        """How many images are not in the box."""
        return len(self.results) - len(self.pictures)

    def gone_at(self, now: float) -> float | None:
        """When the results will be gone, if that is soon enough to show."""
        at = self.results[0].gone_at if self.results and not self.results[0].copy else None
        return at if at is not None and 0 < at - now < SHOWN_S else None


def cards(tasks: Iterable[tuple[FinishedTask, Sequence[ResultBox]]], off: Container[str]) -> list[Card]:
    """The cards of these tasks and their results. `off`: endpoints that are disabled or paused."""
    made: list[Card] = []
    videos = 0
    for task, results in tasks:
        main = main_results(results)
        look = _look(task.view.phase, main)
        notified = notification_states(task.deliveries, off)
        preload = "metadata" if videos < MOST_PRELOADED else "none"
        made.append(
            Card(view=task.view, look=look, results=main, notified=notified, took_s=task.took_s, preload=preload)
        )
        videos += look == ResultKind.VIDEO
    return made


def _look(phase: Phase, results: Sequence[ResultBox]) -> str:
    if phase is not Phase.SUCCEEDED:
        return "failed" if phase is Phase.FAILED else "other"
    if not results:
        return "nothing"
    return str(results[0].kind if results[0].state is ResultState.SHOWN else results[0].state)


def notification_states(deliveries: Iterable[DeliveryView], off: Container[str] = ()) -> list[NotificationState]:
    """For each endpoint the worst state of its deliveries about the last finish, without copies to the archive.

    `off`: the endpoints that are disabled or paused.
    """
    finishes = [one for one in deliveries if one.topic in END_TOPICS and one.endpoint != ARCHIVE]
    last = max((one.created_at for one in finishes), default=0.0)
    found: dict[str, NotificationState] = {}
    for one in finishes:
        if one.created_at < last:
            continue  # about an earlier generation
        state, known = DeliveryGroup.of(one.state, is_off=one.endpoint in off), found.get(one.endpoint)
        if known is None or _WORST_FIRST.index(state) < _WORST_FIRST.index(known.state):
            found[one.endpoint] = NotificationState(one.endpoint, state, one.next_attempt_at)
    return list(found.values())
