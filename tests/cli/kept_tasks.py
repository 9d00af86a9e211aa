"""The tasks of the fixture `store`, and the shapes in which the commands show them."""

from __future__ import annotations

import re

from bridge.domain.ids import WatchKey

WATCH_KEYS = [
    *("account", "id", "action", "label", "meta", "phase", "added_at", "ended_at", "next_poll_at", "polls"),
    *("progress", "urls", "reason", "eta_at", "eta_low_at", "eta_high_at"),
]
DELIVERY_KEYS = [
    *(
        "event_id",
        "endpoint",
        "target",
        "topic",
        "account",
        "id",
        "about",
        "state",
        "attempts",
        "next_attempt_at",
        "last_outcome",
        "created_at",
        "last_reason",
    ),
]
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DONE, BAD, LIVE = (WatchKey("kling", name) for name in ("done", "bad", "live"))
FAR = 4_000_000_000.0
