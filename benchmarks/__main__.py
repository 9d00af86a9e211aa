"""`python -m benchmarks [SUBJECT ...]`: measure, and print a table for each subject. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Final

from benchmarks.report_file import write

SUBJECTS: Final = (
    "start",
    "poll",
    "concurrency",
    "connections",
    "memory",
    "delay",
    "burst",
    "commits",
    "sharing",
    "http",
    "page",
    "left_open",
    "gateway",
    "archive",
    "polls",
    "peers",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"one of: {', '.join(SUBJECTS)}; all by default")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="use the smallest sizes: shows that a benchmark works, not how fast genbridge is",
    )
    parser.add_argument("--write", action="store_true", help="write the report into docs/benchmarks.md")
    chosen = parser.parse_args()
    if unknown := set(chosen.subjects) - set(SUBJECTS):
        parser.error(f"unknown subject: {', '.join(sorted(unknown))}; choose from {', '.join(SUBJECTS)}")
    for subject in chosen.subjects or SUBJECTS:
        begun_at = time.monotonic()
        report = importlib.import_module(f"benchmarks.{subject}").run(chosen.quick)
        print(f"\n## {report.title}\n\n{report}\n\n({time.monotonic() - begun_at:.0f} s)", flush=True)
        if chosen.write:
            write(subject, report)


if __name__ == "__main__":
    main()
