"""Settings whose meaning changed are named, and only those."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config.changed_meanings import CHANGED, changed_meanings
from bridge.config.model import Settings
from tests.config.settings_files import LEAST, loaded
from tests.config.test_documented import model_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ["store"]),
        ("store: x.db", []),
        ("store: x.db\npolling: {min_interval: 5s}", ["polling.min_interval"]),
        ("store: x.db\npolling: {not_found: {answers: 2}}", ["polling.not_found"]),
        ("store: x.db\npolling: {min_interval: 5s, cadence: fixed}", []),
        ("store: x.db\nproviders: {mine: {extends: suno}}", ["providers"]),
    ],
)
def test_check_names_a_setting_whose_meaning_changed(tmp_path: Path, text: str, keys: list[str]) -> None:
    assert [key for key, _ in changed_meanings(loaded(tmp_path, LEAST + text).node)] == keys


def test_a_changed_setting_of_an_account_or_endpoint_is_named(tmp_path: Path) -> None:
    text = "store: x.db\n" + LEAST.replace("endpoints:", "    limits: {rate: 3}\nendpoints:") + "    concurrency: 2\n"
    found = dict(changed_meanings(loaded(tmp_path, text).node))
    assert list(found) == ["accounts.kling.limits", "endpoints.automation.concurrency"]
    assert all("; " in change for change in found.values())


def test_every_key_of_the_table_exists() -> None:
    known = dict(model_keys(Settings))
    assert {*CHANGED, "polling.cadence"} <= known.keys()
