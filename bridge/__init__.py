"""genbridge: watches asynchronous generation tasks and notifies people and programs when they finish."""

from __future__ import annotations

__version__ = "0.2.0"
