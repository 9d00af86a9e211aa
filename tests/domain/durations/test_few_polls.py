"""The figures that genbridge promises for few polls, in simulated time with fixed seeds: a short run of
`python -m benchmarks.cadence`."""

from __future__ import annotations

import pytest

from benchmarks.cadence import subjects
from benchmarks.cadence.crowd import play_crowd
from benchmarks.cadence.play import Score, play
from benchmarks.cadence.schedules import Fixed, Learned, knowing
from benchmarks.cadence.tasks import draw
from bridge.domain.durations.budget import WORTH

pytestmark = pytest.mark.usefixtures("unmeasured")


def test_learned_polls_are_fewer_than_with_a_fixed_interval_or_backoff() -> None:
    whole = subjects.learning_included(200, seeds=range(1, 9))
    assert whole.fewer_than_fixed >= 1.3
    assert whole.fewer_than_backoff >= 2.0


def test_thirty_tasks_in_one_list_take_about_one_request_each() -> None:
    found = [play_crowd(30, worth=WORTH, seed=seed) for seed in range(4)]
    assert sum(each.requests for each in found) / 4 <= 1.2
    assert sum(each.mean_s for each in found) / 4 <= 3.0


def test_after_durations_have_doubled_it_is_soon_as_good_as_before() -> None:
    answer = subjects.learning(6, drift=True)
    costs = [float(row[-1]) for row in answer.rows]
    assert max(costs[2:5]) <= 1.15
    assert max(costs[5:7]) <= 1.25
    assert max(costs[7:]) <= 1.15


def test_moving_progress_helps_and_stuck_progress_does_no_harm() -> None:
    gains = {row[0]: float(row[-1]) for row in subjects.by_progress(600).rows}
    assert gains["progress that moves"] >= 1.7
    assert min(gains.values()) >= 0.95


def test_the_p95_delay_is_not_longer_than_with_as_many_fixed_polls() -> None:
    tasks = draw(2000, seed=7)

    def per_poll(score: Score) -> float:
        return score.p95_s * score.polls

    assert per_poll(play(tasks, Learned(WORTH))) <= 1.05 * per_poll(play(tasks, Fixed(10.0)))


def test_a_learned_cadence_costs_little_more_than_a_known_one() -> None:
    tasks = draw(2000, seed=8)
    known = knowing(subjects.KINDS, exponent=1 / 3, worth=subjects.WORTH)
    assert play(tasks, Learned(subjects.WORTH)).product <= 1.15 * play(tasks, known).product


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (play(draw(50, seed=9), Learned(WORTH)) for _ in range(2))
    assert first == second
