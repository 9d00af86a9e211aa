"""Figures for the status page. Each is read by an index, and reads a bounded number of rows."""

from __future__ import annotations

import json
from typing import Final

from bridge.domain.ids import ARCHIVE
from bridge.domain.page_views import COUNTED, BoundedCount, DeadDeliveries, DisabledSince, ExpiringResult, FinishedIn
from bridge.store.sql_session import OpenStore
from bridge.store.statements import SQL

QUARTER_S: Final = 900
MOST_LATEST: Final = 1_000  # means and medians are computed from this many of the latest tasks or deliveries
MOST_EXPIRING: Final = 200  # maximum number of waiting deliveries to read
MOST_SNAPSHOT: Final = 65_536  # characters; longer ones contain embedded files


class Figures(OpenStore):
    def finished_in(self, since: float) -> list[FinishedIn]:
        """How many tasks have finished since then, by quarter of an hour and phase."""
        found = self._database.find(SQL["pages.finished_in"], since=since, quarter_s=float(QUARTER_S))
        return [FinishedIn(*row) for row in found]

    def polls_per_task(self) -> dict[str, tuple[float, int]]:
        """By account, for the last thousand finished tasks: the mean number of polls until a task was known to be
        finished, and the number of tasks."""
        found = self._database.find(SQL["pages.polls"], most=MOST_LATEST)
        return {name: (float(polls), tasks) for name, polls, tasks in found}

    def delivery_lags(self, since: float) -> list[float]:
        """For the last thousand accepted deliveries since then: the seconds from the commit of the task's finish until
        the endpoint accepted it. Copies are not counted."""
        found = self._database.find(SQL["pages.lags"], since=since, without=ARCHIVE, most=MOST_LATEST)
        return [max(0.0, lag) for (lag,) in found]

    def dead_deliveries(self) -> list[DeadDeliveries]:
        """The deliveries that were given up, by endpoint."""
        return [DeadDeliveries(*row) for row in self._database.find(SQL["pages.dead"])]

    def disabled_endpoints(self) -> list[DisabledSince]:
        """The endpoints that answered 410, by name."""
        return [DisabledSince(*row) for row in self._database.find(SQL["pages.disabled"])]

    def accepted(self, since: float) -> dict[str, tuple[BoundedCount, float]]:
        """By endpoint: how many deliveries were accepted since then, and when the last was. Only the last 10,000 of all
        endpoints are counted."""
        found = self._database.find(SQL["pages.accepted"], since=since, most=COUNTED + 1)
        is_more = sum(count for _, count, _ in found) > COUNTED
        return {endpoint: (BoundedCount(count, is_more), last_at) for endpoint, count, last_at in found}

    def expiring(self, now: float) -> list[ExpiringResult]:
        """Failed deliveries whose results expire before the next attempt, the earliest first. Only 200 waiting
        deliveries are examined."""
        found = []
        rows = self._database.find(SQL["pages.expiring"], most=MOST_EXPIRING, most_chars=MOST_SNAPSHOT)
        for endpoint, account, task_id, due_at, snapshot in rows:
            gone_at = _gone_at(snapshot)
            if gone_at is not None and gone_at > now and (due_at is None or due_at > gone_at):
                found.append(ExpiringResult(endpoint, account, task_id, due_at, gone_at))
        return sorted(found, key=lambda one: one.gone_at)


def _gone_at(snapshot: str) -> float | None:
    try:
        at_ms = json.loads(snapshot).get("expires_ms")
        return None if at_ms is None else at_ms / 1000
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None  # logged when the watch is listed
