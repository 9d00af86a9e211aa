from __future__ import annotations

import pytest

from tests.net import pair


@pytest.fixture(params=["asyncio", "httpx"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which transport carries the requests of this test."""
    monkeypatch.setattr(pair, "kind", request.param)
    return str(request.param)
