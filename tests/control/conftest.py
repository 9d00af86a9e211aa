"""The store and the settings that the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.config.load import Loaded, load
from bridge.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "state.db", create=True, group_access=False)
    yield store
    store.close()


@pytest.fixture
def loaded(tmp_path: Path, request: pytest.FixtureRequest) -> Loaded:
    """The `SETTINGS` of the test's module."""
    path = tmp_path / "genbridge.yaml"
    path.write_text(request.module.SETTINGS)
    return load(path, {})
