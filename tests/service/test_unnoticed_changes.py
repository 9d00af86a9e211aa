"""A daemon on a shared store that cannot notice the changes of others."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import anyio
import pytest

from bridge.clock import SystemClock
from bridge.config.postgres_url import PostgresUrl
from bridge.engine import store_outage
from bridge.engine.store_outage import StoreOutage
from bridge.errors import StoreError
from bridge.metrics import Metrics
from bridge.offload import ThreadOffload
from bridge.ports import News
from bridge.store import open_store
from bridge.wiring.parts import Parts
from tests.service.test_reloads import settings


async def test_a_shared_store_that_cannot_notice_changes_counts_as_failing(
    tmp_path: Path, postgres: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_outage, "QUIET_S", 0.1)
    outage, clock, news = StoreOutage(SystemClock()), SystemClock(), Mock(side_effect=StoreError("too many"))
    offload = outage.watching(ThreadOffload())
    with closing(open_store(postgres, create=True, group_access=False)) as store, anyio.fail_after(20):
        monkeypatch.setattr(store, "news", news)
        parts = Parts(
            settings(tmp_path, "one"),
            store=store,
            clock=clock,
            offload=offload,
            lease_offload=offload,
            metrics=Metrics(),
        )
        async with anyio.create_task_group() as group:
            group.start_soon(parts.follow_news)
            while outage.failure() is None:
                await anyio.sleep(0.01)
            news.side_effect, news.return_value = None, News()
            while outage.failure() is not None:
                await anyio.sleep(0.05)
                await offload(store.revision)
            group.cancel_scope.cancel()
