"""How the values that only daemons and `status` need are stored."""

from __future__ import annotations

from typing import Final

from bridge.domain.health import Health
from bridge.domain.source import SourceFacts
from bridge.store.records import Record

HEALTH: Final = Record("health", Health, "health")
SOURCES: Final = Record("source", SourceFacts, "sources")
