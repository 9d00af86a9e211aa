"""The follower of a store, and the thread that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.store import Store, open_follower
from bridge.store.event_log import FollowStore
from tests.http.live.following import CountingOffload


@pytest.fixture
def follower(store: Store, tmp_path: Path) -> Iterator[FollowStore]:
    follower = open_follower(tmp_path / "state.db")
    yield follower
    follower.close()


@pytest.fixture
def offload() -> CountingOffload:
    return CountingOffload()
