"""Values of parameters that pydantic does not know."""

from __future__ import annotations

from bridge.control.formats import instant
from bridge.http.problem_details import invalid


def since_at(text: str | None, now: float) -> float | None:
    """The time that `since` means. HttpProblem 422 when it is neither a time nor an age."""
    try:
        return None if text is None else instant(text, now)
    except ValueError as error:
        raise invalid([("since", str(error))]) from None
