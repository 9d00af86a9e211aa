"""Durations in damaged rows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bridge.domain.durations.table import DurationKey, Table
from bridge.store import open_store

VIDEO, IMAGE = DurationKey("kling", "videos"), DurationKey("kling", "images")


@pytest.mark.parametrize("sums", ["", "{}", "[1]", "null", b"\x00\xff", 17, '{"count":1e999}'])
def test_an_invalid_stored_table_is_ignored_and_learned_again(path: Path, sums: object) -> None:
    store = open_store(path, create=True, group_access=False)
    one = Table()
    one.ended([60.0], succeeded=True)
    store.learn({VIDEO: one, IMAGE: one})
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE durations SET sums = ? WHERE action = 'videos'", (sums,))
    connection.close()
    assert store.durations()[VIDEO] is None
    assert store.learn({VIDEO: one})[VIDEO].count == 1
    assert store.durations().keys() == {VIDEO, IMAGE}
    store.close()
