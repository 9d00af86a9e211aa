"""Providers: reads what descriptions say about the answers of a vendor.

Nothing is imported here: `task_rules` is for quick commands, which do without pydantic.
"""

from __future__ import annotations
