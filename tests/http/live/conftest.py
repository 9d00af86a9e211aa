"""The store, its follower, and the thread that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.store import Store, open_follower, open_store
from bridge.store.event_log import FollowStore
from tests.http.live.following import CountingOffload


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "state.db", create=True, group_access=False)
    yield store
    store.close()


@pytest.fixture
def follower(store: Store, tmp_path: Path) -> Iterator[FollowStore]:
    follower = open_follower(tmp_path / "state.db")
    yield follower
    follower.close()


@pytest.fixture
def offload() -> CountingOffload:
    return CountingOffload()
