"""`python -m benchmarks [SUBJECT ...] [--quick]`: measure, and print a table for each subject."""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Final

SUBJECTS: Final = ("poll",)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--quick", action="store_true", help="least sizes: whether it works, not how fast")
    chosen = parser.parse_args()
    for subject in chosen.subjects or SUBJECTS:
        begun_at = time.monotonic()
        report = importlib.import_module(f"benchmarks.{subject}").run(chosen.quick)
        print(f"\n## {report.title}\n\n{report}\n\n({time.monotonic() - begun_at:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
