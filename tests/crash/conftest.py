"""Fixtures of the crash tests: a provider and receiver, and daemons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.config.postgres_url import PostgresUrl
from tests.crash.crew import Crew
from tests.world import World, running_world


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as world:
        yield world


@pytest.fixture
def crew(world: World, tmp_path: Path, postgres: PostgresUrl) -> Iterator[Crew]:
    with Crew(world, tmp_path, postgres.reveal()) as crew:
        yield crew
