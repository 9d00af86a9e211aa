"""The stores that the contract is for: each engine, wherever it can be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.store import SqliteStore, open_store


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteStore]:
    path = tmp_path / "state.db" if request.param == "file" else ":memory:"
    store = open_store(path, create=True, group_access=False)
    yield store
    store.close()
