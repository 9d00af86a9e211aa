"""Where a store in PostgreSQL is, shown without its secrets."""

from __future__ import annotations

import pytest

from bridge.config.postgres_url import PostgresUrl, names_keywords, names_postgres, url_problem


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
        ("postgresql://me:x@pa55?word@db/gen", "postgresql://***"),
    ],
)
def test_a_url_prints_without_its_password(url: str, shown: str) -> None:
    place = PostgresUrl(url)
    assert str(place) == shown
    assert "pa55" not in repr(place)
    assert place.reveal() == url
    assert names_postgres(url)


def test_a_message_about_a_url_prints_without_its_password() -> None:
    place = PostgresUrl("postgresql://me:p%40ssword@db/gen?sslpassword=open-sesame")
    said = place.hide("no p@ssword, no p%40ssword, no open-sesame for user me")
    assert said == "no ***, no ***, no *** for user me"
    assert PostgresUrl("postgresql://me:x@db/gen").hide("an axe") == "an axe"


@pytest.mark.parametrize("path", ["state.db", "/var/lib/postgresql://", "postgresql:x", "PostgreSQL://x"])
def test_a_path_is_not_a_postgresql_url(path: str) -> None:
    assert not names_postgres(path)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:pa55word@db.example.com:5433/gen?sslmode=verify-full&connect_timeout=3",
        "postgresql://me:p%40ss%2Fw%3Ard@[::1]:5432,[fe80::1%25eth0]/gen",
        "postgresql://a:1,b:,c/gen?target_session_attrs=read-write&load_balance_hosts=random",
        "postgresql:///gen?host=/run/postgresql,/tmp&port=5432,5433",
        "postgresql://?service=gen",
        "postgresql://me@?host=db",
        "postgresql://db?user=me",
        "postgresql://%2Frun%2Fpostgresql/gen",
        "postgresql://db/gen?options=-csearch_path%3Dgenbridge&sslrootcert=system",
    ],
)
def test_a_url_that_libpq_reads_has_no_problem(url: str) -> None:
    assert url_problem(url) is None


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("postgresql://u:SECRET@host:notaport/db", "port"),
        ("postgresql://u:SECRET@host:70000/db", "port"),
        ("postgresql://u:SECRET@host:0/db", "port"),
        ("postgresql://u:SECRET@host:5432x/db", "port"),
        ("postgresql://u:SECRET@a:5432,b:-1/db", "port"),
        ("postgresql://u:SECRET@host:5432:5433/db", "port"),
        ("postgresql://u:SEC/RET@host/db", "percent-encode"),
        ("postgresql://u:SEC%RET@host/db", "percent-encode"),
        ("postgresql://u:SECRET@[::1]x/db", "port"),
        ("postgresql://u:SECRET@host/db?port=no", "port"),
        ("postgresql://u:SECRET@host/db?sslmode=bogus", "sslmode"),
        ("postgresql://u:SECRET@host/db?sslmode=Require", "sslmode"),
        ("postgresql://u:SECRET@host/db?sslmode=", "empty sslmode"),
        ("postgresql://u:a@SECRET/b@host/db", "more than one @"),
        ("postgresql://u:a@SECRET@host/db", "more than one @"),
        ("postgresql://u:12/SECRET@host/db", "@ %40"),
        ("postgresql://u:a@SECRET?b@host/db", "@ %40"),
        ("postgresql://u:SECRET@host/db?channel_binding=yes", "channel_binding"),
        ("postgresql://u:SECRET@host/db?target_session_attrs=readwrite", "target_session_attrs"),
        ("postgresql://u:SECRET@host/db?connect_timeout=soon", "connect_timeout"),
        ("postgresql://u:SECRET@host/db?application_name=x&keepalives=on", "keepalives"),
    ],
)
def test_a_url_that_libpq_cannot_read_is_refused_without_repeating_it(url: str, what: str) -> None:
    wrong = url_problem(url)
    assert wrong is not None
    assert what in wrong
    assert "SEC" not in wrong
    assert "bogus" not in wrong, "it may be half of a password"


@pytest.mark.parametrize(
    "text",
    [
        "host=db.example.com user=me password=SECRET",
        "  HOST = db password = 'SECRET word'",
        "dbname=gen",
        "service=gen",
        "application_name=x hostaddr=10.0.0.1",
        "user=me sslmode=require",
        "pgsql:host=db;dbname=gen;password=SECRET",
    ],
)
def test_a_keyword_string_is_not_a_path(text: str) -> None:
    assert names_keywords(text)


@pytest.mark.parametrize("path", ["state.db", "/srv/a=b/state.db", "/srv/user=1/x.db", "my state.db", "localhost/x.db"])
def test_a_path_is_not_a_keyword_string(path: str) -> None:
    assert not names_keywords(path)
