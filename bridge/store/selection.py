"""The SQL of filters for watches and deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.filters import DeliveryFilter, WatchFilter
from bridge.store.rows import Row, plain
from bridge.store.sql_session import Finder
from bridge.store.statements import SQL

_WATCHES: Final = {
    "phases": "phase IN (:phases[])",
    "account": "account = :account",
    "label": SQL["reads.by_label"],
    "since": "(added_at >= :since OR ended_at >= :since)",
    "text": SQL["reads.has_text"],
}
# SQLite must not choose an index for these: `|| ''` prevents it.
_UNINDEXED_WATCHES: Final = {
    **_WATCHES,
    "phases": "phase || '' IN (:phases[])",
    "account": "account || '' = :account",
    "label": "label || '' = :label",
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


class Search(NamedTuple):
    """What a statement looks for: the conditions in the place of `{where}`, and their values."""

    conditions: Sequence[str]
    values: Mapping[str, object]

    @property
    def where(self) -> str:
        return " AND ".join(self.conditions) or "true"

    def narrowed(self, *conditions: str, **values: object) -> Search:
        """The same search with further conditions."""
        return Search([*self.conditions, *conditions], {**self.values, **values})

    def find(self, session: Finder, name: str, **values: object) -> list[Row]:
        """What this statement finds."""
        return session.find(SQL[name].replace("{where}", self.where), **{**self.values, **values})


def search(conditions: Mapping[str, str], wanted: Mapping[str, object]) -> Search:
    """The conditions for the values that are not None."""
    given = {name: _storable(value) for name, value in wanted.items() if value not in (None, ())}
    return Search([condition for name, condition in conditions.items() if name in given], given)


def watches(wanted: WatchFilter, *, uses_index: bool = True) -> Search:
    """The conditions for these watches. `uses_index` is False if other conditions of the statement choose its index."""
    return search(_WATCHES if uses_index else _UNINDEXED_WATCHES, _watch_values(wanted))


def _watch_values(wanted: WatchFilter) -> dict[str, object]:
    """The values of the filter. The text becomes a LIKE pattern that finds every value that contains it. The escape
    character is `!`."""
    text = wanted.text
    if text is not None:
        text = f"%{text.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"
    return {**wanted._asdict(), "text": text}


def deliveries(wanted: DeliveryFilter, before: int | None = None) -> Search:
    """These deliveries, of those before this `delivery_id`."""
    few = wanted.states and not {DeliveryState.WAITING, DeliveryState.ACCEPTED} & set(wanted.states)
    key = wanted.watch._asdict() if wanted.watch else {}
    # Few states: a partial index finds them.
    return search(_DELIVERIES, {**wanted._asdict(), **key, "is_settled": few or None, "before": before})


def _storable(value: object) -> object:
    """The value as a store keeps it: `plain` is applied to each text, also inside lists and tuples."""
    if isinstance(value, list | tuple):
        return list(map(_storable, value))
    return plain(value) if isinstance(value, str) else value
