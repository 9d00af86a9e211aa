"""The JSON Schema of the settings file, for editors; `genbridge schema` prints it."""

from __future__ import annotations

from typing import Any

from bridge.config.model import Settings


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the settings, with a description for every key.

    It is as strict as an editor can use; what needs the whole file (names in routes, intervals in order) is found by
    `genbridge check`.
    """
    schema = Settings.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "genbridge settings"}
