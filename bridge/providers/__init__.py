"""Providers: code that reads what descriptions say of a vendor's task form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml

from bridge.providers.addresses import action_problem, locate, query_url
from bridge.providers.description import Description

__all__ = ["Description", "action_problem", "descriptions", "locate", "query_url"]


@cache
def descriptions() -> Mapping[str, Description]:
    """The built-in descriptions by name."""
    found = {}
    for file in sorted(files(__name__).joinpath("builtin").iterdir(), key=lambda file: file.name):
        description = Description.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        found[description.name] = description
    return MappingProxyType(found)
