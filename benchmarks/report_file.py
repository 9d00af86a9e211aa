"""Writes what a subject measured into `docs/benchmarks.md`, between the two marks of the subject, with date, machine
and commit."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.processes import ROOT
from benchmarks.tables import Report

PAGE: Final = ROOT / "docs" / "benchmarks.md"
PLOTS: Final = ROOT / "docs" / "benchmarks"


def write(subject: str, report: Report) -> None:
    """Replace the subject's section; plots become files beside the page."""
    begin, end = f"<!-- {subject}: written by `python -m benchmarks --write` -->", f"<!-- end of {subject} -->"
    PLOTS.mkdir(exist_ok=True)
    images = []
    for name, svg in report.plots.items():
        (PLOTS / f"{name}.svg").write_text(svg)
        images.append(f"![{report.title}](benchmarks/{name}.svg)")
    text = "\n\n".join([begin, str(report), *images, f"*{stamp()}*", end])
    page = PAGE.read_text()
    marked = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if marked.search(page):
        page = marked.sub(lambda _: text, page)
    else:
        page = f"{page.rstrip()}\n\n## {report.title}\n\n{text}\n"
    PAGE.write_text(page)


def stamp() -> str:
    """The date, the machine and the commit of a measurement."""
    day = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    git = ["git", "-C", str(ROOT), "show", "-s", "--format=%h of %cs"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "no commit"
    return f"{day}, {_machine()}, Python {platform.python_version()}, commit {commit}, load {os.getloadavg()[1]:.1f}"


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.+)", info)
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024**2
    return f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory} GB, Linux"
