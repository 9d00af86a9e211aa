"""Python's cyclic collector, told to rest while much is built that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resting() -> Iterator[None]:
    """It would go through what is being built again and again, for a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def spare() -> None:
    """Never go through what there is now: at a million watches each look would stop everything for a second. What is
    let go of is freed all the same, for it forms no cycles."""
    gc.freeze()


def clear() -> None:
    """Go through everything once if anything was spared: that is over, and whatever held it may well form cycles."""
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()
