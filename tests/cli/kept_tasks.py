"""The tasks of the fixture `store`, and the shapes in which the commands show them."""

from __future__ import annotations

import re

from bridge.domain.ids import WatchKey
from bridge.http.api_models import DeliveryRecord, TaskRecord

WATCH_KEYS = list(TaskRecord.model_fields)
DELIVERY_KEYS = list(DeliveryRecord.model_fields)
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DONE, BAD, LIVE = (WatchKey("kling", name) for name in ("done", "bad", "live"))
FAR = 4_000_000_000.0
