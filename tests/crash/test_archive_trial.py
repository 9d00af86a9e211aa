"""The script of the archive's trial (`archive_trial.py`), run with few bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.archive_trial import Plan, Trial, is_broken

pytestmark = [pytest.mark.crash, pytest.mark.long, pytest.mark.timeout(400)]


def test_a_short_trial_loses_no_copy(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, total_bytes=24 << 20, results=6, least_kills=2, kill_after_s=(4.0, 9.0), stall_s=0.5)
    figures = Trial(plan).run()
    print("\n".join(f"{name:<40} {value}" for name, value in figures.items()))
    assert not is_broken(figures)
    assert figures["results"] == 6
    assert figures["kills"]
