"""The SQL of filters for watches and deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.filters import DeliveryFilter, WatchFilter
from bridge.store.rows import plain
from bridge.store.statements import SQL


def watches_where(wanted: WatchFilter, before: int | None) -> tuple[str, Mapping[str, object]]:
    """The WHERE clause for these watches, of those before this `watch_id`, and its values."""
    text = None if wanted.text is None else like(wanted.text)
    return _where(
        (
            ("phase IN (:phases[])", "phases", [str(phase) for phase in wanted.phases] or None),
            ("account = :account", "account", wanted.account),
            (SQL["reads.by_label"], "label", wanted.label),
            ("(added_at >= :since OR ended_at >= :since)", "since", wanted.since),
            (SQL["reads.has_text"], "text", text),
            ("watch_id < :before", "before", before),
        )
    )


def deliveries_where(wanted: DeliveryFilter, before: int | None) -> tuple[str, Mapping[str, object]]:
    """The WHERE clause for these deliveries, of those before this `delivery_id`, and its values."""
    key = wanted.watch
    states = "state IN (:states[])"
    if wanted.states and not {DeliveryState.WAITING, DeliveryState.ACCEPTED} & set(wanted.states):
        states += " AND state <> 'waiting'"  # few: a partial index finds them
    return _where(
        (
            (states, "states", [str(state) for state in wanted.states] or None),
            ("event_id IN (:event_ids[])", "event_ids", list(wanted.event_ids) or None),
            ("endpoint = :endpoint", "endpoint", wanted.endpoint),
            ("target = :target", "target", wanted.target),
            ("endpoint <> :without", "without", wanted.without),
            ("topic = :topic", "topic", wanted.topic),
            (SQL["reads.of_task"], "task_id", None if key is None else key.task_id),
            ("", "account", None if key is None else key.account),
            ("created_at >= :since", "since", wanted.since),
            ("delivery_id < :before", "before", before),
        )
    )


def _where(conditions: Iterable[tuple[str, str, object]]) -> tuple[str, Mapping[str, object]]:
    given = [each for each in conditions if each[2] is not None]
    clauses = [clause for clause, _, _ in given if clause]
    return f" WHERE {' AND '.join(clauses)}" if clauses else "", storable({name: value for _, name, value in given})


def storable(values: Mapping[str, object]) -> dict[str, object]:
    """The values as a store would have them: every text, also those in a tuple."""
    return {name: _storable(value) for name, value in values.items()}


def _storable(value: object) -> object:
    if isinstance(value, list | tuple):
        return list(map(_storable, value))
    return plain(value) if isinstance(value, str) else value


def like(text: str) -> str:
    """The LIKE pattern, with the escape character `!`, of what contains this text."""
    return f"%{text.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"
