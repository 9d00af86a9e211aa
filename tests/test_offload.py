"""Calls of the store in a thread."""

from __future__ import annotations

import threading

import anyio
import pytest

from bridge.errors import StoreError
from bridge.offload import ThreadOffload


def test_without_a_free_thread_the_store_counts_as_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def call() -> None:
        offload = ThreadOffload()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(StoreError, match="no free thread"):
                await offload(int)
        assert await offload(int) == 0

    anyio.run(call)
