"""Unreadable rows: somebody edited the store, or a disk damaged it."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.ids import WatchKey
from bridge.domain.pause import PauseOf
from bridge.domain.slots import ALL_SLOTS
from bridge.errors import UnknownError
from bridge.store import Store, open_store
from bridge.store.sqlite.inspection import ownership
from bridge.store.statements import SQL
from tests.factories import NOW
from tests.store.making import QUEUE, Teller, add, due, make_block, make_deferred, make_end

OTHER = WatchKey("kling", "task-2")

IN_ANY_STORE = {
    "an unknown phase": "phase = 'bogus'",
    "an unknown doubt": "doubt_kind = 'bogus', doubt_answers = 1, doubt_since_at = 1, polls = 1",
}
IN_SQLITE = {
    "a number that is text": "polls = 'many'",
    "an instant that is text": "added_at = 'yesterday'",
    "an instant that is bytes": "next_poll_at = x'00ff'",
    "a name that is bytes": "account = x'ff00'",
}

TEXTS = {"account", "task_id", "action", "phase", "doubt_kind", "input_told"}
# `poll_asked_at` is only compared with NULL.
NUMBERS = sorted(set(re.findall(r"\b[a-z_]+\b", SQL["watches.state"])) - {"poll_asked_at", *TEXTS})


def edit(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def poisoned(store: Store) -> tuple[list[str], list[str]]:
    """The ids of live watches that can still be read, and what the log says about the others."""
    with capture_logs() as logged:
        found = [state.task_id for slice_ in store.live(most=2) for state in slice_]
        found += [view.task_id for view in store.list_watches()]
        store.counts()
    return found, [line["event"] for line in logged]


@pytest.mark.parametrize("change", [*IN_ANY_STORE.values(), *IN_SQLITE.values()], ids=[*IN_ANY_STORE, *IN_SQLITE])
def test_an_unreadable_watch_does_not_affect_others(store: Store, path: Path, change: str) -> None:
    add(store, "task-1", "task-2", "task-3")
    edit(path, f"UPDATE watches SET {change} WHERE task_id = 'task-1'")
    found, logged = poisoned(store)
    assert {*found} >= {"task-2", "task-3"}
    assert "task-1" not in found[:2]
    assert set(logged) <= {"store.unreadable"}
    assert len(store.unreadable()) >= 1
    assert any("task-1" in each for each in store.unreadable())
    assert store.commit([make_end(OTHER)], Teller()) == [True]


def test_a_watch_with_an_unknown_phase_can_be_added_again(store: Store, path: Path) -> None:
    add(store, "task-1", "task-2")
    edit(path, "UPDATE watches SET phase = 'bogus' WHERE task_id = 'task-1'")

    add(store, "task-1", "task-3")

    assert {view.task_id for view in store.list_watches()} == {"task-1", "task-2", "task-3"}


@pytest.mark.parametrize("snapshot", ["''", "'{'", "'{\"urls\": 5}'", "x'ff00'"])
def test_a_watch_with_an_unreadable_result_is_listed_without_it(store: Store, path: Path, snapshot: str) -> None:
    add(store, "task-1", "task-2")
    store.commit([make_end(), make_end(OTHER)], Teller())
    edit(path, f"UPDATE watches SET snapshot = {snapshot} WHERE task_id = 'task-1'")

    urls = {view.task_id: bool(view.urls) for view in store.list_watches()}

    assert urls == {"task-1": False, "task-2": True}


@pytest.mark.parametrize("change", ["ended_at = 'soon'", "reason = x'ff'"])
def test_an_unreadable_watch_is_not_shown(store: Store, path: Path, change: str) -> None:
    add(store, "task-1")
    edit(path, f"UPDATE watches SET {change}")
    with pytest.raises(UnknownError):
        store.view(WatchKey("kling", "task-1"))


@pytest.mark.parametrize("text", ["[]", "{"])
def test_unreadable_base_urls_of_a_store_are_replaced(store: Store, path: Path, text: str) -> None:
    edit(path, f"UPDATE store SET base_urls = '{text}'")
    assert ownership(path).base_urls == {}
    store.belong(None, {"kling": "https://api.example.com"})
    assert ownership(path).base_urls == {"kling": "https://api.example.com"}


def test_a_delivery_is_made_although_its_events_row_is_lost(store: Store, path: Path) -> None:
    add(store, "task-1")
    store.commit([make_end()], Teller())
    edit(path, "DELETE FROM events")
    edit(path, "UPDATE deliveries SET created_at = 'soon'")

    [delivery] = due(store)

    assert delivery.slot in ALL_SLOTS
    assert delivery.body
    assert store.counts().oldest_by_endpoint == {}


@pytest.mark.parametrize("column", NUMBERS)
def test_text_in_any_column_of_numbers_is_found(store: Store, path: Path, column: str) -> None:
    add(store, "task-1", "task-2")
    edit(path, f"UPDATE watches SET polls = 1, doubt_kind = 'ambiguous', {column} = 'x' WHERE task_id = 'task-1'")
    found, _ = poisoned(store)
    assert found[:1] == ["task-2"]
    assert "watch kling/task-1" in store.unreadable()
    assert all(isinstance(one.added_at, float) for one in store.live_watches())


@pytest.mark.parametrize("change", IN_ANY_STORE.values(), ids=[*IN_ANY_STORE])
def test_an_unknown_value_in_a_row_does_not_affect_others_in_postgresql(postgres: PostgresUrl, change: str) -> None:
    store = open_store(postgres, create=True, group_access=False)
    add(store, "task-1", "task-2", "task-3")
    with psycopg.connect(postgres.reveal()) as connection:
        connection.execute(f"UPDATE watches SET {change} WHERE task_id = 'task-1'".encode())
    found, _ = poisoned(store)
    assert {*found} >= {"task-2", "task-3"}
    assert "watch kling/task-1" in store.unreadable()
    store.close()


@pytest.mark.parametrize("column", ["meta", "endpoints", "snapshot"])
@pytest.mark.parametrize("text", ["{", "[1", '{"x": 1}', "7"])
def test_a_finish_is_reported_even_if_the_watchs_json_cannot_be_read(
    store: Store, path: Path, column: str, text: str
) -> None:
    add(store, "task-1")
    edit(path, f"UPDATE watches SET {column} = '{text}'")
    tell = Teller()
    assert store.commit([make_end()], tell) == [True]
    assert tell.topics == ["task_succeeded"]
    assert len(due(store)) == 1
    assert [view.task_id for view in store.list_watches()] == ["task-1"]


def test_text_that_is_not_utf_8_does_not_affect_others(store: Store, path: Path) -> None:
    add(store, "task-1", "task-2")
    edit(path, "UPDATE watches SET action = cast(x'ff41' AS TEXT) WHERE task_id = 'task-1'")
    assert [state.task_id for slice_ in store.live(most=5) for state in slice_] == ["task-1", "task-2"]
    assert len(store.list_watches()) == 2
    assert store.changed(0)[1]


def test_unreadable_rows_of_accounts_pauses_and_queues_are_ignored_one_by_one(store: Store, path: Path) -> None:
    store.commit([make_block()], Teller())
    store.pause(PauseOf.ENDPOINT, "chat", now=NOW, until_at=None)
    for statement in (
        "INSERT INTO accounts VALUES ('broken', 'x', 'r', 'many', 'z', 'soon')",
        "INSERT INTO holds VALUES ('kling', 'videos/text2video', 'soon', 'r')",
        "INSERT INTO pauses VALUES ('bogus', 'kling', 1, 2, 0), ('account', 'kling', 'soon', 'later', 'x')",
        "INSERT INTO queues (endpoint, target, held_until) VALUES ('hook', '', 'soon'), ('chat', '', 5.0)",
    ):
        edit(path, statement)
    accounts = store.accounts()
    assert accounts.keys() == {"kling"}
    assert accounts["kling"].route_waits == ()
    assert [pause.name for pause in store.pauses()] == ["chat"]
    assert store.queue_wait_ends({}) == {("chat", ""): 5.0}
    store.pause(PauseOf.ACCOUNT, "kling", now=NOW, until_at=NOW + 1)
    assert {pause.name for pause in store.pauses()} == {"chat", "kling"}


def test_an_outcome_is_stored_also_where_the_endpoints_health_cannot_be_read(store: Store, path: Path) -> None:
    add(store, "task-1")
    store.commit([make_end()], Teller())
    edit(path, f"INSERT INTO health VALUES ('{QUEUE[0]}', 'x', 'many', 'r', 'y', 'z', 'c')")
    [delivery] = due(store)
    assert store.commit([make_deferred(delivery, next_attempt_at=NOW + 70)], Teller()) == [True]
    assert due(store, now=NOW + 69) == []


def test_a_dead_delivery_of_unknown_time_is_not_counted(store: Store, path: Path) -> None:
    add(store, "task-1", "task-2")
    store.commit([make_end(), make_end(OTHER)], Teller())
    edit(path, "UPDATE deliveries SET state = 'dead', settled_at = delivery_id")
    edit(path, "UPDATE deliveries SET settled_at = 'soon' WHERE delivery_id = 2")

    assert [(one.deliveries, one.last_at) for one in store.dead_deliveries()] == [(1, 1.0)]


def test_status_counts_and_names_what_cannot_be_read(store: Store, path: Path) -> None:
    add(store, *(f"odd-{number}" for number in range(12)))
    edit(path, "UPDATE watches SET doubt_kind = 'bogus'")
    assert len([each for each in store.unreadable() if each.startswith("watch kling/odd-")]) == 12
