"""Fixtures every test may use."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Adapters run on asyncio; engine tests widen this to trio in their own conftest."""
    return "asyncio"
