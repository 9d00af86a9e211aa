"""How long a command takes to start: quick commands in a store of 1,000 tasks, next to `python -c pass`.

Each round runs every command once, in turn. Bytecode is compiled before, as an installer does. The account has a
default action, so `add` reads one provider description and matches one pattern. CPU is user and system time.
"""

from __future__ import annotations

import compileall
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.daemon import LOG, daemon, fill, settle
from benchmarks.http import free_port
from benchmarks.processes import ROOT, server, until
from benchmarks.tables import Report, Table, ratio, spread

TASKS: Final = 1000
SETTINGS: Final = """\
accounts:
  kling: {provider: kling, base_url: "http://127.0.0.1:9", api_key: "${KEY}", action: videos/text2video}
endpoints:
  automation: {type: webhook, url: "http://127.0.0.1:9/hook"}
"""
BARE: Final = (sys.executable, "-c", "pass")
COMMANDS: Final = (("--help",), ("list", "--limit", "20"), ("list",), ("add", "one-more"), ("status",))


class Took(NamedTuple):
    """How long one command took, in seconds."""

    wall_s: float
    cpu_s: float


def run(quick: bool) -> Report:
    tasks, rounds = (20, 1) if quick else (TASKS, 25)
    compileall.compile_dir(ROOT / "bridge", quiet=2)
    took: dict[Sequence[str], list[Took]] = {words: [] for words in (BARE, *COMMANDS)}
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "genbridge.yaml").write_text(SETTINGS)
        _run(scratch, "add", "-", lines=[f"task-{number}" for number in range(tasks)])
        for _ in range(rounds):
            for words, times in took.items():
                times.append(_timed(scratch, words if words is BARE else [*_genbridge(), *words]))
    rows = [
        [
            "python -c pass" if words is BARE else f"genbridge {' '.join(words)}",
            *(cell for place in (0, 1) for cell in _cells(times, took[BARE], place)),
        ]
        for words, times in took.items()
    ]
    table = Table(head=("command", "wall time", "/ python -c pass", "CPU", "/ python -c pass"), rows=rows)
    daemons = Table(head=("daemon with 1,000 tasks", "until ready"), rows=_daemons(tasks, min(rounds, 5)))
    return Report(title="Start of a command", how=__doc__, tables=[table, daemons], notes=["target: <= 10 (aim: 6)"])


def _daemons(tasks: int, rounds: int) -> list[list[str]]:
    rows = []
    with_http = {"http": {"listen": f"127.0.0.1:{free_port()}"}}
    sides: dict[str, dict[str, Any]] = {"genbridge run": {}, "with `http:`": with_http}
    for name, more in sides.items():
        with tempfile.TemporaryDirectory() as scratch, server("provider") as provider:
            log = {"level": "info", "format": "json"}
            settings = settle(Path(scratch), provider=provider.url, interval="1h", log=log, **more)
            fill(Path(scratch), [f"r{place}" for place in range(tasks)])
            rows.append([name, spread([_ready_s(settings) for _ in range(rounds)], unit="s")])
    return rows


def _ready_s(settings: Path) -> float:
    """Seconds from the start of a daemon until it is ready."""
    log = settings.with_name(LOG)
    log.unlink(missing_ok=True)
    begun_at = time.perf_counter()
    with daemon(settings):
        if not until(lambda: b"daemon.ready" in log.read_bytes(), seconds=60, every_s=0.01):
            raise RuntimeError("the daemon was not ready")
        return time.perf_counter() - begun_at


def _cells(times: Sequence[Took], bare: Sequence[Took], place: int) -> tuple[str, str]:
    """A time and its ratio to that of the bare interpreter."""
    ours, theirs = [one[place] for one in times], [one[place] for one in bare]
    return spread([seconds * 1000 for seconds in ours], unit="ms"), ratio(ours, theirs)


def _genbridge() -> list[str]:
    """The installed command, or the module in an environment without the command."""
    command = Path(sys.executable).with_name("genbridge")
    return [str(command)] if command.exists() else [sys.executable, "-m", "bridge"]


def _timed(folder: str, command: Sequence[str]) -> Took:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=_environment())
    ended, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(ended - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _run(folder: str, *words: str, lines: Sequence[str]) -> None:
    command, text = [*_genbridge(), *words], "\n".join(lines)
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, input=text, env=_environment())


def _environment() -> dict[str, str]:
    """Our environment, without variables that change which settings are found or that prevent the use of compiled
    bytecode."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("GENBRIDGE_", "PYTHON"))}
