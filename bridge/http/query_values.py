"""Types of parameters that pydantic does not have."""

from __future__ import annotations

from bridge.control.formats import instant
from bridge.http.problem_details import invalid


def since_at(text: str | None, now: float) -> float | None:
    """The time in `since`. HttpProblem 422 if it is neither a time nor an age."""
    try:
        return None if text is None else instant(text, now)
    except ValueError as error:
        raise invalid([("since", str(error))]) from None
