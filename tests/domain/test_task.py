from __future__ import annotations

import itertools

import pytest

from bridge.domain.event import ON_REQUEST, OPERATOR_TOPICS, TASK_STATUS, Topic
from bridge.domain.task import ABOUT_ACCOUNT, ENDS, FOLLOWS, LIVE, Phase, ReadingKind
from tests.factories import END_TOPICS

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


def test_every_topic_has_one_class_and_task_topics_their_documented_status() -> None:
    assert sorted([*END_TOPICS, *ON_REQUEST, *OPERATOR_TOPICS]) == sorted(Topic)
    assert set(TASK_STATUS) == END_TOPICS | ON_REQUEST
    assert TASK_STATUS[Topic.TASK_SUCCEEDED] == "succeed"
