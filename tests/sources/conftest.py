"""A queue folder and its source, with the fast clock and the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.clock import SystemClock
from bridge.sources.queue import Queue
from tests.fakes import RecordingIntake
from tests.sources.rig import QuickClock, make_reader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "queue"


@pytest.fixture
def intake() -> RecordingIntake:
    return RecordingIntake()


@pytest.fixture
def queue(folder: Path, intake: RecordingIntake) -> Queue:
    return Queue(folder, intake=intake, reader=make_reader(), clock=QuickClock())


@pytest.fixture
def timely(folder: Path, intake: RecordingIntake) -> Queue:
    """A source that uses the real clock."""
    return Queue(folder, intake=intake, reader=make_reader(), clock=SystemClock())
