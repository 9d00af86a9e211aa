"""`schema` and `providers`: what settings may say."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click
import yaml

from bridge.cli.session import Session, command
from bridge.cli.text import print_json, print_table
from bridge.config import load
from bridge.config.schema import json_schema
from bridge.domain.text import printable
from bridge.errors import ConfigError, UnknownError
from bridge.providers import Description, descriptions, effective
from bridge.reader import catalogue


@command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the settings, for editors."""
    print_json(json_schema())


@command("providers")
@click.argument("name", required=False)
@click.pass_obj
def providers_command(session: Session, name: str | None) -> None:
    """List the providers, or print one as YAML.

    The description is printed whole, as it could be written under `providers:` in the settings; the settings' own are
    among them.
    """
    known = _known(session)
    if name is None:
        print_table(["PROVIDER", "WHAT"], [[key, description.title] for key, description in known.items()])
        return
    if name not in known:
        raise UnknownError(f"no provider {printable(name)}; there are: {', '.join(known)}")
    click.echo(yaml.safe_dump(effective(known[name]), sort_keys=False, allow_unicode=True).rstrip())


def _known(session: Session) -> Mapping[str, Description]:
    try:
        load.find(session.config, os.environ)
    except ConfigError:
        return descriptions()  # one may look at what there is before one writes settings
    return catalogue(session.loaded)
