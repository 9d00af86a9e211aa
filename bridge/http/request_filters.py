"""The filters in a request of the API or of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from bridge.control.formats import instant
from bridge.domain.filters import DeliveryFilter, WatchFilter
from bridge.errors import UnknownNameError
from bridge.http.problem_details import invalid

_PLUS: Final = re.compile(r" (?=\d\d:?\d\d\Z)")


def watch_filter(asked: Any, *, now: float) -> WatchFilter:
    """The watches that a query or form asks for. Its `phase` is one, several or none. HttpProblem as for `since_at`."""
    return WatchFilter(
        phases=asked.phase if isinstance(asked.phase, tuple) else tuple(filter(None, [asked.phase])),
        account=asked.account,
        label=asked.label,
        since=since_at(asked.since, now),
        text=asked.q,
    )


def delivery_filter(asked: Any, *, now: float) -> DeliveryFilter:
    """The deliveries that a query or form asks for. HttpProblem as for `since_at`."""
    return DeliveryFilter(
        states=tuple(filter(None, [asked.state])),
        endpoint=asked.endpoint,
        topic=asked.topic,
        since=since_at(asked.since, now),
    )


@contextmanager
def named_filters() -> Iterator[None]:
    """HttpProblem 422, with the parameter, when a filter names an unknown account or endpoint."""
    try:
        yield
    except UnknownNameError as error:
        raise invalid([(error.at, error.message)]) from None


def since_at(text: str | None, now: float) -> float | None:
    """The time in `since`. HttpProblem 422 if it is neither a time nor an age. In a query, the + of an offset that is
    not percent-encoded, as `date -Iseconds` prints it, arrives as a space."""
    try:
        return None if text is None else instant(_PLUS.sub("+", text) if "T" in text else text, now)
    except ValueError as error:
        raise invalid([("since", str(error))]) from None
