"""Which endpoints hear of which event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.domain.event import LIVE_TOPICS, Event, Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One rule: these topics (None: every end and operator topic) of these accounts (None: all) go there."""

    topics: frozenset[Topic] | None
    accounts: frozenset[str] | None
    endpoints: tuple[str, ...]

    def matches(self, event: Event) -> bool:
        if self.topics is None:
            if event.topic in LIVE_TOPICS:
                return False
        elif event.topic not in self.topics:
            return False
        return self.accounts is None or not event.account or event.account in self.accounts


def destinations(event: Event, routes: Sequence[Route] | None, endpoints: Sequence[str]) -> list[str]:
    """Names of the endpoints an event goes to, each once, in the order of routes (None: no routes are set).

    A task that names endpoints itself has its ends told there and nowhere else (unless none of them is left in the
    settings: better told elsewhere than lost); of its running topics it hears there what a route asks for.
    `endpoint_disabled` never goes to the endpoint it concerns.
    """
    if routes is None:
        routed = [] if event.topic in LIVE_TOPICS else list(endpoints)
    else:
        routed = [name for route in routes if route.matches(event) for name in route.endpoints]
    named = [name for name in event.endpoints or () if name in endpoints]
    if named:
        asked = routes is not None and any(route.matches(event) for route in routes)
        routed = named if event.topic not in LIVE_TOPICS or asked else []
    concerned = event.subject if event.topic is Topic.ENDPOINT_DISABLED else None
    return [name for name in dict.fromkeys(routed) if name in endpoints and name != concerned]


def wanted_live_topics(routes: Sequence[Route] | None) -> frozenset[Topic]:
    """The running topics that any route names: only these are worth a transaction."""
    named = [route.topics for route in routes or () if route.topics is not None]
    return LIVE_TOPICS & frozenset[Topic]().union(*named)
