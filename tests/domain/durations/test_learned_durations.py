from __future__ import annotations

import pytest

from bridge.domain.durations.bins import bin_of
from bridge.domain.durations.learned_durations import MOST_KINDS, LearnedDurations
from bridge.domain.durations.table import DurationKey, Table

VIDEO = DurationKey("kling", "videos/text2video")


def taught(knowledge: LearnedDurations, key: DurationKey, duration_s: float, number: int = 40) -> LearnedDurations:
    for _ in range(number):
        knowledge.ended(key, duration_s * 0.95, duration_s * 1.05, at_s=duration_s, succeeded=True)
    return knowledge


def test_a_providers_duration_is_used_if_it_fits_the_observation() -> None:
    knowledge = LearnedDurations()
    knowledge.ended(VIDEO, 50.0, 70.0, at_s=52.0, succeeded=True)
    assert knowledge.take_fresh()[VIDEO].ends[bin_of(52.0)] == 1.0


@pytest.mark.parametrize("at_s", [None, 0.0, -5.0, 49.0, 71.0, 1e9])
def test_without_a_finish_time_the_finish_is_between_the_last_two_polls(at_s: float | None) -> None:
    knowledge = LearnedDurations()
    knowledge.ended(VIDEO, 63.0, 67.0, at_s=at_s, succeeded=True)
    knowledge.ended(VIDEO, 50.0, 70.0, at_s=at_s, succeeded=True)
    table = knowledge.take_fresh()[VIDEO]
    assert sum(table.ends[bin_of(50.0) : bin_of(70.0) + 1]) == pytest.approx(1.97)
    assert table.weight == pytest.approx(1.97)


def test_running_time_counts_before_any_task_has_finished() -> None:
    knowledge = LearnedDurations()
    before_s = knowledge.fit(VIDEO).quantile_s(0.0, 0.5)
    for _ in range(20):
        knowledge.seen(VIDEO, 0.0, 100.0)
        knowledge.seen(VIDEO, 100.0, 300.0)
    assert knowledge.fit(VIDEO).quantile_s(0.0, 0.5) > 2 * before_s


def test_a_fit_is_made_again_only_when_enough_has_happened() -> None:
    knowledge = taught(LearnedDurations(), VIDEO, 60.0)
    fit = knowledge.fit(VIDEO)
    knowledge.seen(VIDEO, 10.0, 12.0)
    assert knowledge.fit(VIDEO) is fit
    knowledge.seen(VIDEO, 0.0, 10_000.0)
    fit = knowledge.fit(VIDEO)
    taught(knowledge, VIDEO, 60.0, number=2)
    assert knowledge.fit(VIDEO) is fit
    taught(knowledge, VIDEO, 60.0, number=1)
    assert knowledge.fit(VIDEO) is not fit


def test_fresh_observations_are_returned_once_and_can_be_put_back() -> None:
    knowledge = taught(LearnedDurations(), VIDEO, 60.0, number=3)
    taken = knowledge.take_fresh()
    assert taken[VIDEO].count == 3
    assert knowledge.take_fresh() == {}
    taught(knowledge, VIDEO, 60.0, number=2)
    knowledge.put_back(taken)
    assert knowledge.take_fresh()[VIDEO].count == 5


def test_observations_that_are_being_stored_still_count() -> None:
    knowledge = taught(LearnedDurations(), VIDEO, 60.0, number=4)
    knowledge.take_fresh()
    taught(knowledge, VIDEO, 60.0, number=4)
    assert knowledge.fit(VIDEO).count == 8
    knowledge.stored({VIDEO: None})  # an unreadable table changes nothing
    assert knowledge.fit(VIDEO).count == 8


def test_stored_tables_replace_known_ones_but_not_fresh_observations() -> None:
    knowledge = taught(LearnedDurations(), VIDEO, 60.0, number=4)
    taken = knowledge.take_fresh()[VIDEO]
    taught(knowledge, VIDEO, 60.0, number=2)
    theirs = taught(LearnedDurations(), VIDEO, 60.0, number=10).take_fresh()[VIDEO]
    theirs.absorb(taken)
    knowledge.stored({VIDEO: theirs})
    assert knowledge.fit(VIDEO).count == 16
    assert knowledge.take_fresh()[VIDEO].count == 2


def test_a_new_kind_learns_from_its_account_then_from_its_provider() -> None:
    knowledge = LearnedDurations({"one": "kling", "two": "kling", "three": "suno"})
    taught(knowledge, DurationKey("one", "videos"), 400.0)
    taught(knowledge, DurationKey("three", "songs", "v4"), 30.0)
    taught(knowledge, DurationKey("three", "songs", "v3"), 30.0)
    median = {
        key: knowledge.fit(key).quantile_s(0.0, 0.5)
        for key in (DurationKey("two", "videos"), DurationKey("three", "songs"))
    }
    assert median[DurationKey("two", "videos")] > 250
    assert median[DurationKey("three", "songs")] < 50
    assert knowledge.fit(DurationKey("three", "videos")).support == 0
    assert knowledge.fit(DurationKey("two", "songs")).support == 0
    assert len(knowledge) == 7


def test_the_error_of_progress_is_learned_only_from_successes() -> None:
    knowledge = LearnedDurations()
    knowledge.ended(VIDEO, 50.0, 70.0, at_s=60.0, succeeded=True, rest_s=20.0)
    knowledge.ended(VIDEO, 50.0, 70.0, at_s=60.0, succeeded=False, rest_s=20.0)
    table = knowledge.take_fresh()[VIDEO]
    assert table.moments.forecasts == pytest.approx(0.97)
    assert table.moments.error_sum < 0
    assert isinstance(table, Table)


def test_after_a_thousand_kinds_of_tasks_new_ones_share_one_table() -> None:
    knowledge = LearnedDurations()
    for place in range(MOST_KINDS + 500):
        knowledge.seen(DurationKey("kling", f"action {place}"), 0.0, 10.0)
    assert len(knowledge) == MOST_KINDS + 1
    assert sum(knowledge.take_fresh()[DurationKey("")].exposure_s) == pytest.approx(5000.0)


@pytest.mark.parametrize("duration_s", [20.0, 60.0, 400.0, 2000.0])
def test_running_tasks_do_not_change_the_usual_duration(duration_s: float) -> None:
    knowledge = taught(LearnedDurations(), VIDEO, duration_s)
    usual_s = [knowledge.usual(VIDEO).quantile_s(0.0, part) for part in (0.1, 0.5, 0.9)]
    assert usual_s[1] == pytest.approx(duration_s, rel=0.15)
    assert usual_s[0] < duration_s < usual_s[2]
    for _ in range(40):
        knowledge.seen(VIDEO, 0.0, 10 * duration_s)
    taken = knowledge.take_fresh()
    knowledge.stored(taken)
    assert [knowledge.usual(VIDEO).quantile_s(0.0, part) for part in (0.1, 0.5, 0.9)] == pytest.approx(usual_s)
    assert knowledge.fit(VIDEO).quantile_s(0.0, 0.5) > 1.2 * usual_s[1]  # the fit for polls does include running tasks


def test_the_usual_duration_follows_finished_tasks() -> None:
    knowledge = taught(LearnedDurations(), VIDEO, 60.0)
    before_s = knowledge.usual(VIDEO).quantile_s(0.0, 0.5)
    taught(knowledge, VIDEO, 300.0)
    assert knowledge.usual(VIDEO).quantile_s(0.0, 0.5) > 2 * before_s
    assert knowledge.usual(VIDEO).count == 80


def test_the_usual_duration_of_similar_tasks_counts_finished_ones_only() -> None:
    other = DurationKey("kling", "videos/text2video", "v2")
    knowledge = taught(LearnedDurations(), VIDEO, 60.0)
    before_s = knowledge.usual(other).quantile_s(0.0, 0.9)
    for _ in range(40):
        knowledge.seen(VIDEO, 0.0, 3000.0)
    fresh = LearnedDurations()
    fresh.stored(knowledge.take_fresh())
    assert fresh.usual(other).quantile_s(0.0, 0.9) == pytest.approx(before_s)


@pytest.mark.parametrize("duration_s", [5000.0, 20_000.0])
def test_the_usual_duration_is_hours_for_tasks_that_take_hours(duration_s: float) -> None:
    knowledge = LearnedDurations()
    for _ in range(40):
        knowledge.seen(VIDEO, 0.0, duration_s * 0.95)
        taught(knowledge, VIDEO, duration_s, 1)
    assert knowledge.usual(VIDEO).quantile_s(0.0, 0.9) > duration_s
    assert knowledge.usual(VIDEO).quantile_s(0.0, 0.5) == pytest.approx(duration_s, rel=0.4)
