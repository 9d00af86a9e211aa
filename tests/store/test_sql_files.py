"""The SQL files and the code that uses them match."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from bridge.domain.watch import Doubt, Memory, WatchState
from bridge.store.statements import SQL

STORE = Path(__file__).parents[2] / "bridge" / "store"
FILES = {
    file.stem: file.read_text(encoding="utf-8")
    for file in sorted((STORE / "sql").glob("*.sql"))
    if file.stem != "tables"
}
CODE = "\n".join(file.read_text(encoding="utf-8") for file in STORE.rglob("*.py"))
WANTED = set(re.findall(r"[\"']((?:" + "|".join(FILES) + r")\.\w+)[\"']", CODE))
NAMES = {f"{file}.{name}" for file in FILES for name in SQL.file(file)}


def test_every_statement_that_the_code_names_exists() -> None:
    assert sorted(WANTED - NAMES) == []
    assert all(SQL[name] for name in NAMES)


def test_every_statement_is_used_by_code_or_by_another_one() -> None:
    parts = {f"{file}.{name}" for file, text in FILES.items() for name in re.findall(r"\{(\w+)(?: = \w+)?\}", text)}
    parts |= {name for text in FILES.values() for name in re.findall(r"\{(\w+\.\w+)\}", text)}
    assert sorted(NAMES - WANTED - parts) == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_statement_has_its_parts_in_place(name: str) -> None:
    left = set(re.findall(r"\{([\w.]+)\}", SQL[name]))
    assert left <= {"new", "where"}, f"no statement before {name} has this name"
    assert "--" not in SQL[name]


@pytest.mark.parametrize("name", sorted(name for name in NAMES if "{new}" in SQL[name]))
def test_the_rows_of_a_statement_have_columns_that_exist(name: str) -> None:
    assert SQL[name].new
    assert set(SQL[name].new.values()) <= {"int", "float", "text", "bool", "bytes"}


def test_the_columns_of_a_watch_have_the_order_of_its_fields() -> None:
    memory = [name.removeprefix("is_") for name in Memory._fields]
    place = memory.index("doubt")
    memory[place : place + 1] = [f"doubt_{field.name}" for field in fields(Doubt)]
    columns = re.sub("CASE WHEN .* END", "next_poll_at", SQL["watches.state"]).split(", ")
    assert columns == [*WatchState._fields[:-1], *memory]
