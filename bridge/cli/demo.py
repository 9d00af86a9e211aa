"""`demo` and `simulate`: genbridge at work without a key, everything on loopback."""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import anyio.abc
import click
from rich.console import Console

from bridge import logs
from bridge.app import App
from bridge.cli.session import command
from bridge.cli.text import wants_colors
from bridge.clock import SystemClock
from bridge.config import load
from bridge.domain.text import printable
from bridge.offload import ThreadOffload
from bridge.providers import descriptions
from bridge.providers.addresses import asking
from bridge.simulator.demo import ACTIONS, PROVIDER_KEY, QUEUE_NAME, RECEIVER_KEY, SIGNING_KEY, DemoPlan, Drop, Summary
from bridge.simulator.forms import FORMS
from bridge.simulator.provider import SimulatedProvider
from bridge.simulator.receiver import Receiver, Webhook
from bridge.simulator.serving import serve, split_address
from bridge.store import open_store

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
LOOPBACK: Final = "127.0.0.1"
MOST_S: Final = 90.0  # the demo ends by itself, whatever happens


def _provider_option(help_text: str) -> Callable[[F], F]:
    return click.option(
        "--provider", default="kling", show_default=True, metavar="NAME", type=click.Choice(list(FORMS)), help=help_text
    )


@command("demo")
@_provider_option("Whose form the simulated provider speaks, one of `genbridge providers`.")
def demo_command(provider: str) -> int:
    """Show genbridge at work, without a key, in half a minute.

    Everything on loopback: a simulated provider, the daemon with a queue folder of its own, and a receiver that prints
    each webhook. Settings files are ignored; nothing is left behind.
    """
    logs.set_up(level="warning", form="auto", colors=wants_colors(os.environ))
    summary = _until_terminated(partial(_demo, provider))
    click.echo()
    click.echo(summary.text())
    return 0 if summary.is_complete else 1


@command("simulate")
@click.option("--listen", default="127.0.0.1:8700", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--key", help="Demand this API key; without it any key is good.")
@_provider_option("Who has the paths that several providers share.")
def simulate_command(listen: str, key: str | None, provider: str) -> None:
    """Run the simulated provider alone.

    To try your automations against it. It speaks every built-in provider's form, on the paths of the vendors and of
    aggregators. Create tasks by POST as documented, or just ask about an id such as demo-video-20s, demo-images-5s,
    demo-fail-8s, demo-audio-3s, demo-text-5s, demo-never: it is born when first asked for. Ends with Ctrl-C or SIGTERM.
    """
    host, port = split_address(listen)
    try:
        _until_terminated(partial(_simulate, host, port, key, provider))
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


def _until_terminated(play: Callable[[], Awaitable[T]]) -> T:
    """Run it. SIGTERM ends it as Ctrl-C does: it is cancelled, cleans up, and KeyboardInterrupt is raised."""

    async def heeding() -> T:
        async with anyio.create_task_group() as group:
            await group.start(_cancel_by_sigterm, group.cancel_scope)
            played = await play()
            group.cancel_scope.cancel()
            return played
        raise KeyboardInterrupt

    return anyio.run(heeding)


async def _cancel_by_sigterm(scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    """The loop heeds the signal: an exception out of a signal handler could be raised, and lost, anywhere."""
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


async def _demo(provider: str) -> Summary:
    with tempfile.TemporaryDirectory(prefix="genbridge-demo-") as folder:
        return await Demo(Path(folder), provider).play()


async def _simulate(host: str, port: int, key: str | None, name: str) -> None:
    provider = SimulatedProvider(SystemClock(), key=key, provider=name)
    async with anyio.create_task_group() as group:
        port = await group.start(partial(serve, provider.app, host=host, port=port))
        base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        click.echo(f"simulated provider at {base}: set it as base_url, provider {name} (or any other)")
        click.echo(f"try: {_curl(name, base)}")


def _curl(name: str, base_url: str) -> str:
    """A command line that asks about a task which then begins."""
    action = next(iter(ACTIONS.get(name, {}).values()), None)
    task_id = f"{FORMS[name].prefix}demo-20s"
    asked = asking(descriptions()[name], base_url=base_url, task_id=task_id, action=action)
    data = [] if asked.body is None else ["-H", "Content-Type: application/json", "-d", asked.body.decode()]
    return shlex.join(["curl", "-H", "Authorization: Bearer x", *data, asked.url])


class Demo:
    """One demo in a folder of its own: two servers, the daemon, and someone who drops task files."""

    def __init__(self, folder: Path, provider: str) -> None:
        self._folder = folder
        self._clock = SystemClock()
        self._plan = DemoPlan(provider=provider)
        self._console = Console(highlight=False)
        self._provider = SimulatedProvider(self._clock, key=PROVIDER_KEY, provider=provider)
        self._receiver = Receiver(self._clock, api_key=RECEIVER_KEY, secret=SIGNING_KEY, on_webhook=self._print_webhook)
        self._started_at = 0.0

    async def play(self) -> Summary:
        """Play it to its end and sum it up."""
        async with anyio.create_task_group() as group:
            provider = await group.start(partial(serve, self._provider.app, host=LOOPBACK, port=0))
            receiver = await group.start(partial(serve, self._receiver.app, host=LOOPBACK, port=0))
            with anyio.move_on_after(MOST_S):
                await self._watch(f"http://{LOOPBACK}:{provider}", f"http://{LOOPBACK}:{receiver}")
            group.cancel_scope.cancel()
        return self._summary()

    async def _watch(self, provider_url: str, receiver_url: str) -> None:
        path = self._plan.prepare(self._folder, provider_url=provider_url, receiver_url=receiver_url)
        loaded = load.resolve(load.load(path, {}), {})
        store = open_store(self._folder / "state.db", create=True, group_access=False)
        try:
            app = App(loaded, store=store, clock=self._clock, offload=ThreadOffload(), lease_offload=ThreadOffload())
            async with anyio.create_task_group() as group:
                await group.start(app.run)
                self._started_at = self._clock.steady()
                self._plan.play(self._provider, started_at=self._started_at)
                group.start_soon(self._feed)
                await self._show_progress()
                app.stop()
        finally:
            store.close()

    async def _feed(self) -> None:
        queue = self._folder / QUEUE_NAME
        await self._plan.feed(queue, clock=self._clock, started_at=self._started_at, on_drop=self._print_drop)

    async def _show_progress(self) -> None:
        """Until everything is told: a live line on a terminal, nothing otherwise (the webhooks are lines enough)."""
        total = len(self._plan.tasks)
        with self._console.status("") as status:
            while len(self._receiver.webhooks) < total:
                told, polls = len(self._receiver.webhooks), sum(self._provider.polls.values())
                ended = len(self._provider.ended_at)
                elapsed = self._clock.steady() - self._started_at
                status.update(f"{elapsed:4.1f} s  {total} tasks, {ended} ended, {told} told, {polls} polls")
                await self._clock.sleep(0.1)

    def _print_drop(self, drop: Drop) -> None:
        self._say(f"queue/{drop.name}: {len(drop.tasks)} tasks")

    def _print_webhook(self, webhook: Webhook) -> None:
        self._say(webhook.line())

    def _say(self, line: str) -> None:
        elapsed = self._clock.steady() - self._started_at
        self._console.print(f"{elapsed:5.1f} s  {printable(line)}", markup=False, soft_wrap=True)

    def _summary(self) -> Summary:
        return Summary.of(
            self._plan,
            self._provider,
            webhooks=list(self._receiver.webhooks.values()),
            repeats=self._receiver.repeats,
            started_at=self._started_at,
        )
