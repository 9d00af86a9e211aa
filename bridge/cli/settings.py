"""`schema`: prints the JSON Schema of the settings."""

from __future__ import annotations

from bridge.cli.output import print_json
from bridge.cli.session import command
from bridge.config.model import json_schema


@command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the settings, for editors."""
    print_json(json_schema())
