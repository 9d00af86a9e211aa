"""Every subject of the benchmarks runs at its smallest size. The figures are not checked."""

from __future__ import annotations

import importlib
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import daemon
from benchmarks.__main__ import SUBJECTS
from benchmarks.processes import Measured
from benchmarks.tables import Report, number, percentile, spread
from tests import fork_server

NOT_HERE = {
    "peers",  # it installs programs from the package index, which no test may do
    "polls",  # the simulator has tests of its own
}


def started(settings: Path) -> Measured:
    """Start `genbridge run` as a copy of a process that has imported it already. The benchmarks start thirty."""
    with settings.with_name(daemon.LOG).open("ab") as log:
        process = fork_server.started(
            ["--config", str(settings), "run"], os.environ, out=log.fileno(), err=log.fileno()
        )
    return Measured(process)


@pytest.mark.long
@pytest.mark.timeout(400)  # Chromium draws each view as slowly as a slow phone
@pytest.mark.parametrize("subject", sorted(set(SUBJECTS) - NOT_HERE))
def test_a_benchmark_subject_runs_and_fills_its_tables(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"benchmarks.{subject}")
    for place in (daemon, module):
        monkeypatch.setattr(place, "started", started, raising=False)
    report: Report = module.run(True)
    assert report.tables
    for table in report.tables:
        assert len(table.rows) > 1
        assert all(len(row) == len(table.head) for row in table.rows)
    for svg in report.plots.values():
        assert ET.fromstring(svg).tag.endswith("svg")


def test_benchmark_figures_are_medians_with_their_spread() -> None:
    assert spread([3.0, 1.0, 200.0], unit="us") == "3 us (1-200)"
    assert spread([1234.5]) == "1,234"
    assert spread([]) == "-"
    assert number(0.01234) == "0.0123"
    assert percentile([5.0, 1.0, 3.0], 0.5) == 3.0
