from __future__ import annotations

import pytest

from bridge.domain.event import Topic
from bridge.domain.sample import URL, is_sample, sample_event
from tests.factories import NOW, make_event


def test_the_sample_looks_like_a_final_event_but_calls_itself_a_sample() -> None:
    event = sample_event(NOW)
    assert (event.topic, event.subject, event.occurred_at) == (Topic.TASK_SUCCEEDED, "genbridge-sample", NOW)
    assert (event.data["urls"], event.data["meta"]) == ([URL], {"sample": True})
    assert (event.data["watched_at"], event.data["ended_at"]) == (1761999940000, 1762000000000)


@pytest.mark.parametrize("topic", Topic)
def test_there_is_a_sample_of_every_topic(topic: Topic) -> None:
    event = sample_event(NOW, topic)
    assert (event.topic, event.occurred_at, event.data["event_id"]) == (topic, NOW, event.event_id)
    assert is_sample(event) == topic.startswith("task_")


def test_a_sample_has_the_requested_number_of_results() -> None:
    event = sample_event(NOW, results=4)
    assert len(event.data["urls"]) == len(event.data["task_result"]["images"]) == 4


def test_only_the_sample_is_the_sample() -> None:
    assert is_sample(sample_event(NOW))
    assert not is_sample(make_event())
