"""Control of Python's cyclic garbage collector, for a daemon that keeps millions of objects."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NEW_OBJECTS: Final = 10_000  # the daemon makes hardly any cycles; Python's own 700 cost 3 % of its CPU time in a burst


@contextmanager
def resting() -> Iterator[None]:
    """Pause the collector while many long-lived objects are built. Otherwise it would take a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def spare() -> None:
    """Exclude all current objects from collection: with a million watches, each pass would stop the daemon for a
    second. They form no cycles, so they are still freed. Now the collector runs after `NEW_OBJECTS` new objects."""
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)


def clear(*, spared: bool = True) -> None:
    """Collect garbage once, if objects were excluded. Call it after you drop objects that may be part of cycles. Use
    `spared` if these may be among the excluded objects; without it, only the few others are searched."""
    if gc.get_freeze_count():
        if spared:
            gc.unfreeze()
        gc.collect()
