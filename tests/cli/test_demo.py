"""`demo`: what a newcomer sees first."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.programs import ended


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge", *words], cwd=folder, capture_output=True, text=True, timeout=100
    )


@pytest.mark.long
def test_the_demo_ends_by_itself_with_a_line_per_webhook_and_a_summary(tmp_path: Path) -> None:
    (tmp_path / "genbridge.yaml").write_text("broken: [")
    began = time.monotonic()
    done = run(tmp_path, "demo")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    assert done.stderr == ""
    assert "\x1b" not in done.stdout, "plain lines off a terminal"
    story, _, summary = done.stdout.partition("\n\n")
    webhooks = [line for line in story.splitlines() if "evt_" in line]
    topics = {"task_succeeded", "task_failed"}
    assert {topic for topic in topics for line in webhooks if topic in line} == topics
    assert f"{len(webhooks)} tasks: {len(webhooks)} finished, {len(webhooks)} notified, 0 duplicate webhooks" in summary
    assert [file.name for file in tmp_path.iterdir()] == ["genbridge.yaml"]


@pytest.mark.long
def test_the_demo_of_a_provider_with_batches_asks_about_many_tasks_in_one_request(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "--provider", "suno", "--speed", "4")
    assert (done.returncode, done.stderr) == (0, "")
    _, _, summary = done.stdout.partition("\n\n")
    assert "8 tasks: 8 finished, 8 notified, 0 duplicate webhooks" in summary
    polls = sum(int(line.split()[2]) for line in summary.splitlines()[1:9])
    found = re.search(r"in (\d+) requests", summary)
    assert found is not None
    assert int(found[1]) < polls / 2


def test_a_demo_that_is_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bridge", "demo"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with ended(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)) as demo:
        assert demo.stdout is not None
        address = demo.stdout.readline().removeprefix("API: ").strip()
        assert httpx.get(address, trust_env=False).json()["info"]["title"] == "genbridge"
        assert "queue/" in demo.stdout.readline()
        demo.terminate()
        assert "Traceback" not in demo.communicate(timeout=20)[1]
    assert demo.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_a_provider_that_is_not_simulated_is_a_mistake_that_names_the_others(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "--provider", "pika")
    assert done.returncode == 2
    assert "midjourney" in done.stderr


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("kling", "/kling/v1/videos/text2video/demo-20s"),
        ("suno", "/suno/fetch/demo-20s"),
        ("veo", "/v1beta/models/simulated/operations/demo-20s"),
    ],
)
def test_simulate_says_how_to_try_the_provider(tmp_path: Path, provider: str, path: str) -> None:
    words = [sys.executable, "-u", "-m", "bridge", "simulate", "--listen", "127.0.0.1:0", "--provider", provider]
    with ended(subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout is not None
        said, tip = process.stdout.readline(), process.stdout.readline()
        base_url = re.search(r"http://127.0.0.1:\d+", said)
        assert base_url is not None
        assert f"provider {provider}" in said
        url = shlex.split(tip.removeprefix("try: "))[-1]
        assert url == base_url[0] + path
        answer = httpx.get(url, headers={"authorization": "Bearer x"}, trust_env=False)
        process.terminate()
        assert process.wait(30) == 0
    assert answer.status_code == 200
