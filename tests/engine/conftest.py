"""Engine tests run on both event loops: two schedulers find what one hides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """Faults are provoked here by the dozen: painting each, with all variables, would take half a second."""
    *others, _ = structlog.get_config()["processors"]
    painter = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*others, painter])
    yield
    structlog.reset_defaults()
