"""`simulate`: runs only the simulated provider."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import Final

import anyio
import click

from bridge.cli.foreground import until_terminated
from bridge.cli.options import F, checked
from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.config.validators import signing_secret
from bridge.domain.proxies import NO_PROXY
from bridge.net.client import HttpClient
from bridge.net.http_server import listen, serve_on, split_address
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.task_requests import task_request
from bridge.simulator.callback_poster import CallbackPoster
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.vendor import load_vendor, vendor_names

CALLBACK_TIMEOUT_S: Final = 10.0


def provider_option(help_text: str) -> Callable[[F], F]:
    """`--provider`, with the providers that can be simulated."""
    return click.option(
        "--provider",
        default="kling",
        show_default=True,
        metavar="NAME",
        type=click.Choice(vendor_names()),
        help=help_text,
    )


@command("simulate")
@click.option("--listen", default="127.0.0.1:8700", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--key", help="Require this API key; by default any key is accepted.")
@click.option(
    "--callback-secret",
    metavar="WHSEC",
    type=checked(signing_secret),
    help="Sign callbacks with this secret, whsec_...",
)
@provider_option("The provider that answers paths shared by several providers.")
def simulate_command(
    _: CommandSession, /, listen: str, key: str | None, callback_secret: str | None, provider: str
) -> None:
    """Run only the simulated provider.

    Try your automations against it. It answers like every built-in provider, on the paths of the vendors and of
    aggregators. Create tasks by POST as documented, or request a demo id such as demo-video-20s, demo-images-5s,
    demo-fail-8s, demo-audio-3s, demo-text-5s or demo-never: the task starts with the first request. Stop it with Ctrl-C
    or SIGTERM.
    """
    host, port = split_address(listen)
    try:
        until_terminated(partial(_simulate, host, port, key, provider, callback_secret))
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


async def _simulate(host: str, port: int, key: str | None, name: str, callback_secret: str | None) -> None:
    clock = SystemClock()
    provider = SimulatedProvider(clock, key=key, provider=name)
    client = HttpClient(timeout_s=CALLBACK_TIMEOUT_S, concurrency=8, proxy=NO_PROXY)
    poster = CallbackPoster(provider, clock=clock, client=client, secret=callback_secret)
    async with anyio.create_task_group() as group:
        group.start_soon(poster.run)
        port = await group.start(partial(serve_on, provider.app, listen(host, port)))
        base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        click.echo(f"simulated provider at {base}: set it as base_url, provider {name} (or any other)")
        hint = "try" if key is None else "try, with your --key as KEY"
        click.echo(f"{hint}: {_curl(name, base, 'x' if key is None else 'KEY')}")


def _curl(name: str, base_url: str, key: str) -> str:
    """A command line that requests a demo id, which creates its task."""
    vendor = load_vendor(name)
    headers = [f"{header.title()}: {value}" for header, value in vendor.key_headers(key)][:1]
    action = next(iter(vendor.demo_actions.values()), None)
    task_id = f"{vendor.id_prefix}demo-20s"
    asked = task_request(BUILT_IN[name], base_url=base_url, task_id=task_id, action=action)
    data = [] if asked.body is None else ["-d", asked.body.decode()]
    if data:
        headers.append("Content-Type: application/json")
    return shlex.join(["curl", *(word for header in headers for word in ("-H", header)), *data, asked.url])
