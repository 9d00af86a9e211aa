"""`schema` and `providers`: what settings may say."""

from __future__ import annotations

import click
import yaml

from bridge.cli.session import command
from bridge.cli.text import print_json, print_table, safe
from bridge.config.schema import json_schema
from bridge.errors import UnknownError
from bridge.providers import descriptions


@command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the settings, for editors."""
    print_json(json_schema())


@command("providers")
@click.argument("name", required=False)
def providers_command(name: str | None) -> None:
    """List the providers, or print the description of one as YAML."""
    known = descriptions()
    if name is None:
        print_table(["PROVIDER", "WHAT"], [[key, description.title] for key, description in known.items()])
        return
    if name not in known:
        raise UnknownError(f"no provider {safe(name)}; there are: {', '.join(known)}")
    shown = known[name].model_dump(mode="json", exclude_defaults=True)
    click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).rstrip())
