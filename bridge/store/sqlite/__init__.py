"""The store in one SQLite file. Nothing is imported here: readers do without what only a daemon needs."""

from __future__ import annotations
