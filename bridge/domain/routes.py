"""Which endpoints receive which events."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from bridge.domain.event import ENDPOINT_TOPICS, FOR_PEOPLE, ON_REQUEST, Event, Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """Sends these topics (None: all except `ON_REQUEST`) of these accounts (None: all) to these endpoints."""

    topics: frozenset[Topic] | None
    accounts: frozenset[str] | None
    endpoints: tuple[str, ...]

    def matches(self, event: Event) -> bool:
        is_meant = event.topic not in ON_REQUEST if self.topics is None else event.topic in self.topics
        return is_meant and (self.accounts is None or not event.account or event.account in self.accounts)


def endpoints_for(
    event: Event, routes: Sequence[RoutingRule] | None, endpoints: Sequence[str], *, people: Collection[str] = ()
) -> list[str]:
    """The names of the endpoints that receive an event, without repetition, in the order of the routes (None: no routes
    are set).

    - If the task itself names endpoints, only they receive its final events. If none of them is left in the settings,
      the routes decide, so that no event is lost. They receive topics of `ON_REQUEST` only if a route names those.
    - An event about an endpoint is never sent to that endpoint.
    - A topic of `FOR_PEOPLE` goes to the endpoints in `people`, and to others only if a route names it.
    """
    routed = list(_routed(event, routes, endpoints, people))
    named = [name for name in event.endpoints or () if name in endpoints]
    if named:
        asked = routes is not None and any(route.matches(event) for route in routes)
        routed = named if event.topic not in ON_REQUEST or asked else []
    concerned = event.subject if event.topic in ENDPOINT_TOPICS else None
    return [name for name in dict.fromkeys(routed) if name in endpoints and name != concerned]


def _routed(
    event: Event, routes: Sequence[RoutingRule] | None, endpoints: Sequence[str], people: Collection[str]
) -> Iterator[str]:
    if routes is None:
        routes = [RoutingRule(topics=None, accounts=None, endpoints=tuple(endpoints))]
    for route in routes:
        is_named = route.topics is not None or event.topic not in FOR_PEOPLE
        if route.matches(event):
            yield from (name for name in route.endpoints if is_named or name in people)


def requested_topics(routes: Sequence[RoutingRule] | None) -> frozenset[Topic]:
    named = [route.topics for route in routes or () if route.topics is not None]
    return ON_REQUEST & frozenset[Topic]().union(*named)
