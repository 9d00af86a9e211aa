"""`check`, `schema`, `providers`: about the settings."""

from __future__ import annotations

import anyio
import click
import yaml

from bridge import wiring
from bridge.cli.session import Session, command
from bridge.cli.text import print_json, print_table, safe
from bridge.clock import SystemClock
from bridge.config.load import Loaded
from bridge.config.schema import json_schema
from bridge.errors import UnknownError
from bridge.providers import descriptions


@command("check")
@click.option("--online", is_flag=True, help="Also ask each account one harmless question and reach each endpoint.")
@click.pass_obj
def check_command(session: Session, online: bool) -> int:
    """Check the settings, with every secret they name.

    Every mistake is a line `file:line:column: key: what is wrong; how to mend it`, and the exit code is 78.
    """
    loaded = session.resolved()
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    wiring.check(loaded, services=True)
    settings = loaded.settings
    click.echo(f"{loaded.path}: good: {len(settings.accounts)} accounts, {len(settings.endpoints)} endpoints")
    click.echo(f"store: {session.store_path}")
    if not online:
        return 0
    return 0 if anyio.run(_check_online, loaded) else 1


async def _check_online(loaded: Loaded) -> bool:
    good = True
    async with wiring.Workshop(SystemClock()) as workshop:
        async for name, works, detail in workshop.reach(loaded):
            good = good and works
            click.echo(f"{name}: {'good' if works else 'FAILED'}: {safe(detail)}")
    return good


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
