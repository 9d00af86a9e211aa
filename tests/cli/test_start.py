"""Quick commands start quickly: they import no library that they do not need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import pytest

from tests.cli.shell import Shell

HEAVY: Final = {
    *("pydantic", "pydantic_core", "jinja2", "markupsafe", "httpx", "httpcore", "apprise", "requests", "rich", "re2"),
    *("jmespath", "psycopg", "structlog", "asyncio", "email", "ssl", "difflib", "importlib.resources", "tempfile"),
    *("bridge.cli.usage_errors", "bridge.cli.foreground", "bridge.cli.wait"),
    *("bridge.wiring.parts", "bridge.domain.change", "bridge.store.full_store", "bridge.store.commits"),
}
SCRIPT: Final = """\
import sys
from bridge.cli import outcome
code = outcome(sys.argv[1:])
print("imported", *sorted(sys.modules))
sys.exit(code)
"""


def imported(shell: Shell, *words: str) -> set[str]:
    """Which of the heavy modules a command imports."""
    run = subprocess.run([sys.executable, "-c", SCRIPT, *words], cwd=shell.folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return HEAVY & set(run.stdout.splitlines()[-1].split())


def test_simulate_does_without_the_daemon() -> None:
    script = "import sys, bridge.cli.simulate; sys.exit(bool({'bridge.app', 'bridge.wiring.parts'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_daemon_loads_no_library_that_draws_in_a_terminal() -> None:
    script = "import sys, bridge.cli.run; print(*sys.modules); import rich.console, httpx"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"rich", "pygments", "attr"} & set(run.stdout.split())


def test_a_daemon_that_notifies_only_programs_loads_only_what_that_takes(shell: Shell) -> None:
    shell.settings({"endpoints": {"hook": {"type": "webhook", "url": "http://127.0.0.1:9/hook"}}})
    environment = {**os.environ, "KLING_KEY": "k-0123456789"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, "once"], cwd=shell.folder, capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "bridge.sinks.webhook" in loaded
    assert not {"jinja2", "apprise", "bridge.sinks.texts", "bridge.sinks.robot", "bridge.sinks.chat"} & loaded
    assert "bridge.sinks.chat_cards" not in loaded
    assert not {"starlette", "uvicorn", "prometheus_client"} & loaded


def test_serving_the_page_loads_no_library_of_ciphers() -> None:
    script = "import sys, bridge.cli.run, bridge.http.serving; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"cryptography", "jwt"} & set(run.stdout.split())


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["add", "--help"],
        ["add", "t2"],
        ["list"],
        ["list", "--json"],
        ["status"],
        ["status", "--json"],
        ["show", "t1"],
        ["deliveries"],
        ["poll", "t1"],
        ["withdraw", "t1"],
        ["pause", "hook"],
        ["resume", "hook"],
        ["enable", "hook"],
    ],
    ids=" ".join,
)
def test_a_quick_command_imports_no_heavy_library(shell: Shell, words: Sequence[str]) -> None:
    if "--help" not in words:
        assert shell("add", "t1").code == 0
    assert imported(shell, *words) == set()
