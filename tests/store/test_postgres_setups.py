"""A store in PostgreSQL with unusual settings, or behind a connection pooler."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.errors import StoreDamaged, StoreError
from bridge.store import open_store
from bridge.store.postgres import listener, server_connection
from bridge.store.postgres.failures import understood
from bridge.store.postgres.sql_session import PostgresSession
from bridge.store.statements import SQL
from tests.store.test_moving import content, fill
from tests.world import until

UNUSUAL = {
    "array_nulls": "off",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "idle_session_timeout": "100ms",
    "default_transaction_isolation": "serializable",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
    "DateStyle": "German",
    "TimeZone": "Asia/Kolkata",
}


def test_settings_of_the_role_change_no_value(tmp_path: Path, postgres: PostgresUrl) -> None:
    options = "".join(f" -c{name}={value}" for name, value in UNUSUAL.items())
    place = PostgresUrl(postgres.reveal() + quote(options))  # its last parameter is `options`
    with (
        closing(open_store(tmp_path / "state.db", create=True, group_access=False)) as origin,
        closing(open_store(place, create=True, group_access=False)) as to,
    ):
        fill(origin)
        with origin.contents() as contents:
            to.fill(contents)
        assert content(to) == content(origin)
        again = tmp_path / "again.db"
        with closing(open_store(again, create=True, group_access=False)) as back, to.contents() as contents:
            back.fill(contents)
            assert content(back) == content(origin)


def test_a_store_is_filled_whatever_the_settings_of_the_role(postgres: PostgresUrl) -> None:
    options = "".join(f" -c{name}={value}" for name, value in UNUSUAL.items())
    with closing(open_store(PostgresUrl(postgres.reveal() + quote(options)), create=True, group_access=False)) as store:
        fill(store)
        assert store.counts().live == 3


def test_prepared_statements_of_two_connections_have_different_names(postgres: PostgresUrl) -> None:
    names: list[set[str]] = []
    for _ in range(2):
        with (
            closing(open_store(postgres, create=True, group_access=False)) as store,
            store._database.read() as session,
        ):
            assert isinstance(session, PostgresSession)
            for _ in range(8):  # until psycopg has prepared the statement
                session.find("SELECT 1")
            names.append({name for (name,) in session.find("SELECT name FROM pg_prepared_statements")})
    assert all(names)
    assert not names[0] & names[1]


def test_a_listener_whose_session_changes_names_the_pooler(
    postgres: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "SQL", {**SQL, "server.counters": "SELECT 0, 0, 0"})
    assert why_unheard(postgres).endswith("use session pooling")


def test_a_server_that_cannot_listen_is_reported(postgres: PostgresUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SQL", {**SQL, "server.counters": "SELECT 1 / 0"})  # not an error that may pass
    assert "DivisionByZero" in why_unheard(postgres)


def why_unheard(place: PostgresUrl) -> str:
    """The failure that a daemon on this store notices when it asks for news."""
    with closing(open_store(place, create=True, group_access=False)) as store:

        def failure() -> str:
            try:
                store.news()
            except StoreError as error:
                return str(error)
            return ""

        until(lambda: failure() != "", seconds=10, what="the listener fails")
        return failure()


def test_a_lost_lease_does_not_stop_the_listener(postgres: PostgresUrl) -> None:
    with closing(open_store(postgres, create=True, group_access=False)) as store:
        store.news()
        until(lambda: store.news().work == 1, seconds=10, what="it listens")
        store.give_up()
        for _ in range(20):
            time.sleep(0.05)
            assert store.news().work == 1


def test_a_server_that_is_too_old_is_refused(postgres: PostgresUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_connection, "OLDEST", 999)
    with pytest.raises(StoreDamaged, match=r"its PostgreSQL \d+ is too old; use 999 or newer$"):
        open_store(postgres, create=True, group_access=False)


def test_an_unknown_ca_names_the_parameter_for_it() -> None:
    error = psycopg.OperationalError("connection failed: SSL error: certificate verify failed")
    assert "name the file of the CA in sslrootcert" in str(understood(error, PostgresUrl("postgresql://db/x")))
