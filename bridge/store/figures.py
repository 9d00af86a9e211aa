"""Figures for the status page. Each is read by an index, and reads a bounded number of rows."""

from __future__ import annotations

import json
from typing import Final

from bridge.store import records
from bridge.store.page_views import COUNTED, BoundedCount, DisabledSince, ExpiringResult, FinishedIn, UndeliveredAt
from bridge.store.statements import Session

QUARTER_S: Final = 900
MOST_POLLED: Final = 1_000  # of the tasks that finished last, whose polls are counted
MOST_LAGS: Final = 1_000  # of the last deliveries, which the median is taken of
MOST_EXPIRING: Final = 200  # waiting deliveries that are looked at
MOST_SNAPSHOT: Final = 65_536  # characters; a longer one holds the result itself

OF_FINISHED: Final = "{sqlite:is_tombstone = 0}{postgres:NOT is_tombstone} AND phase <> 'withdrawn'"
FINISHED_IN: Final = f"""
    SELECT {{sqlite:CAST(ended_at / :quarter_s AS INTEGER)}}{{postgres:floor(ended_at / :quarter_s)::bigint}}
        AS quarter, phase, count(*)
    FROM watches WHERE ended_at >= :since AND {OF_FINISHED} GROUP BY quarter, phase
"""  # noqa: S608 - names of ours
POLLS: Final = f"""
    SELECT account, avg(polls), count(*) FROM (
        SELECT account, polls FROM watches WHERE ended_at IS NOT NULL AND {OF_FINISHED}
        ORDER BY ended_at DESC LIMIT :most
    ) AS latest GROUP BY account
"""  # noqa: S608 - names of ours
LAGS: Final = """
    SELECT settled_at - created_at FROM deliveries
    WHERE state = 'accepted' AND state <> 'waiting' AND settled_at >= :since AND NOT is_live
        AND watch_id IS NOT NULL
    ORDER BY settled_at DESC LIMIT :most
"""
DEAD: Final = """
    SELECT endpoint, count(*), min(settled_at), max(settled_at) FROM deliveries
    WHERE state = 'dead' AND state <> 'waiting' GROUP BY endpoint
"""
_LAST_DEAD: Final = """
    SELECT attempts, coalesce(last_detail, '') FROM deliveries
    WHERE state = 'dead' AND state <> 'waiting' AND endpoint = :endpoint AND settled_at >= :last_at LIMIT 1
"""
_DISABLED: Final = """
    SELECT endpoint, disabled_at, reason FROM endpoints WHERE disabled_at IS NOT NULL ORDER BY endpoint
"""
_OLDEST: Final = "SELECT endpoint, min(created_at) FROM deliveries WHERE state = 'waiting' GROUP BY endpoint"
_ACCEPTED: Final = """
    SELECT endpoint, count(*), max(settled_at) FROM (
        SELECT endpoint, settled_at FROM deliveries
        WHERE state = 'accepted' AND state <> 'waiting' AND settled_at >= :since
        ORDER BY settled_at DESC LIMIT :most
    ) AS latest GROUP BY endpoint
"""
_EXPIRING: Final = f"""
    SELECT d.endpoint, account, task_id, due_at, snapshot FROM (
        SELECT endpoint, watch_id, {records.DUE_AT} AS due_at FROM deliveries
        WHERE state = 'waiting' AND attempts > 0 AND watch_id IS NOT NULL LIMIT :most
    ) AS d JOIN watches USING (watch_id) WHERE length(snapshot) <= :most_chars
"""  # noqa: S608 - names of ours


def finished_in(session: Session, since: float) -> list[FinishedIn]:
    """How many tasks have finished since then, by quarter of an hour and phase."""
    return [FinishedIn(*row) for row in session.find(FINISHED_IN, since=since, quarter_s=float(QUARTER_S))]


def polls_per_task(session: Session) -> dict[str, tuple[float, int]]:
    """By account: how many polls a task took, and how many tasks there were."""
    return {name: (float(polls), tasks) for name, polls, tasks in session.find(POLLS, most=MOST_POLLED)}


def lags(session: Session, since: float) -> list[float]:
    """How long the last of these deliveries took, from the commit of the finish to its acceptance."""
    return [max(0.0, lag) for (lag,) in session.find(LAGS, since=since, most=MOST_LAGS)]


def undelivered(session: Session) -> list[UndeliveredAt]:
    """The deliveries that were given up, by endpoint."""
    found = []
    for endpoint, count, first_at, last_at in sorted(session.find(DEAD)):
        for attempts, detail in session.find(_LAST_DEAD, endpoint=endpoint, last_at=last_at):
            found.append(UndeliveredAt(endpoint, count, first_at, last_at, attempts, detail))
    return found


def disabled(session: Session) -> list[DisabledSince]:
    """The endpoints that are disabled, by name."""
    return [DisabledSince(*row) for row in session.find(_DISABLED)]


def oldest_waiting(session: Session) -> dict[str, float]:
    """When the delivery that has waited longest was made, by endpoint."""
    return dict(session.find(_OLDEST))


def accepted(session: Session, since: float) -> dict[str, tuple[BoundedCount, float]]:
    """By endpoint: how many of the last `COUNTED` deliveries were accepted since then, and when the last was."""
    found = session.find(_ACCEPTED, since=since, most=COUNTED + 1)
    is_more = sum(count for _, count, _ in found) > COUNTED
    return {endpoint: (BoundedCount(count, is_more), last_at) for endpoint, count, last_at in found}


def expiring(session: Session, now: float) -> list[ExpiringResult]:
    """The failed deliveries whose results will be gone before the next attempt. Of `MOST_EXPIRING` waiting ones."""
    found = []
    for endpoint, account, task_id, due_at, snapshot in session.find(
        _EXPIRING, most=MOST_EXPIRING, most_chars=MOST_SNAPSHOT
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
