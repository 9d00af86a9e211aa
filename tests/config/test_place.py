"""Where a store in PostgreSQL is, shown without its secrets."""

from __future__ import annotations

import pytest

from bridge.config.place import PostgresUrl, names_postgres


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pa55word@db.example.com:5433/gen", "postgresql://me:***@db.example.com:5433/gen"),
        ("postgres://me@a:1,b:2/gen?sslmode=verify-full", "postgresql://me@a:1,b:2/gen?sslmode=verify-full"),
        ("postgresql:///gen?host=/run/postgresql", "postgresql:///gen?host=/run/postgresql"),
        ("postgresql://?service=gen", "postgresql://?service=gen"),
        ("postgresql://db/gen?user=me&password=pa55word", "postgresql://db/gen?user=me"),
        ("postgresql://db/gen?sslpassword=pa55word&sslkey=k&passfile=f", "postgresql://db/gen"),
        ("postgresql://me:pa55w@rd@db/gen", "postgresql://me:***@db/gen"),
        ("postgresql://me:pa55/word@db/gen", "postgresql://me:***@db/gen"),
        ("postgresql://me:pa55?word@db/gen", "postgresql://***"),
    ],
)
def test_it_is_shown_without_password(url: str, shown: str) -> None:
    place = PostgresUrl(url)
    assert str(place) == shown
    assert "pa55" not in repr(place)
    assert place.reveal() == url
    assert names_postgres(url)


def test_what_others_say_of_it_is_shown_without_password() -> None:
    place = PostgresUrl("postgresql://me:p%40ssword@db/gen?sslpassword=open-sesame")
    said = place.hide("no p@ssword, no p%40ssword, no open-sesame for user me")
    assert said == "no ***, no ***, no *** for user me"
    assert PostgresUrl("postgresql://me:x@db/gen").hide("an axe") == "an axe"


@pytest.mark.parametrize("path", ["state.db", "/var/lib/postgresql://", "postgresql:x", "PostgreSQL://x"])
def test_a_path_is_no_place_in_postgresql(path: str) -> None:
    assert not names_postgres(path)
