"""Every subject of the benchmarks runs at its smallest size. The figures are not checked."""

from __future__ import annotations

import importlib
import xml.etree.ElementTree as ET

import pytest

from benchmarks.__main__ import SUBJECTS
from benchmarks.tables import Report, number, percentile, spread

NOT_HERE = {
    "peers",  # it installs programs from the package index, which no test may do
    "polls",  # the simulator has tests of its own
}


@pytest.mark.long
@pytest.mark.timeout(400)  # Chromium draws each view as slowly as a slow phone
@pytest.mark.parametrize("subject", sorted(set(SUBJECTS) - NOT_HERE))
def test_a_benchmark_subject_runs_and_fills_its_tables(subject: str) -> None:
    report: Report = importlib.import_module(f"benchmarks.{subject}").run(True)
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
