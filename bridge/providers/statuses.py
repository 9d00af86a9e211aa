"""What an HTTP status means for a poll, when the body does not say more. Nothing of any vendor is known here."""

from __future__ import annotations

from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from bridge.domain.backoff import parse_retry_after
from bridge.domain.task import Kind, Reading
from bridge.net.client import Answer
from bridge.providers.values import one_line


class Shape(Enum):
    """What a body is. Middle boxes answer in HTML or text; only JSON comes from the provider itself."""

    JSON = "JSON"
    EMPTY = "an empty body"
    TEXT = "a body that is no JSON"


_ABOUT_ACCOUNT: Final = frozenset({402, 403, 407})
_ABOUT_ID: Final = frozenset({404, 410})
_ABOUT_REQUEST: Final = frozenset({400, 405, 406, 409, 415, 422})


def by_status(answer: Answer, shape: Shape, *, said: str = "") -> Reading:
    """The reading of an answer judged by its HTTP status; `said` is what the body says, for people."""
    return read_as(_kind(answer.status, shape), answer, said=said or _told(answer, shape))


def read_as(kind: Kind, answer: Answer, *, said: str) -> Reading:
    """A reading of this kind, with what the status line and the headers add."""
    return Reading(
        kind=kind,
        detail=f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}",
        retry_after_s=_retry_after_s(answer) if kind in {Kind.RATE_LIMITED, Kind.TRANSIENT} else None,
        server_trouble=answer.status >= 500,
    )


def _retry_after_s(answer: Answer) -> float | None:
    return parse_retry_after(answer.headers.get("retry-after"), date=answer.headers.get("date"))


def _kind(status: int, shape: Shape) -> Kind:
    from_provider = shape is Shape.JSON
    if 200 <= status < 300:
        return Kind.AMBIGUOUS if from_provider else Kind.TRANSIENT
    if status == 401:
        return Kind.AUTH_ERROR
    if status in _ABOUT_ACCOUNT and shape is not Shape.TEXT:
        return Kind.ACCOUNT_ERROR
    if status in _ABOUT_ID and from_provider:
        return Kind.NOT_FOUND
    if status in _ABOUT_REQUEST and from_provider:
        return Kind.BAD_REQUEST
    return Kind.RATE_LIMITED if status == 429 else Kind.TRANSIENT


def _told(answer: Answer, shape: Shape) -> str:
    if 300 <= answer.status < 400:
        return f"redirected to {_host(answer.headers.get('location', ''))}; redirects are not followed"
    return "" if shape is Shape.JSON else shape.value


def _host(location: str) -> str:
    try:
        return one_line(urlsplit(location).hostname or "another path", 100)
    except ValueError:
        return "nowhere"
