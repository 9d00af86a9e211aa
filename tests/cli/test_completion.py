"""Tab completion, requested as a shell requests it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.fork_server import completed


def offered(folder: Path, line: str) -> list[str]:
    """The words that bash gets for the end of this line."""
    words = line.split(" ")
    asked = {"_GENBRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = completed(folder=folder, env=asked)
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
    assert offered(folder, line) == words


def test_completion_without_settings_is_empty_and_silent(shell: Shell) -> None:
    (shell.folder / "genbridge.yaml").unlink()
    assert offered(shell.folder, "genbridge show ") == []
