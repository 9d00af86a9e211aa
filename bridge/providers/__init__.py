"""Providers: interprets the answers of a vendor according to its description.

Nothing is imported here, because quick commands use `task_rules` without loading pydantic.
"""

from __future__ import annotations
