"""The JSON Schema accepts what `genbridge check` accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from bridge.config.json_schema import json_schema
from bridge.config.load import load
from bridge.errors import ConfigError

SETTINGS = """
accounts:
  a: {provider: kling, base_url: "https://api.example.com", api_key: k%s}
endpoints:
  t: {type: webhook, format: telegram, url: "https://api.telegram.org/bot1:x", chat_id: "1"%s}
%s
"""


@pytest.mark.parametrize(
    ("account", "endpoint", "rest"),
    [
        ("", "", "sources:\npolling:\n  # min_interval: 2s\nlog: {level: ~}\nproviders:\nroutes:\n"),
        (", limits: , headers: , origins: ", ", secret: , language: ", "archive: {to: a, kinds: ~}"),
        (", headers: {X-A: 5, X-B: true}", ", thread_id: 5, attach_max: 8", ""),
    ],
    ids=["empty sections", "empty keys", "numbers as texts"],
)
def test_a_file_that_check_accepts_fits_the_schema(account: str, endpoint: str, rest: str, tmp_path: Path) -> None:
    text = SETTINGS % (account, endpoint, rest)
    (tmp_path / "genbridge.yaml").write_text(text)
    load(tmp_path / "genbridge.yaml", {})

    jsonschema_rs.validate(json_schema(), yaml.safe_load(text))


@pytest.mark.parametrize(
    "rest",
    ["sources: {watch: a}", "http: {listen: 8642}", "log: {level: loud}", "accounts: ", "archive: {to: }", "logs: "],
)
def test_a_mistake_fits_neither(rest: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {**yaml.safe_load(SETTINGS % ("", "", "")), **yaml.safe_load(rest)}
    (tmp_path / "genbridge.yaml").write_text(yaml.safe_dump(settings))

    assert not jsonschema_rs.is_valid(json_schema(), settings)
    with pytest.raises(ConfigError):
        load(tmp_path / "genbridge.yaml", {})
