"""Fixtures every test may use, and how a run is spread over processes."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from bridge.config.place import PostgresUrl
from tests.postgres import ADDRESS, own_schema, own_server


@pytest.fixture
def anyio_backend() -> str:
    """Adapters run on asyncio; engine tests widen this to trio in their own conftest."""
    return "asyncio"


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """What an engine exempts from the cyclic collector would be exempt in every later test here, and never be freed."""
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server: the one that is named, or one of this process's own. Skips loudly without."""
    if os.environ.get(ADDRESS):
        yield os.environ[ADDRESS]
        return
    with own_server() as server:
        yield server.url


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[PostgresUrl]:
    """A place for a store in PostgreSQL, empty."""
    with own_schema(postgres_server) as place:
        yield place


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Spread folders of tests over processes where pytest-xdist is there; `-n 0` or `--pdb` keep them in one, as files.

    Each process takes the next test when it has done one; those of an `xdist_group` go to one, as one at a time is
    enough for the cores.
    """
    is_worker = hasattr(config, "workerinput")  # a worker that started workers would never end doing so
    if is_worker or not config.pluginmanager.hasplugin("xdist") or config.option.dist != "no":
        return
    if config.option.numprocesses is None and not all(".py" in name for name in config.args):
        config.option.numprocesses = "auto"
    if config.option.numprocesses:
        config.option.dist = "loadgroup"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """More than there are cores: many tests wait for real time to pass."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # the plugin heeds it
    return min((os.cpu_count() or 1) + 2, 8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that none of them is what a run waits for in the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
