from __future__ import annotations

import itertools

import pytest

from bridge.domain.event import END_TOPICS, FOR_PEOPLE, ON_REQUEST, SUPERSEDED_BY_END, TASK_TOPICS, Topic
from bridge.domain.task import ABOUT_ACCOUNT, ENDS, FOLLOWS, LIVE, Phase, ReadingKind

ALLOWED = {
    ("submitted", "running"),
    ("submitted", "succeeded"),
    ("submitted", "failed"),
    ("submitted", "canceled"),
    ("submitted", "not_found"),
    ("submitted", "timed_out"),
    ("submitted", "withdrawn"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "canceled"),
    ("running", "not_found"),
    ("running", "timed_out"),
    ("running", "withdrawn"),
    ("withdrawn", "submitted"),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Phase, Phase)))
def test_the_table_of_phases_allows_exactly_these_pairs(before: Phase, after: Phase) -> None:
    assert (after in FOLLOWS[before]) is ((before, after) in ALLOWED)


def test_every_phase_is_live_or_final_or_withdrawn() -> None:
    assert {*LIVE, *ENDS, Phase.WITHDRAWN} == set(Phase) == set(FOLLOWS)
    assert len(LIVE) + len(ENDS) + 1 == len(Phase)


def test_no_final_phase_is_ever_left() -> None:
    assert all(not FOLLOWS[end] for end in ENDS)


def test_every_live_phase_can_reach_every_final_phase() -> None:
    assert all(ENDS <= FOLLOWS[phase] for phase in LIVE)


def test_only_refusals_of_the_key_are_about_the_account() -> None:
    assert ABOUT_ACCOUNT == {ReadingKind.AUTH_ERROR, ReadingKind.ACCOUNT_ERROR}


def test_every_final_phase_has_its_topic() -> None:
    assert {topic.facts.ends_as: topic for topic in Topic if topic.facts.ends_as} == {
        phase: f"task_{phase}" for phase in ENDS
    }
    about_tasks = {topic for topic in Topic if topic.facts.status}
    assert about_tasks == {topic for topic in Topic if topic.startswith("task_")} == TASK_TOPICS
    assert END_TOPICS | SUPERSEDED_BY_END <= TASK_TOPICS


def test_the_topics_that_not_every_endpoint_receives_are_the_documented_ones() -> None:
    assert {"task_running", "task_progress", "task_archived"} == ON_REQUEST
    assert {"endpoint_failing", "endpoint_recovered", "unknown_status"} == FOR_PEOPLE
    assert {"task_running", "task_progress"} == SUPERSEDED_BY_END
