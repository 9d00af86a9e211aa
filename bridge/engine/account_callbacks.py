"""How callbacks change the polls of one account: a watch that a callback names is polled at once, and regular polls
become less frequent."""

from __future__ import annotations

from typing import Final

from bridge.domain.cadence import INTERVAL
from bridge.domain.callback import CallbackHeard
from bridge.domain.callback_pace import TASK_EVERY_S, CallbackReliance, HintPace
from bridge.domain.task import Reading
from bridge.engine.learned_cadence import FINISHED
from bridge.engine.poll_queue import PollEntry

MAX_HINTS: Final = 10_000  # hints that wait for their polls


class AccountCallbacks:
    """The hints of one account. It only returns values: the account schedules the polls. `is_active` is false until the
    first hint, so accounts without callbacks cost nothing."""

    def __init__(self) -> None:
        self.is_active = False
        self._pace = HintPace()
        self._reliance = CallbackReliance()
        self._hints: dict[str, CallbackHeard] = {}  # by task id, until the answer to its next poll

    def heard(self, entry: PollEntry, heard: CallbackHeard, now: float) -> float | None:
        """When to poll the watch because of this callback; None: it is about to be polled in any case."""
        self.is_active = True
        self._reliance.heard(now)
        if entry.due_at is None:  # it is being polled, and the answer may be older than the callback
            is_requested = entry.again_at is not None
        else:
            is_requested = entry.task_id in self._hints
        if len(self._hints) >= MAX_HINTS:
            self._hints.clear()  # hints for watches that no longer exist; the others are polled in any case
        self._hints[entry.task_id] = heard
        if is_requested:
            return None
        at = self._pace.next_at(now, not_before=entry.polled_at + TASK_EVERY_S)
        if entry.due_at is not None and now < entry.due_at <= at:
            return None
        self._pace.take(at)
        return at

    def heard_late(self, task_id: str, now: float) -> None:
        """Count a callback about a task without a watch: a regular poll may just have found it finished."""
        self._reliance.heard_late(task_id, now)

    def answered(self, task_id: str, reading: Reading, now: float) -> CallbackHeard | None:
        """Process an answer. Returns the callback that led to the poll."""
        heard = self._hints.pop(task_id, None)
        if reading.kind in FINISHED:
            self._reliance.ended(task_id, now, announced=heard is not None)
        return heard

    def thinned(self, wait_s: float, why: str, now: float, *, most_s: float) -> tuple[float, str]:
        """The wait until the next regular poll, and the reason. `most_s`: the time until the task times out."""
        thin_s = min(self._reliance.stretched_s(wait_s, now), max(wait_s, most_s))
        if thin_s <= wait_s:
            return wait_s, why
        return thin_s, f"{why.partition(INTERVAL)[0]}; callbacks arrive{INTERVAL}{thin_s:.0f} s"
