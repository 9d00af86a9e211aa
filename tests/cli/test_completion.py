"""Tab completion, requested as a shell requests it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import Shell


def completed(folder: Path, line: str) -> list[str]:
    """The words that bash gets for the end of this line."""
    words = line.split(" ")
    asked = {"_GENBRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    script = "from bridge.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.fixture
def folder(shell: Shell) -> Path:
    assert shell("add", "task-1", "task-2", "other").code == 0
    return shell.folder


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("genbridge show ta", ["task-2", "task-1"]),
        ("genbridge withdraw task-1 ta", ["task-2"]),
        ("genbridge deliveries --task o", ["other"]),
        ("genbridge add ta", []),
        ("genbridge list --account ", ["kling"]),
        ("genbridge test ", ["hook", "chat"]),
        ("genbridge pause ", ["hook", "chat", "kling"]),
        ("genbridge --config genbridge.yaml enable h", ["hook"]),
        ("genbridge providers repl", ["replicate"]),
        ("genbridge init --provider com", ["comfyui"]),
        ("genbridge ini", ["init"]),
    ],
)
def test_words_of_the_settings_and_the_store_are_offered(line: str, words: list[str], folder: Path) -> None:
    assert completed(folder, line) == words


def test_completion_without_settings_is_empty_and_silent(shell: Shell) -> None:
    (shell.folder / "genbridge.yaml").unlink()
    assert completed(shell.folder, "genbridge show ") == []
