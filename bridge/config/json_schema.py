"""The JSON Schema of the settings file, for editors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from bridge.config.model import Settings


class _FileSchema(GenerateJsonSchema):
    """The schema of the file, which may hold null where the models have a default."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """A key without a value means its default."""
        value = super().default_schema(schema)
        default = {"default": value.pop("default")} if "default" in value else {}
        return {**self.get_union_of_schemas([value, {"type": "null"}]), **default}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Where the keys are names, no other key is accepted."""
        value = super().dict_schema(schema)
        return {**value, "additionalProperties": False} if "patternProperties" in value else value


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the settings file, with a description for every key.

    It accepts what `genbridge check` accepts, and is as strict as an editor can use. `genbridge check` finds the rest:
    unknown names in routes, intervals in the wrong order.
    """
    schema = Settings.model_json_schema(by_alias=True, mode="validation", schema_generator=_FileSchema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "genbridge settings"}
