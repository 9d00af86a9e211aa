"""Fixtures for every test, and how a run is distributed over processes."""

from __future__ import annotations

import gc
import math
import os
import pkgutil
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import pytest
from coverage import Coverage

import bridge
from bridge import redaction
from bridge.config.postgres_url import PostgresUrl
from bridge.store import Store, open_store
from tests.postgres import ADDRESS, own_schema, own_server

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

# No deadlines: on a busy machine they fail good code. Tests of speed measure CPU time.
hypothesis.settings.register_profile("genbridge", deadline=None)
hypothesis.settings.load_profile("genbridge")


CORE_MINUTES: Final = 19  # time of a whole run together with the other steps of .ci/run, on 2 cores
MEASURED: Final = "COVERAGE_PROCESS_START"  # this variable is set for processes that measure their coverage
TESTS: Final = Path(__file__).parent
WITHOUT_COVERAGE: Final = {"crash", "e2e", "page", "test_architecture.py", "test_benchmarks.py"}  # run nothing here
ONLY_COMPUTE: Final = {"config", "contracts", "domain", "expressions", "providers"}  # their tests wait for nothing

Tracers = tuple[Any, Any]
"""The functions that see every line that this thread and new ones run. coverage.py's, or None."""

TRACERS: Final = pytest.StashKey[Tracers]()
IS_UNMEASURED: Final = pytest.StashKey[bool]()


def runs_all(config: pytest.Config) -> bool:
    """Whether pytest was called without naming any tests."""
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say how long a run of all tests takes."""
    if not runs_all(config):
        return None
    cores = os.cpu_count() or 1
    minutes = math.ceil(CORE_MINUTES / min(cores, 4))
    return f"duration: about {minutes} minutes on {cores} cores; `pytest tests/domain` takes seconds"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store in a SQLite file."""
    store = open_store(tmp_path / "state.db", create=True, group_access=False)
    yield store
    store.close()


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio. The engine's tests also run on trio: see their conftest."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no daemon of a test write to the state folder of the person who runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Undo `gc.freeze()`: objects that an engine froze would never be freed in this test process."""
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def forgotten_secrets() -> Iterator[None]:
    """Forget the secrets of the test. A key such as `text` would be hidden in the output of every later test."""
    before = [*redaction._secrets]
    yield
    redaction._secrets[:] = before


@pytest.fixture(scope="module", autouse=True)
def measured_programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Measure coverage in the processes that run tests, not in those that tests start: each start would take half as
    long again, and a process that is killed writes no result. But `bridge/http` runs in daemons alone. Of the tests in
    a browser, those of one view run nearly all lines of the page."""
    setting = os.environ.get(MEASURED)
    folders = request.path.relative_to(TESTS).parts[:-1]
    if "http" not in folders or ("page" in folders and not request.path.stem.endswith("_view")):
        os.environ.pop(MEASURED, None)
    yield
    if setting is not None:
        os.environ[MEASURED] = setting


@pytest.fixture
def unmeasured_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no coverage in the processes that this test of `bridge/http` starts, because they work long. Other tests
    run the same lines."""
    monkeypatch.delenv(MEASURED, raising=False)


@pytest.fixture
def unmeasured(request: pytest.FixtureRequest) -> None:
    """Measure no coverage in this test, because tracing makes it up to three times as long. Other tests run the same
    lines."""
    request.node.stash[IS_UNMEASURED] = True


def trace(tracers: Tracers) -> Tracers:
    """Set the tracers. Returns those that were set before."""
    before = sys.gettrace(), threading.gettrace()
    sys.settrace(tracers[0])
    threading.settrace(tracers[1])
    return before


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Measure coverage while a test runs, but not between tests, where pytest alone runs."""
    if pyfuncitem.stash.get(IS_UNMEASURED, False):
        return (yield)
    before = trace(pyfuncitem.config.stash[TRACERS])
    try:
        return (yield)
    finally:
        trace(before)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server: the one in $GENBRIDGE_TEST_POSTGRES, or one that this process starts.

    Skips the test where PostgreSQL is not installed.
    """
    if os.environ.get(ADDRESS):
        yield os.environ[ADDRESS]
        return
    with own_server() as server:
        yield server.url


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[PostgresUrl]:
    """The URL of an empty PostgreSQL schema for one store."""
    with own_schema(postgres_server) as place:
        yield place


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Distribute directories of tests over processes if pytest-xdist is installed.

    Single files, `-n 0` and `--pdb` stay in one process. Each process takes the next test when it has finished one, or
    the next file if its tests run together.
    """
    is_worker = hasattr(config, "workerinput")  # a worker must not start workers
    if is_worker or not config.pluginmanager.hasplugin("xdist") or config.option.dist != "no":
        return
    if config.option.numprocesses is None and not all(".py" in name for name in config.args):
        config.option.numprocesses = "auto"
    if config.option.numprocesses:
        config.option.dist = "loadscope"
        config.option.loadscopereorder = False  # the long tests first, not the files with the most tests


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Distribute tests one by one, but some files as a whole."""
    from tests.distribution import Distribution  # here: pytest-xdist may be missing

    return Distribution(config, log, together=ONLY_COMPUTE)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Start three workers for each core: the tests that take long mostly wait for real time to pass."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # the plugin reads it itself
    return min(3 * (os.cpu_count() or 1), 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """In a new checkout, compile the tests once. Otherwise each process would compile all of them, for five seconds.

    Measure no coverage in this process, which runs no test."""
    trace((None, None))
    is_compiled = any(TESTS.glob("domain/__pycache__/test_*.pyc"))
    if runs_all(config) and not is_compiled and not sys.dont_write_bytecode:
        env = {name: value for name, value in os.environ.items() if name != MEASURED}
        command = [sys.executable, "-m", "pytest", "--collect-only", "-n", "0", str(TESTS)]
        subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=False)  # a mistake shows in the run itself


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect the tests without the garbage collector, which finds nothing to free and takes two fifths of the time.

    To measure coverage there would take as long again, so all of genbridge is imported before."""
    if sys.gettrace() is not None:
        for module in pkgutil.walk_packages(bridge.__path__, "bridge."):
            import_module(module.name)
    session.config.stash[TRACERS] = trace((None, None))
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Save the coverage of this process now, not at its exit: ten seconds later, xdist kills it."""
    if (measured := Coverage.current()) is not None:
        measured.stop()
        measured.save()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage in tests that run nothing of genbridge in this process, nor in those that run the same lines
    for a hundred examples. But of the domain, every line must have run.

    Start the long tests first, so that the run does not wait for one of them at the end, and those that only compute
    last: they keep every core busy to the end."""
    folders = {path: {*path.relative_to(TESTS).parts} for path in {item.path for item in items}}
    for item in items:
        is_random = hypothesis.is_hypothesis_test(getattr(item, "obj", None)) and "domain" not in folders[item.path]
        if is_random or WITHOUT_COVERAGE & folders[item.path]:
            item.stash[IS_UNMEASURED] = True
    items.sort(key=lambda item: (item.get_closest_marker("long") is None, bool(ONLY_COMPUTE & folders[item.path])))
