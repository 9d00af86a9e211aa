"""Settings of the property tests: no deadline, because the time of an example depends on the machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("arithmetic", deadline=None)
settings.load_profile("arithmetic")
