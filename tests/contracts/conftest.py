"""The stores that the contract is for: each engine, wherever it can be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.store import Store, open_store


@pytest.fixture(params=["file", "memory", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    match request.param:
        case "file":
            place = tmp_path / "state.db"
        case "memory":
            place = Path(":memory:")
        case _:
            place = request.getfixturevalue("postgres")
    store = open_store(place, create=True, group_access=False)
    yield store
    store.close()
