"""Checks task ids and derives event ids."""

from __future__ import annotations

import base64
import unicodedata
from typing import Final, NamedTuple

MAX_TASK_ID_CHARS: Final = 512
ARCHIVE: Final = "@archive"  # the reserved endpoint whose deliveries are copies


class WatchKey(NamedTuple):
    """The identity of a watch: one task of one account."""

    account: str
    task_id: str


def clean_task_id(text: str) -> str:
    """The task id without surrounding whitespace. ValueError with a reason when it cannot be an id.

    Ids are opaque: `0123` stays `0123`, and everything that can be percent-encoded is allowed. `.` and `..` are
    invalid, because HTTP clients resolve them as path segments.
    """
    task_id = text.strip()
    if not task_id:
        raise ValueError("the id is empty")
    if len(task_id) > MAX_TASK_ID_CHARS:
        raise ValueError(f"the id has {len(task_id)} characters; at most {MAX_TASK_ID_CHARS} are allowed")
    if task_id in {".", ".."}:
        raise ValueError(f'"{task_id}" cannot be an id: it is a path segment')
    for char in task_id:
        if char == "\t":
            raise ValueError("the id holds a tab: it looks like a row of a table; name the file .csv")
        if "\ud800" <= char <= "\udfff":  # a byte that could not be decoded, or half a character
            raise ValueError("the id is not valid UTF-8")
        if unicodedata.category(char) in {"Cc", "Zl", "Zp"}:
            raise ValueError(f"the id holds the control character U+{ord(char):04X}")
    return task_id


def event_id(topic: str, account: str, subject: str, generation: int, part: str = "") -> str:
    """The id of an event, derived from facts so that it is the same again after a crash.

    `subject` is the task id (or the endpoint's name), `generation` counts `--again` (or the blocks of an account), and
    `part` distinguishes events of one topic in one generation (the percentage of `task_progress`). The id has no `.`,
    as Standard Webhooks 1.0.0 demands for `webhook-id`.
    """
    import hashlib  # imported here, because quick commands need no events

    digest = hashlib.sha256()
    for text in (topic, account, subject, str(generation), part):
        raw = text.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return "evt_" + base64.b32encode(digest.digest()[:20]).decode().lower()
