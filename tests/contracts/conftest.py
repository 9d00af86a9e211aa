"""The stores of the contract tests: each engine that is available."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.store import Store, open_store
from tests.postgres import own_schema, wipe


@pytest.fixture(scope="session")
def kept_postgres(postgres_server: str) -> Iterator[PostgresUrl]:
    """A PostgreSQL store that exists already."""
    with own_schema(postgres_server) as place:
        open_store(place, create=True, group_access=False).close()
        yield place


@pytest.fixture(params=["file", "memory", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store: Store
    if request.param == "postgres":
        place: PostgresUrl = request.getfixturevalue("kept_postgres")
        wipe(place)
        store = open_store(place, create=False, group_access=False)
    else:
        path = tmp_path / "state.db" if request.param == "file" else ":memory:"
        store = open_store(path, create=True, group_access=False)
    yield store
    store.close()
