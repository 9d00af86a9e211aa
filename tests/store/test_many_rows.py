"""Statements about many rows keep every value unchanged, for any number of rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.store.sqlite.sql_session import SqliteSession
from bridge.store.statements import Statement

PUT = Statement(
    "INSERT INTO things (place, progress, other) SELECT place, progress, other FROM {new} WHERE true"
    " ON CONFLICT DO NOTHING",
    new={"place": "int", "progress": "float", "other": "text"},
)
FOUND = ("place", "progress", "other")
GET = Statement("FROM {new} JOIN things USING (place)", new={"place": "int"}, answer=FOUND)
ASK = Statement("FROM things WHERE place IN (:places[]) ORDER BY place", answer=FOUND)

VALUES = st.one_of(
    st.none(),
    st.floats(-1e12, 1e12).filter(lambda number: number == 0 or abs(number) > 1e-9),  # instants, durations, percent
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)


@pytest.fixture
def things() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE things (place INTEGER PRIMARY KEY, progress, other)")
    yield connection
    connection.close()


@pytest.mark.usefixtures("unmeasured")
@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.tuples(VALUES, VALUES), max_size=40))
def test_a_copied_store_has_the_same_contents(values: list[tuple[object, object]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE things (place INTEGER PRIMARY KEY, progress, other)")
    rows = [(place, *both) for place, both in enumerate(values)]
    SqliteSession(connection).run(PUT, rows)
    found = SqliteSession(connection).run(GET, [(place,) for place, *_ in rows])
    asked = SqliteSession(connection).find(ASK, places=[place for place, *_ in rows])
    connection.close()
    assert found == asked == rows
    assert [[type(value) for value in row] for row in found] == [[type(value) for value in row] for row in rows]


@pytest.mark.parametrize("count", [0, 1, 3, 255, 256, 257, 1000])
def test_rows_keep_their_order(things: sqlite3.Connection, count: int) -> None:
    rows = [(place, f"v{place}", place / 7) for place in range(count)]
    SqliteSession(things).run(PUT, rows)
    backwards = [(place,) for place in reversed(range(count))]
    assert SqliteSession(things).run(GET, backwards) == rows[::-1]


def test_few_statements_are_compiled_however_many_rows_come() -> None:
    statements: set[str] = set()
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE things (place INTEGER PRIMARY KEY, progress, other)")
    connection.set_trace_callback(lambda ran: statements.add(str(ran.count("),"))))
    for count in range(40):
        connection.execute("DELETE FROM things")
        SqliteSession(connection).run(PUT, [(place, None, None) for place in range(count)])
    connection.close()
    assert len(statements) <= 5
