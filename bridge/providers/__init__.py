"""Providers: code that reads what descriptions say of a vendor's task form.

`HttpProvider` stands in `bridge.providers.provider`: it brings the HTTP client, which most commands do without.
"""

from __future__ import annotations

from bridge.providers.addresses import action_problem, harmless_action, locate
from bridge.providers.catalogue import (
    DescriptionProblem,
    DescriptionsRefused,
    descriptions,
    effective,
    load_descriptions,
)
from bridge.providers.created import created, created_by_any
from bridge.providers.description import Description

__all__ = [
    "Description",
    "DescriptionProblem",
    "DescriptionsRefused",
    "action_problem",
    "created",
    "created_by_any",
    "descriptions",
    "effective",
    "harmless_action",
    "load_descriptions",
    "locate",
]
