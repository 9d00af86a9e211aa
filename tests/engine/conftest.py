"""Engine tests run on both event loops, because two schedulers find more bugs than one."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    if backend == "trio":
        request.getfixturevalue("unmeasured")
    return backend


@pytest.fixture(autouse=True)
def unfrozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let engines freeze no objects: with frozen ones, each load would collect the garbage of this whole test process,
    0.2 s and more. tests/service/test_reloads.py tests what freezing is for."""
    monkeypatch.setattr(gc, "freeze", lambda: None)


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """Log plain tracebacks: these tests cause dozens, and rendering all variables of one takes half a second. Nor do
    they log each poll."""
    *others, _ = structlog.get_config()["processors"]
    painter = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    quiet = structlog.make_filtering_bound_logger(logging.INFO)
    structlog.configure(processors=[*others, painter], wrapper_class=quiet)
    yield
    structlog.reset_defaults()
