"""Does a poll cost the same with more requests in flight? The daemon of subject `poll`, limited to 1, 16, 64 and 256
requests at once, compared with the same loop over a default `httpx.AsyncClient`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from benchmarks.plots import lines
from benchmarks.poll import FEW, WATCHES, of_genbridge, of_loop
from benchmarks.processes import server
from benchmarks.tables import Report, Table, median, ratio, spread

IN_FLIGHT: Final = (1, 16, 64, 256)


def run(quick: bool) -> Report:
    seconds, rounds, steps = (0.2, 1, (16, 256)) if quick else (2.0, 3, IN_FLIGHT)
    ours: dict[int, list[float]] = {step: [] for step in steps}
    plain: dict[int, list[float]] = {step: [] for step in steps}
    with server("provider") as provider, tempfile.TemporaryDirectory() as scratch:
        for place in range(rounds):
            for step in steps:
                folder = Path(scratch) / f"{place}-{step}"
                folder.mkdir()
                watches = FEW if quick else WATCHES
                cost = of_genbridge(provider, folder, in_flight=step, seconds=seconds, watches=watches)
                ours[step].append(cost)
                plain[step] += of_loop("httpx", provider, in_flight=step, seconds=seconds)
    rows = [[str(step), spread(ours[step], unit="us"), spread(plain[step], unit="us")] for step in steps]
    rows.append(["256 / 16", ratio(ours[256], ours[16]), ratio(plain[256], plain[16])])
    plot = lines(
        {
            "genbridge": [(step, median(ours[step])) for step in steps],
            "httpx loop": [(step, median(plain[step])) for step in steps],
        },
        x="requests in flight",
        y="us CPU per poll",
    )
    return Report(
        title="Concurrency",
        how=__doc__,
        tables=[Table(head=("in flight", "genbridge, CPU per poll", "httpx loop, CPU per poll"), rows=rows)],
        notes=["target: 256 / 16 <= 1.1"],
        plots={"concurrency": plot},
    )
