"""`python -m benchmarks.cadence [--quick]`: how many polls the learned cadence and other schedules need for a given
delay.

Time is simulated and the seeds are fixed, so the figures are the same on every machine. The arithmetic is the daemon's
own.
"""

from __future__ import annotations

import sys

from benchmarks.cadence import subjects
from benchmarks.cadence.called import by_callbacks
from benchmarks.cadence.subjects import Answer
from benchmarks.tables import Table


def text(answer: Answer) -> str:
    """A heading and a table."""
    return f"## {answer.title}\n\n{Table(head=answer.head, rows=answer.rows)}\n"


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    number, seeds = (1000, 4) if quick else (4000, 20)
    whole = subjects.learning_included(seeds=range(1, 3 if quick else 9))
    print(
        f"200 tasks for each kind, from nothing: {whole.learned.polls:.1f} polls, {whole.learned.mean_s:.1f} s mean; "
        f"{whole.fewer_than_fixed:.2f} times fewer polls than a fixed interval of the same mean, "
        f"{whole.fewer_than_backoff:.2f} times fewer than a capped backoff\n"
    )
    print(text(subjects.frontier(number)))
    print(text(subjects.kinds_alone(number // 2)))
    print(text(subjects.learning(seeds)))
    print(text(subjects.learning(seeds, drift=True)))
    print(text(subjects.crowds(max(2, seeds // 4))))
    print(text(subjects.by_progress(number // 2)))
    print(text(subjects.aggregators(number // 2)))
    print(text(by_callbacks(number // 2)))


if __name__ == "__main__":
    main()
