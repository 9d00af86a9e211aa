"""Numbered migrations that upgrade a store: append-only SQL files.

The missing ones are applied in one transaction, so a failed upgrade leaves the old store. The number of the last one is
the store's version, set in the same transaction.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bridge.errors import StoreDamaged, StoreError


@cache
def migrations(engine: str) -> tuple[str, ...]:
    """The scripts of this engine (a folder of `sql/`), in order. Each upgrades a store by one version, the first one to
    version 1."""
    files = sorted((Path(__file__).parent / "sql" / engine).glob("*.sql"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1)), "numbered without gaps"
    return tuple(file.read_text(encoding="utf-8") for file in files)


def other_version(place: object, version: int, latest: int) -> StoreError:
    if version > latest:
        known = f"(store version {version}; this one knows {latest})"
        return StoreDamaged(f"store {place} was written by a newer genbridge {known}: upgrade genbridge")
    return StoreError(f"store {place} has an older version: `genbridge store migrate` upgrades it")
