"""Arithmetic about tasks, watches, events and deliveries: no I/O, no clock, no log, no third-party import.

Instants (`..._at`) are seconds since the epoch as floats, UTC; durations (`..._s`) are seconds. Floats, because
the scheduler compares hundreds of thousands of them and both stores keep them as they are; they become RFC 3339
text in `cli/` and milliseconds in payloads.
"""

from __future__ import annotations
