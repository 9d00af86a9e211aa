"""How ids are checked and derived."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from typing import Final, NamedTuple

MAX_TASK_ID_CHARS: Final = 512


class WatchKey(NamedTuple):
    """A watch's identity: one task of one account."""

    account: str
    task_id: str


def clean_task_id(text: str) -> str:
    """Trim a task id and return it; ValueError with a reason when it cannot be one.

    Ids are opaque: `0123` stays `0123`, and anything that survives percent-encoding is fine. `.` and `..` are
    refused because HTTP clients resolve them as path segments.
    """
    task_id = text.strip()
    if not task_id:
        raise ValueError("the id is empty")
    if len(task_id) > MAX_TASK_ID_CHARS:
        raise ValueError(f"the id has {len(task_id)} characters; at most {MAX_TASK_ID_CHARS} are allowed")
    if task_id in {".", ".."}:
        raise ValueError(f'"{task_id}" cannot be an id: it is a path segment')
    for char in task_id:
        if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}:
            raise ValueError(f"the id holds the control character U+{ord(char):04X}")
    return task_id


def event_id(topic: str, account: str, subject: str, generation: int, part: str = "") -> str:
    """The id of an event, derived so that it repeats after a crash.

    `subject` is the task id (or the endpoint's name), `generation` counts `--again` (or blocks of an account),
    `part` tells apart events of one topic in one generation (the percentage of `task_progress`). The answer has
    no `.` inside, as Standard Webhooks 1.0.0 demands of `webhook-id`.
    """
    digest = hashlib.sha256()
    for text in (topic, account, subject, str(generation), part):
        raw = text.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return "evt_" + base64.b32encode(digest.digest()[:20]).decode().lower()
