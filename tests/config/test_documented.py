"""The models, the example, the documentation and the schema have the same keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic.fields import FieldInfo

from bridge.config import load
from bridge.config.endpoint_settings import Webhook
from bridge.config.json_schema import json_schema
from bridge.config.mistakes import fields, keys_of, types_inside
from bridge.config.model import Settings, Sources
from bridge.config.settings_model import SettingsModel
from bridge.config.yaml import read_document
from bridge.config.yaml_nodes import as_text
from bridge.domain.source import SourceKind
from tests.config.settings_files import LEAST, SIGNING, loaded

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "config.example.yaml"
DOCS: Final = (ROOT / "docs/configuration.md").read_text()
ROWS: Final = re.findall(r"^\| `([a-zA-Z_.\[\]]+)` \| (.+?) \|", DOCS, re.MULTILINE)
FREE: Final = {"accounts.*.headers", "endpoints.*.headers"}  # the operator chooses the keys inside


def model_keys(model: type[SettingsModel], at: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of the models, with its field. `*` stands for a name or a position in a list."""
    for key, field in fields(model).items():
        yield f"{at}{key}", field
        types, inside = types_inside([model], key), f"{at}{key}."
        while types and not keys_of(types):
            types, inside = types_inside(types, "*"), f"{inside}*."
        for inner in types:
            if keys_of([inner]):
                yield from model_keys(inner, inside)


KEYS: Final = dict(model_keys(Settings))


def spots(value: Any, at: tuple[str, ...] = ()) -> set[str]:
    """Every key of a document. `*` stands for a name or a position in a list."""
    found: set[str] = set()
    items = (
        value.items() if isinstance(value, dict) else [("*", item) for item in value] if isinstance(value, list) else []
    )
    for key, item in items:
        spot = (*at, "*" if at in {("accounts",), ("endpoints",)} else key)
        if spot[-1] != "*":
            found.add(".".join(spot))
        found |= spots(item, spot)
    return found


def test_the_settings_name_every_kind_of_source_and_no_other() -> None:
    assert list(fields(Sources)) == list(SourceKind)


def test_the_example_holds_every_key_and_no_other() -> None:
    assert spots(as_text(read_document(EXAMPLE.read_bytes(), name="example"))) == set(KEYS)


def test_the_example_loads_with_its_defaults() -> None:
    env = {
        "KLING_API_KEY": "kling-key",
        "KLING_ACCESS_KEY": "kling-access",
        "KLING_SECRET_KEY": "kling-secret",
        "HOOK_API_KEY": "hook-key",
        "HOOK_SECRET": SIGNING,
        "BOT_TOKEN": "123456:abc",
        "CHAT_ID": "42",
    }
    settings = load.resolve(load.load(EXAMPLE, {}), env).settings
    accounts = {"a": {"provider": "kling", "base_url": "http://a", "api_key": "a"}}
    default = Settings.model_validate({"accounts": accounts})
    for key in ("store", "polling", "delivery", "retention", "sharing", "log"):
        assert getattr(settings, key) == getattr(default, key)
    for models, examples in (("accounts.*", settings.accounts), ("endpoints.*", settings.endpoints)):
        for example in examples.values():
            for name, field in type(example).model_fields.items():
                if not field.is_required() and field.alias not in {
                    "base_url",
                    "action",
                    "api_key",
                    "access_key",
                    "secret_key",
                    "secret",
                    "format",
                    "chat_id",
                    "thread_id",
                }:
                    assert getattr(example, name) == field.default, (models, name)


def test_the_examples_first_lines_point_editors_to_the_schema() -> None:
    first, second, *_ = EXAMPLE.read_text().splitlines()
    assert first == "# yaml-language-server: $schema=genbridge.schema.json"
    assert "genbridge schema > genbridge.schema.json" in second


def test_the_documentation_names_every_key_and_no_other() -> None:
    named = [key.replace("NAME", "*").replace("[]", ".*") for key, _ in ROWS]
    assert set(named) == set(KEYS)
    # Webhooks and chats both have a title and a body. Every other key is in one row only.
    assert sorted(named) == sorted([*KEYS, "endpoints.*.title", "endpoints.*.body"])


def test_the_documentation_names_every_default(tmp_path: Path) -> None:
    for key, default in ROWS:
        field = KEYS[key.replace("NAME", "*").replace("[]", ".*")]
        if default == "required":
            assert field.is_required(), key
        elif default == "-":
            assert field.default in (None, {}, ()) or isinstance(field.default, SettingsModel), key
        else:
            assert_default(tmp_path, key, default.strip("`"))


def assert_default(folder: Path, key: str, default: str) -> None:
    """Settings with this key and value equal the same settings without the key."""
    path = key.split(".")
    if path[0] == "accounts":
        text = LEAST.replace("endpoints:", f"    {flow(path[2:], default)}\nendpoints:")
    elif path[0] == "endpoints" and path[2] not in {field.alias for field in Webhook.model_fields.values()}:
        chat = f"{LEAST}  chat:\n    type: apprise\n    urls: ['json://127.0.0.1']\n"
        written = loaded(folder, f"{chat}    {flow(path[2:], default)}")
        assert written.settings.model_dump() == loaded(folder, chat).settings.model_dump(), key
        return
    elif path[0] == "endpoints":
        text = f"{LEAST}    {flow(path[2:], default)}"
    else:
        text = f"{LEAST}{flow(path, default)}"
    if path[0] == "archive" and len(path) > 1:
        text = f"{LEAST}archive: {{to: a, {flow(path[1:], default)}}}"
    without = LEAST + {"http": "http: {}\n", "archive": "archive: {to: a}\n"}.get(path[0], "")
    assert loaded(folder, text).settings.model_dump() == loaded(folder, without).settings.model_dump(), key


def flow(path: list[str], value: str) -> str:
    first, *rest = path
    return f"{first}: {'{' if rest else ''}{flow(rest, value) if rest else value}{'}' if rest else ''}"


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_key_is_described(key: str) -> None:
    assert KEYS[key].description


def test_the_schema_has_every_key_with_its_description() -> None:
    schema = json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")

    def keys(part: dict[str, Any], at: str) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        if "$ref" in part:
            found |= keys(schema["$defs"][part["$ref"].removeprefix("#/$defs/")], at)
        for other in (*part.get("anyOf", ()), *part.get("oneOf", ())):
            found |= keys(other, at)
        named = part.get("patternProperties", {}).values()
        for inner in (part.get("items"), part.get("additionalProperties"), *named):
            if isinstance(inner, dict):
                found |= keys(inner, f"{at}*.")
        if "properties" in part or named:
            assert part["additionalProperties"] is False
        for key, value in part.get("properties", {}).items():
            found[f"{at}{key}"] = value.get("description")
            found |= keys(value, f"{at}{key}.")
        return found

    assert keys(schema, "") == {key: field.description for key, field in KEYS.items()}
