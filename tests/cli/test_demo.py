"""`demo`: what a newcomer sees first."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from bridge.cli.demo_board import next_steps
from bridge.screen import Screen, cells
from tests.cli.terminal import allow_ctrl_c, in_terminal, interrupt_at
from tests.disks import fill, small_disk
from tests.fork_server import completed
from tests.programs import ended


@pytest.mark.long
def test_the_demo_ends_with_a_line_per_webhook_and_a_summary(tmp_path: Path) -> None:
    (tmp_path / "genbridge.yaml").write_text("broken: [")
    began = time.monotonic()
    done = completed("demo", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    assert done.stderr == ""
    assert "\x1b" not in done.stdout, "plain lines off a terminal"
    story, _, summary = done.stdout.partition("\n\n")
    assert story.startswith("Simulated: the kling API with 8 tasks, and a webhook receiver. Real: genbridge.\n")
    assert story.count("the receiver is down, genbridge retries") >= 1
    assert " 200 after 503 http://127.0.0.1:" in story
    assert "503, then 200" in summary
    assert summary.partition("Next:")[2].count("genbridge") >= 3
    webhooks = [line for line in story.splitlines() if "evt_" in line]
    topics = {"task_succeeded", "task_failed"}
    assert {topic for topic in topics for line in webhooks if topic in line} == topics
    assert f"{len(webhooks)} tasks: {len(webhooks)} finished, {len(webhooks)} notified, 0 duplicate webhooks" in summary
    assert [file.name for file in tmp_path.iterdir()] == ["genbridge.yaml"]


@pytest.mark.long
def test_the_demo_polls_many_tasks_per_request_if_the_provider_can(tmp_path: Path) -> None:
    done = completed("demo", "--provider", "suno", "--speed", "4", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    _, _, summary = done.stdout.partition("\n\n")
    assert "8 tasks: 8 finished, 8 notified, 0 duplicate webhooks" in summary
    polls = sum(int(line.split()[2]) for line in summary.splitlines()[1:9])
    found = re.search(r"in (\d+) requests", summary)
    assert found is not None
    assert int(found[1]) < polls / 2


@pytest.mark.long
def test_a_kept_demo_serves_its_page_until_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bridge", "demo", "--speed", "10", "--keep"]
    with ended(
        subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=allow_ctrl_c,
        )
    ) as demo:
        assert demo.stdout is not None
        lines = []
        while "The page stays until you press Ctrl-C." not in lines:
            lines.append(demo.stdout.readline().rstrip("\n"))
            assert len(lines) < 200
        assert "Next:" in lines
        [page] = [line.removeprefix("Page:").strip() for line in lines if line.startswith("Page:")]
        assert "A lighthouse at dawn" in httpx.get(page, trust_env=False).text
        demo.send_signal(signal.SIGINT)
        rest, err = demo.communicate(timeout=20)
        assert (rest, err) == ("", "")
    assert demo.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "bridge", "demo"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with ended(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("Simulated: ")
        page = demo.stdout.readline().removeprefix("Page:").strip()
        assert "genbridge" in httpx.get(page, trust_env=False).text
        address = demo.stdout.readline().removeprefix("API:").strip()
        assert httpx.get(address, trust_env=False).json()["info"]["title"] == "genbridge"
        assert "queue/" in demo.stdout.readline()
        demo.send_signal(number)
        out, err = demo.communicate(timeout=20)
        assert "Traceback" not in err
        assert ", 0 notified, 0 duplicate webhooks" in out
    assert demo.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_a_demo_on_a_full_disk_names_the_folder(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size="2m") as disk:
        command, env = [sys.executable, "-m", "bridge", "demo"], {**os.environ, "TMPDIR": str(disk)}
        with ended(
            subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ) as demo:
            assert demo.stdout is not None
            while not demo.stdout.readline().startswith("API:"):
                assert demo.poll() is None
            filler = fill(disk)
            _, err = demo.communicate(timeout=60)
        assert list(disk.iterdir()) == [filler]
    assert demo.returncode == 69
    begin, _, to_do = err.splitlines()[-1].partition(": No space left on device; ")
    assert begin.startswith(f"genbridge: the demo cannot write to {disk}/genbridge-demo-")
    assert to_do == "free some space, or name another folder in TMPDIR"


def test_a_demo_whose_terminal_is_closed_leaves_nothing_behind(tmp_path: Path) -> None:
    command, env = [sys.executable, "-m", "bridge", "demo"], {**os.environ, "TMPDIR": str(tmp_path)}
    ours, theirs = os.openpty()
    with ended(subprocess.Popen(command, env=env, stdout=theirs, stderr=theirs, start_new_session=True)) as demo:
        os.close(theirs)
        said = b""
        while b"API:" not in said:
            said += os.read(ours, 1000)
        os.close(ours)  # from now on, writing to the terminal is an error
        demo.send_signal(signal.SIGHUP)
        demo.wait(timeout=20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}], ids=str)
def test_on_a_terminal_each_task_is_a_bar_then_result_and_answer(tmp_path: Path, env: dict[str, str]) -> None:
    said = in_terminal(tmp_path, "demo", "--speed", "5", env=env)
    frames, _, summary = "\n".join(said.lines).rpartition("TASK  ")
    marks = {"✓", "✗"} if not env else set()
    assert {"✓", "✗"} & set(summary) == marks
    for seen in ("━━━", "webhook 200", "503, genbridge retries", "comes in queue/more.json"):
        assert seen in frames, seen
    assert "8 tasks: 8 finished, 8 notified" in summary
    assert "503, then 200" in summary
    assert all(cells(line) <= 80 for line in summary.splitlines())
    assert "\x1b[?25h" in said, "the cursor is back"


@pytest.mark.parametrize("moment", ["Simulated:", "campaign.yaml", "notified"])
def test_ctrl_c_at_any_moment_gives_the_summary_so_far(tmp_path: Path, moment: str) -> None:
    env = {"TMPDIR": str(tmp_path)}
    # on a busy machine, two tasks may be notified between two frames
    texts = [f"{count} notified" for count in range(1, 8)] if moment == "notified" else [moment]
    said = in_terminal(tmp_path, "demo", "--speed", "5", env=env, on_output=interrupt_at(*texts), exits=130)
    assert "Traceback" not in said
    assert "Next:" not in said
    if moment != "Simulated:":
        assert said.lines[-1] == "the demo was stopped early; nothing is left behind"
        assert "8 tasks: " in said
    assert list(tmp_path.iterdir()) == []


def test_an_unsimulated_provider_is_a_mistake_that_names_the_others(tmp_path: Path) -> None:
    done = completed("demo", "--provider", "hunyuan", folder=tmp_path)
    assert done.returncode == 2
    assert "midjourney" in done.stderr


@pytest.mark.parametrize(
    ("provider", "path", "options"),
    [
        ("kling", "/kling/v1/videos/text2video/demo-20s", []),
        ("kling", "/kling/v1/videos/text2video/demo-20s", ["--key", "sesame"]),
        ("suno", "/suno/fetch/demo-20s", []),
        ("fal", "/fal-ai/veo3/requests/demo-20s/status", ["--key", "sesame"]),
        ("veo", "/v1beta/models/simulated/operations/demo-20s", []),
    ],
)
def test_simulate_says_how_to_try_the_provider(tmp_path: Path, provider: str, path: str, options: list[str]) -> None:
    words = [sys.executable, "-u", "-m", "bridge", "simulate", "--listen", "127.0.0.1:0", "--provider", provider]
    words += options
    with ended(subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout is not None
        said, tip = process.stdout.readline(), process.stdout.readline()
        base_url = re.search(r"http://127.0.0.1:\d+", said)
        assert base_url is not None
        assert f"provider {provider}" in said
        assert "sesame" not in tip
        *_, flag, header, url = shlex.split(tip.replace("KEY", "sesame"))
        name, _, value = header.partition(": ")
        assert [flag, url] == ["-H", base_url[0] + path]
        answer = httpx.get(url, headers={name: value}, trust_env=False)
        process.terminate()
        assert process.wait(30) == 0
    assert answer.is_success


@pytest.mark.parametrize(
    ("called", "on_path", "typed"),
    [
        (".venv/bin/genbridge", False, ".venv/bin/genbridge"),
        (".venv/bin/genbridge", True, "genbridge"),
        ("bridge/__main__.py", False, "genbridge"),
    ],
)
def test_the_next_steps_can_be_typed_as_they_are(
    called: str, on_path: bool, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_path:
        (tmp_path / "genbridge").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [called, "demo"])
    _, *steps = next_steps(Screen(80, 24, is_terminal=False, marks=False))
    assert [step.split()[:2] for step in steps] == [[typed, "init"], [typed, "run"], [typed, "explain"]]
