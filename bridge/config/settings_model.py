"""The base class of all parts of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class SettingsModel(BaseModel):
    """Frozen, without unknown keys. Its errors do not repeat the input.

    A key is the name of a field without the `_s` for seconds: `min_interval: 2s` is `min_interval_s == 2.0`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=lambda field: field.removesuffix("_s"),
        validate_by_name=True,
        validate_by_alias=True,
        arbitrary_types_allowed=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        """A key without a value means its default, also a section with only comments."""
        if not isinstance(data, Mapping):
            return data
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {key: value for key, value in data.items() if value is not None or key not in known}
