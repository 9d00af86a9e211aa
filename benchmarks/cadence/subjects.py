"""Each comparison of the schedules, and its result as rows of figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.cadence.crowd import play_crowd
from benchmarks.cadence.gateway import InStep, refreshed
from benchmarks.cadence.optimum import optimum
from benchmarks.cadence.play import Score, play, polls_at, score
from benchmarks.cadence.schedules import Backoff, Fixed, Learned, Schedule, ShareOfAge, knowing
from benchmarks.cadence.tasks import MIX, ReadingKind, Task, draw

KINDS = [kind for kind, _ in MIX]
WORTH = 0.35  # leads to about ten polls for a task of the mix
Rows = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    title: str
    head: tuple[str, ...]
    rows: Rows


def frontier(number: int) -> Answer:
    """Polls and delay of each schedule for the mix."""
    tasks = draw(number, seed=1)
    schedules: list[tuple[str, Schedule]] = [
        *((f"every {interval_s} s", Fixed(interval_s)) for interval_s in (5, 10, 15)),
        *((f"backoff x2, at most {cap_s} s", Backoff(cap_s)) for cap_s in (30, 60)),
        ("a tenth of the age", ShareOfAge()),
        ("known, exponent 1/2, worth 0.8", knowing(KINDS, exponent=1 / 2, worth=0.8**0.5)),
        *((f"known, exponent 1/3, c = {c}", knowing(KINDS, exponent=1 / 3, worth=c)) for c in (0.25, WORTH, 0.5)),
        ("optimum (dynamic programming)", optimum(KINDS, worth=1.6)),
        *((f"learned, c = {c}", Learned(c)) for c in (0.15, 0.25, WORTH, 0.5)),
        (f"learned, kinds not distinguished, c = {WORTH}", Learned(WORTH, is_one_kind=True)),
    ]
    rows: Rows = []
    for name, schedule in schedules:
        found = play(tasks, schedule)
        rows.append((name, *figures(found), f"{polls_at(tasks, found.mean_s) / found.polls:.2f}"))
    head = ("schedule", "polls", "mean s", "p95 s", "polls x mean", "fewer polls than fixed, at equal mean")
    return Answer(title=f"All schedules, with {number} tasks of the mix", head=head, rows=rows)


def figures(found: Score) -> tuple[str, ...]:
    return f"{found.polls:.1f}", f"{found.mean_s:.1f}", f"{found.p95_s:.1f}", f"{found.product:.0f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The learned cadence for all tasks of each kind, including those from which it learns, weighted as in the mix."""

    learned: Score
    fewer_than_fixed: float
    fewer_than_backoff: float  # the smaller ratio of those for two caps


def learning_included(number: int = 200, *, seeds: Sequence[int] = range(1, 5)) -> Whole:
    """Simulate this many tasks of each kind, without previous knowledge. Compare with a fixed interval and a capped
    backoff of the same mean delay."""
    lots = [(share, draw(number, seed=seed, kinds=[(kind, 1.0)])) for seed in seeds for kind, share in MIX]

    def mixed(scores: Sequence[Score]) -> Score:
        total = sum(share for share, _ in lots)
        means = [
            sum(share * value for (share, _), value in zip(lots, values, strict=True)) / total
            for values in zip(*((each.polls, each.mean_s, each.p95_s) for each in scores), strict=True)
        ]
        return Score(polls=means[0], mean_s=means[1], p95_s=means[2], each=())

    def at(worth: float) -> Score:
        return mixed([play(tasks, Learned(worth)) for _, tasks in lots])

    learned = at(WORTH)
    fixed = mixed([play(tasks, Fixed(2 * learned.mean_s)) for _, tasks in lots])
    fixed_polls = fixed.polls * fixed.mean_s / learned.mean_s
    ratios = []
    for cap_s, worth in ((30.0, 0.16), (60.0, 0.08)):
        backoff = mixed([play(tasks, Backoff(cap_s)) for _, tasks in lots])
        ours = at(worth)
        # The polls of ours at the backoff's mean delay, because polls x mean delay stays the same.
        ratios.append(backoff.polls / (ours.product / backoff.mean_s))
    return Whole(learned=learned, fewer_than_fixed=fixed_polls / learned.polls, fewer_than_backoff=min(ratios))


def learning(seeds: int, *, drift: bool = False) -> Answer:
    """The cost compared with a schedule that knows the distribution, by how many tasks of the kind have been seen. With
    `drift`, tasks take twice as long after the hundredth."""
    spans = ((0, 5), (5, 10), (10, 20), (20, 50), (50, 100), (100, 110), (110, 120), (120, 150), (150, 200))
    names = KINDS if not drift else [*KINDS, *(replace(k, name=f"{k.name} x2", median_s=k.median_s * 2) for k in KINDS)]
    knows = knowing(names, exponent=1 / 3, worth=WORTH)
    ours: dict[tuple[int, int], list[tuple[int, float]]] = {span: [] for span in spans}
    theirs: dict[tuple[int, int], list[tuple[int, float]]] = {span: [] for span in spans}
    for kind, _ in MIX[:2]:
        for seed in range(seeds):
            tasks = draw(200, seed=seed, kinds=[(kind, 1.0)], every_s=120.0)
            if drift:
                tasks[100:] = [replace(task, duration_s=task.duration_s * 2) for task in tasks[100:]]
            known = [
                replace(task, kind=task.kind + (" x2" if drift and n >= 100 else "")) for n, task in enumerate(tasks)
            ]
            found, best = play(tasks, Learned(WORTH)), play(known, knows)
            for first, last in spans:
                ours[first, last] += found.each[first:last]
                theirs[first, last] += best.each[first:last]
    rows: Rows = []
    for span in spans:
        mine, best = score(ours[span]), score(theirs[span])
        rows.append(
            (
                f"{span[0] + 1} to {span[1]}",
                *figures(mine)[:3],
                *figures(best)[:3],
                f"{(mine.product / best.product) ** 0.5:.2f}",
            )
        )
    title = "Durations double at the 101st task" if drift else "Cold start"
    head = ("tasks", "polls", "mean s", "p95 s", "known: polls", "mean s", "p95 s", "cost / known")
    return Answer(title=title, head=head, rows=rows)


def crowds(seeds: int) -> Answer:
    """Many tasks that share requests to a list endpoint."""
    rows: Rows = []
    for in_flight in (5, 30, 100):
        for worth in (0.35, 0.5, 0.7):
            found = [play_crowd(in_flight, worth=worth, seed=seed) for seed in range(seeds)]
            means = [
                sum(values) / seeds
                for values in zip(
                    *((each.requests, each.mean_s, each.p95_s, each.first_s) for each in found), strict=True
                )
            ]
            rows.append((f"{in_flight} in flight, c = {worth}", *(f"{mean:.2f}" for mean in means)))
    head = ("list endpoint", "requests per task", "mean s", "p95 s", "first poll after s")
    return Answer(title="Many tasks in one request", head=head, rows=rows)


def by_progress(number: int) -> Answer:
    """How much the provider's progress helps, and what it costs when it is wrong."""
    rows: Rows = []
    for name, stuck_at in (
        ("progress that moves", (999.0,)),
        ("stuck at 0 % to the end", (0.0,)),
        ("stuck at 50 %", (50.0,)),
        ("stuck at 95 %", (95.0,)),
        ("every second stuck at 30 %", (999.0, 30.0)),
    ):
        tasks = [
            replace(task, stuck_at=stuck_at[place % len(stuck_at)]) for place, task in enumerate(draw(number, seed=3))
        ]
        without, followed = play(tasks, Learned(WORTH)), play(tasks, Learned(WORTH, by_progress=True))
        rows.append((name, *figures(without), *figures(followed), f"{without.product / followed.product:.2f}"))
    head = ("progress", *("polls", "mean s", "p95 s", "product") * 2, "gain")
    return Answer(title="Without and with progress", head=head, rows=rows)


def aggregators(number: int) -> Answer:
    """How much it would help to know when an aggregator refreshes."""
    rows: Rows = []
    for period_s in (10.0, 15.0):
        tasks: list[Task] = refreshed(draw(number, seed=4), period_s)
        for name, schedule in (
            ("learned", Learned(WORTH)),
            ("learned, in step with the refreshes", InStep(Learned(WORTH), period_s)),
        ):
            rows.append((f"every {period_s:g} s: {name}", *figures(play(tasks, schedule))))
    head = ("aggregator that refreshes", "polls", "mean s behind the refresh", "p95 s", "product")
    return Answer(title="An aggregator with its own copy", head=head, rows=rows)


def kinds_alone(number: int) -> Answer:
    """Each kind by itself. Learning saves more polls when durations vary less."""
    rows: Rows = []
    for kind in (
        *KINDS,
        ReadingKind(name="narrow", median_s=120.0, spread=0.2),
        ReadingKind(name="wide", median_s=120.0, spread=0.8),
    ):
        tasks = draw(number, seed=5, kinds=[(kind, 1.0)])
        found, best = play(tasks, Learned(WORTH)), play(tasks, optimum([kind], worth=1.0))
        gain = [polls_at(tasks, each.mean_s) / each.polls for each in (found, best)]
        name = f"{kind.name}: {kind.median_s:g} s, spread {kind.spread:g}"
        rows.append((name, *figures(found)[:3], f"{gain[0]:.2f}", f"{gain[1]:.2f}"))
    head = ("kind", "polls", "mean s", "p95 s", "fewer than fixed", "optimum: fewer")
    return Answer(title="Each kind alone: learned compared with fixed, at equal mean delay", head=head, rows=rows)
