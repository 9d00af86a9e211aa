from __future__ import annotations

import itertools

import pytest

from bridge.domain.event import ENDPOINT_TOPICS, FOR_PEOPLE, ON_REQUEST, OPERATOR_TOPICS, Event, Topic
from bridge.domain.routes import RoutingRule, endpoints_for, requested_topics
from tests.factories import END_TOPICS, make_event

ALL = ["automation", "chat", "mail"]


def route(
    *endpoints: str, topics: frozenset[Topic] | None = None, accounts: frozenset[str] | None = None
) -> RoutingRule:
    return RoutingRule(topics=topics, accounts=accounts, endpoints=endpoints)


def of(topic: Topic, *, account: str = "kling") -> Event:
    return make_event(topic=topic, account=account)


@pytest.mark.parametrize("topic", sorted(END_TOPICS | OPERATOR_TOPICS - FOR_PEOPLE))
def test_without_routes_every_end_and_operator_topic_goes_everywhere(topic: Topic) -> None:
    assert endpoints_for(of(topic), None, ALL) == ALL


@pytest.mark.parametrize("topic", sorted(ON_REQUEST))
@pytest.mark.parametrize("routes", [None, [], [route("chat")], [route("chat", topics=END_TOPICS)]])
def test_a_running_topic_is_sent_only_if_a_route_names_it(topic: Topic, routes: list[RoutingRule] | None) -> None:
    assert endpoints_for(of(topic), routes, ALL) == []


def test_an_empty_list_of_routes_sends_nothing() -> None:
    assert endpoints_for(of(Topic.TASK_FAILED), [], ALL) == []


@pytest.mark.parametrize(("topic", "asked"), list(itertools.product(Topic, Topic)))
def test_a_route_takes_exactly_the_topics_it_names(topic: Topic, asked: Topic) -> None:
    assert route("chat", topics=frozenset({asked})).matches(of(topic)) is (topic is asked)


def test_all_routes_that_match_count_and_each_endpoint_once_in_their_order() -> None:
    routes = [route("mail", "chat"), route("automation", topics=frozenset({Topic.TASK_FAILED})), route("chat")]
    assert endpoints_for(of(Topic.TASK_FAILED), routes, ALL) == ["mail", "chat", "automation"]
    assert endpoints_for(of(Topic.TASK_SUCCEEDED), routes, ALL) == ["mail", "chat"]


def test_a_route_for_some_accounts_excludes_others_and_gets_events_without_account() -> None:
    routes = [route("chat", accounts=frozenset({"kling"}))]
    assert endpoints_for(of(Topic.TASK_FAILED), routes, ALL) == ["chat"]
    assert endpoints_for(of(Topic.TASK_FAILED, account="suno"), routes, ALL) == []
    assert endpoints_for(of(Topic.ENDPOINT_DISABLED, account=""), routes, ALL) == ["chat"]


def test_an_endpoint_that_is_gone_from_the_settings_is_passed_over() -> None:
    assert endpoints_for(of(Topic.TASK_FAILED), [route("gone", "chat")], ALL) == ["chat"]


@pytest.mark.parametrize("topic", sorted(FOR_PEOPLE))
def test_a_topic_for_people_goes_to_webhooks_only_if_named(topic: Topic) -> None:
    people = ["chat", "mail"]
    assert endpoints_for(of(topic), None, ALL, people=people) == ["chat", "mail"]
    assert endpoints_for(of(topic), [route(*ALL)], ALL, people=people) == ["chat", "mail"]
    named = [route("automation", topics=frozenset({topic}))]
    assert endpoints_for(of(topic), named, ALL, people=people) == ["automation"]
    assert endpoints_for(of(topic), [], ALL, people=people) == []


@pytest.mark.parametrize("topic", sorted(ENDPOINT_TOPICS))
def test_nothing_about_an_endpoint_goes_to_that_endpoint(topic: Topic) -> None:
    event = make_event(topic=topic, account="", subject="chat")
    assert endpoints_for(event, None, ALL, people=ALL) == ["automation", "mail"]
    assert endpoints_for(event, [route(*ALL, topics=frozenset({topic}))], ALL) == ["automation", "mail"]
    assert endpoints_for(make_event(subject="chat"), None, ALL) == ALL


@pytest.mark.parametrize("routes", [None, [], [route("chat")]])
def test_a_task_that_names_endpoints_notifies_only_those(routes: list[RoutingRule] | None) -> None:
    event = make_event(endpoints=("mail", "automation"))
    assert endpoints_for(event, routes, ALL) == ["mail", "automation"]


@pytest.mark.parametrize("topic", sorted(ON_REQUEST))
def test_a_task_with_endpoints_needs_a_route_for_running_events(topic: Topic) -> None:
    event = make_event(topic=topic, endpoints=("mail",))
    assert endpoints_for(event, None, ALL) == []
    assert endpoints_for(event, [route("chat")], ALL) == []
    assert endpoints_for(event, [route("chat", topics=frozenset({topic}))], ALL) == ["mail"]


def test_only_running_topics_that_some_route_names_are_worth_a_transaction() -> None:
    assert requested_topics(None) == requested_topics([]) == requested_topics([route("chat")]) == frozenset()
    routes = [
        route("chat"),
        route("chat", topics=frozenset({Topic.TASK_PROGRESS, Topic.TASK_FAILED})),
        route("mail", topics=frozenset({Topic.TASK_SUCCEEDED})),
    ]
    assert requested_topics(routes) == {Topic.TASK_PROGRESS}
