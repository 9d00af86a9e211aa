"""Rules about tasks, watches, events and deliveries: no I/O, no clock, no log, no third-party import.

Instants (`..._at`) are UTC seconds since the epoch, durations (`..._s`) are seconds. Both are floats, because the
scheduler compares hundreds of thousands of them and both stores keep floats. They become RFC 3339 text in `cli/` and
milliseconds in payloads.
"""

from __future__ import annotations
