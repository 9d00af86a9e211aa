"""What a request for a file asks for: a part of it, or the whole only if it has changed (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers

from bridge.http.problem_details import HttpProblem

_RANGES: Final = re.compile(r"bytes\s*=(.*)", re.IGNORECASE)
_RANGE: Final = re.compile(r"\s*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\s*")


def requested_parts(text: str | None, size: int) -> list[tuple[int, int]]:
    """The parts (start, stop) that a Range header requests of a file of this size. Empty if there is no header, or if
    it must be ignored, because it is malformed or in another unit. HttpProblem 416 if the file has none of them."""
    given = _RANGES.fullmatch((text or "").strip())
    found = [_RANGE.fullmatch(one) for one in given[1].split(",")] if given else []
    parts = [_part(one[1], one[2], one[3], size) for one in found if one is not None and _is_ordered(one[1], one[2])]
    if len(parts) < len(found) or not parts:
        return []
    parts = [(start, stop) for start, stop in parts if start < stop]
    if not parts:
        raise HttpProblem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"the file has {size} bytes, and none in this range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return parts


def _is_ordered(first: str | None, last: str | None) -> bool:
    return not (first and last) or int(first) <= int(last)


def _part(first: str | None, last: str | None, suffix: str | None, size: int) -> tuple[int, int]:
    if first is None:
        return max(0, size - int(suffix or 0)), size
    return int(first), min(size, int(last) + 1) if last else size


def is_unchanged(headers: Headers, *, etag: str, last_modified: str) -> bool:
    """Whether the client already has this version of the file, so that the answer is 304."""
    if (tags := headers.get("if-none-match")) is not None:
        known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return bool(known & {"*", etag})
    try:
        since = parsedate_to_datetime(headers.get("if-modified-since", ""))
        return parsedate_to_datetime(last_modified) <= since
    except (TypeError, ValueError):  # no date, or one without a time zone
        return False
