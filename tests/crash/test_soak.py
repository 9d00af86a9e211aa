"""The script of the long run (`soak.py`), run for a few seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.soak import Plan, Soak, is_broken

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]


@pytest.mark.long
def test_a_short_soak_loses_nothing_and_its_figures_agree(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, kills=2, rate=4, lasts_s=(0.5, 4), outages=("cut", "flaky"))
    soak = Soak(plan)
    figures = soak.run()
    print("\n".join(f"{name:<40} {value}" for name, value in figures.items()))
    assert not is_broken(figures)
    assert figures["exit codes at the end"] == [0]
    assert figures["kills"] == 2
    tasks = figures["tasks handed over"]
    assert tasks
    assert tasks == figures["ended at the provider"]
    assert tasks == figures["accepted at least once by steady"] == figures["accepted at least once by flaky"]
    in_flight = 2 * 8  # two endpoints, each with a concurrency of 8
    assert soak.world.repeats <= soak.world.answered_too_late + in_flight * plan.kills


def test_the_soak_script_explains_its_options() -> None:
    asked = [sys.executable, "-m", "tests.crash.soak", "--help"]
    told = subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60)
    assert told.returncode == 0
    assert all(option in told.stdout for option in ("--kills", "--hours", "--postgres", "--daemons", "--seed"))
