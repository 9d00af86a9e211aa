"""`demo`: what a newcomer sees first."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path


def test_the_demo_ends_by_itself_with_a_line_per_webhook_and_a_summary(tmp_path: Path) -> None:
    (tmp_path / "genbridge.yaml").write_text("broken: [")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    assert done.stderr == ""
    assert "\x1b" not in done.stdout, "plain lines off a terminal"
    story, _, summary = done.stdout.partition("\n\n")
    webhooks = [line for line in story.splitlines() if "evt_" in line]
    topics = {"task_succeeded", "task_failed"}
    assert {topic for topic in topics for line in webhooks if topic in line} == topics
    assert f"{len(webhooks)} tasks: {len(webhooks)} ended, {len(webhooks)} told, 0 webhooks came twice" in summary
    assert [file.name for file in tmp_path.iterdir()] == ["genbridge.yaml"]
