"""Fixtures for stores and their locations."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from bridge.store import Store, open_store

AsUser = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = open_store(path, create=True, group_access=False)
    yield store
    store.close()


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Path]:
    """A directory that every user may enter (pytest's own are private)."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


@pytest.fixture
def as_user() -> AsUser:
    """`with as_user(uid, gid):` runs the block as that user. Only root can do this."""
    if os.geteuid() != 0:
        pytest.skip("acting as another user needs root (run the tests as root)")

    @contextmanager
    def act(uid: int, gid: int) -> Iterator[None]:
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(gid)
        os.seteuid(uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)

    return act
