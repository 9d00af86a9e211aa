"""The SQL of filters for watches and deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.filters import DeliveryFilter, WatchFilter
from bridge.store.rows import plain
from bridge.store.statements import SQL

Values = Mapping[str, object]

_WATCHES: Final = {
    "phases": "phase IN (:phases[])",
    "account": "account = :account",
    "label": SQL["reads.by_label"],
    "since": "(added_at >= :since OR ended_at >= :since)",
    "text": SQL["reads.has_text"],
    "before": "watch_id < :before",
}
_DELIVERIES: Final = {
    "states": "state IN (:states[])",
    "is_settled": "state <> 'waiting'",
    "event_ids": "event_id IN (:event_ids[])",
    "endpoint": "endpoint = :endpoint",
    "target": "target = :target",
    "without": "endpoint <> :without",
    "topic": "topic = :topic",
    "task_id": SQL["reads.of_task"],
    "since": "created_at >= :since",
    "before": "delivery_id < :before",
}


def watches_where(wanted: WatchFilter, before: int | None) -> tuple[str, Values]:
    """The WHERE clause for these watches, of those before this `watch_id`, and its values."""
    return _where(_WATCHES, {**watch_values(wanted), "before": before})


def watch_values(wanted: WatchFilter) -> dict[str, object]:
    return {**wanted._asdict(), "text": None if wanted.text is None else like(wanted.text)}


def deliveries_where(wanted: DeliveryFilter, before: int | None) -> tuple[str, Values]:
    """The WHERE clause for these deliveries, of those before this `delivery_id`, and its values."""
    few = wanted.states and not {DeliveryState.WAITING, DeliveryState.ACCEPTED} & set(wanted.states)
    key = wanted.watch._asdict() if wanted.watch else {}
    # Few states: a partial index finds them.
    return _where(_DELIVERIES, {**wanted._asdict(), **key, "is_settled": few or None, "before": before})


def _where(conditions: Mapping[str, str], wanted: Values) -> tuple[str, Values]:
    found = matching(conditions, wanted)
    return f" WHERE {' AND '.join(found)}" if found else "", storable(wanted)


def matching(conditions: Mapping[str, str], wanted: Values) -> list[str]:
    """The conditions of what is given."""
    return [condition for name, condition in conditions.items() if wanted.get(name) not in (None, ())]


def storable(values: Values) -> dict[str, object]:
    """The values as a store would have them: every text, also those in a tuple."""
    return {name: _storable(value) for name, value in values.items()}


def _storable(value: object) -> object:
    if isinstance(value, list | tuple):
        return list(map(_storable, value))
    return plain(value) if isinstance(value, str) else value


def like(text: str) -> str:
    """The LIKE pattern, with the escape character `!`, of what contains this text."""
    return f"%{text.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"
