"""Links to an archive that does not answer."""

from __future__ import annotations

import threading
from functools import partial

import anyio
import anyio.to_thread
import pytest

from bridge.archive.place import PlaceFailed
from bridge.http import result_routes


async def test_links_to_an_archive_that_hangs_leave_all_other_threads_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_routes, "READ_S", 0.2)
    other = anyio.to_thread.current_default_thread_limiter()
    answered, refused = threading.Event(), []

    async def follow() -> None:
        with pytest.raises(PlaceFailed, match="no answer within"):
            await result_routes.in_thread(partial(answered.wait, 30))
        refused.append(True)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(follow)
            await anyio.sleep(0.1)
            assert other.borrowed_tokens == 0
    answered.set()
    assert len(refused) == 20
