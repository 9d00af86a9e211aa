"""genbridge: watches asynchronous generation tasks and tells people and programs when they end."""

from __future__ import annotations

__version__ = "0.1.0"
