"""Counts the objects that a call leaves to the garbage collector. This costs more than freeing them at once."""

from __future__ import annotations

import gc
from collections.abc import Callable


def left_by(call: Callable[[], object]) -> int:
    """The number of objects in reference cycles that nothing uses after the call."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        call()
        return gc.collect()
    finally:
        if was_enabled:
            gc.enable()
