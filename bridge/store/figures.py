"""Figures for the status page. Each is read by an index, and reads a bounded number of rows."""

from __future__ import annotations

import json
from typing import Final

from bridge.store.page_views import COUNTED, BoundedCount, DisabledSince, ExpiringResult, FinishedIn, UndeliveredAt
from bridge.store.sql_files import SQL
from bridge.store.statements import Session

QUARTER_S: Final = 900
MOST_POLLED: Final = 1_000  # of the tasks that finished last, whose polls are counted
MOST_LAGS: Final = 1_000  # of the last deliveries, which the median is taken of
MOST_EXPIRING: Final = 200  # waiting deliveries that are looked at
MOST_SNAPSHOT: Final = 65_536  # characters; a longer one holds the result itself


def finished_in(session: Session, since: float) -> list[FinishedIn]:
    """How many tasks have finished since then, by quarter of an hour and phase."""
    return [FinishedIn(*row) for row in session.find(SQL["pages.finished_in"], since=since, quarter_s=float(QUARTER_S))]


def polls_per_task(session: Session) -> dict[str, tuple[float, int]]:
    """By account: how many polls a task took, and how many tasks there were."""
    return {name: (float(polls), tasks) for name, polls, tasks in session.find(SQL["pages.polls"], most=MOST_POLLED)}


def lags(session: Session, since: float) -> list[float]:
    """How long the last of these deliveries took, from the commit of the finish to its acceptance."""
    return [max(0.0, lag) for (lag,) in session.find(SQL["pages.lags"], since=since, most=MOST_LAGS)]


def undelivered(session: Session) -> list[UndeliveredAt]:
    """The deliveries that were given up, by endpoint."""
    found = []
    for endpoint, count, first_at, last_at in sorted(session.find(SQL["pages.dead"])):
        for attempts, detail in session.find(SQL["pages.last_dead"], endpoint=endpoint, last_at=last_at):
            found.append(UndeliveredAt(endpoint, count, first_at, last_at, attempts, detail))
    return found


def disabled(session: Session) -> list[DisabledSince]:
    """The endpoints that are disabled, by name."""
    return [DisabledSince(*row) for row in session.find(SQL["pages.disabled"])]


def oldest_waiting(session: Session) -> dict[str, float]:
    """When the delivery that has waited longest was made, by endpoint."""
    return dict(session.find(SQL["pages.oldest_waiting"]))


def accepted(session: Session, since: float) -> dict[str, tuple[BoundedCount, float]]:
    """By endpoint: how many of the last `COUNTED` deliveries were accepted since then, and when the last was."""
    found = session.find(SQL["pages.accepted"], since=since, most=COUNTED + 1)
    is_more = sum(count for _, count, _ in found) > COUNTED
    return {endpoint: (BoundedCount(count, is_more), last_at) for endpoint, count, last_at in found}


def expiring(session: Session, now: float) -> list[ExpiringResult]:
    """The failed deliveries whose results will be gone before the next attempt. Of `MOST_EXPIRING` waiting ones."""
    found = []
    for endpoint, account, task_id, due_at, snapshot in session.find(
        SQL["pages.expiring"], most=MOST_EXPIRING, most_chars=MOST_SNAPSHOT
    ):
        gone_at = _gone_at(snapshot)
        if gone_at is not None and gone_at > now and (due_at is None or due_at > gone_at):
            found.append(ExpiringResult(endpoint, account, task_id, due_at, gone_at))
    return sorted(found, key=lambda one: one.gone_at)


def _gone_at(snapshot: str) -> float | None:
    try:
        at_ms = json.loads(snapshot).get("expires_ms")
        return None if at_ms is None else at_ms / 1000
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None  # a list of watches reports it
