"""Types of parameters that pydantic does not have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bridge.control.formats import instant
from bridge.errors import UnknownNameError
from bridge.http.problem_details import invalid


@contextmanager
def named_filters() -> Iterator[None]:
    """HttpProblem 422, with the parameter, when a filter names an unknown account or endpoint."""
    try:
        yield
    except UnknownNameError as error:
        raise invalid([(error.at, str(error))]) from None


def since_at(text: str | None, now: float) -> float | None:
    """The time in `since`. HttpProblem 422 if it is neither a time nor an age."""
    try:
        return None if text is None else instant(text, now)
    except ValueError as error:
        raise invalid([("since", str(error))]) from None
