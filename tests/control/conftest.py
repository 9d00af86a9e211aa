"""The settings that the tests of this room share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config.load import Loaded, load


@pytest.fixture
def loaded(tmp_path: Path, request: pytest.FixtureRequest) -> Loaded:
    """The `SETTINGS` of the test's module."""
    path = tmp_path / "genbridge.yaml"
    path.write_text(request.module.SETTINGS)
    return load(path, {})
