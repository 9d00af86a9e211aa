"""`demo`: genbridge at work without a key, everything on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import click
from rich.console import Console

from bridge import logs
from bridge.app import App
from bridge.cli.foreground import provider_option, until_terminated
from bridge.cli.session import command
from bridge.clock import FastClock, SystemClock
from bridge.config import load
from bridge.config.load import Loaded
from bridge.domain.quoting import printable
from bridge.engine.outage import Outage
from bridge.http.front import http_server
from bridge.http.serving import HttpServer
from bridge.metrics import Metrics
from bridge.net.http_server import serve
from bridge.offload import ThreadOffload
from bridge.ports import Clock, StoreObserver
from bridge.simulator.demo_plan import PROVIDER_KEY, QUEUE_NAME, RECEIVER_KEY, SIGNING_KEY, DemoFile, DemoPlan
from bridge.simulator.demo_summary import DemoSummary
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.webhook_receiver import ReceivedWebhook, Receiver
from bridge.store import open_follower, open_reader, open_store

LOOPBACK: Final = "127.0.0.1"
MAX_DEMO_S: Final = 90.0  # the demo stops by then in any case


@command("demo")
@provider_option("The provider to simulate, one of `genbridge providers`.")
@click.option("--speed", default=1.0, type=click.FloatRange(1, 10), hidden=True, help="Play faster, for tests.")
def demo_command(provider: str, speed: float) -> int:
    """Show genbridge at work in half a minute; needs no key.

    Everything runs on loopback: a simulated provider, the daemon with its own queue folder, and a receiver that prints
    each webhook. It ignores settings files and leaves nothing behind.
    """
    logs.set_up(level="warning", syntax="auto")
    summary = until_terminated(partial(_demo, provider, speed))
    click.echo()
    click.echo(summary.text())
    return 0 if summary.is_complete else 1


async def _demo(provider: str, speed: float) -> DemoSummary:
    with tempfile.TemporaryDirectory(prefix="genbridge-demo-") as folder:
        return await Demo(Path(folder), provider, SystemClock() if speed == 1 else FastClock(speed)).play()


class _Screen(Console):
    """Raises an error when the output is closed; rich itself would exit the process at once."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError("the output is closed")


class Demo:
    """One demo in its own folder: two servers, the daemon, and task files that appear one after another."""

    def __init__(self, folder: Path, provider: str, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._plan = DemoPlan(provider=provider)
        self._console = _Screen(highlight=False)
        self._provider = SimulatedProvider(self._clock, key=PROVIDER_KEY, provider=provider)
        self._receiver = Receiver(self._clock, api_key=RECEIVER_KEY, secret=SIGNING_KEY, on_webhook=self._print_webhook)
        self._started_at = 0.0

    async def play(self) -> DemoSummary:
        """Run the demo to its end. Returns the summary."""
        async with anyio.create_task_group() as group:
            provider = await group.start(partial(serve, self._provider.app, host=LOOPBACK, port=0))
            receiver = await group.start(partial(serve, self._receiver.app, host=LOOPBACK, port=0))
            with anyio.move_on_after(MAX_DEMO_S):
                await self._watch(f"http://{LOOPBACK}:{provider}", f"http://{LOOPBACK}:{receiver}")
            group.cancel_scope.cancel()
        return self._summary()

    async def _watch(self, provider_url: str, receiver_url: str) -> None:
        path = self._plan.prepare(self._folder, provider_url=provider_url, receiver_url=receiver_url)
        loaded = load.resolve(load.load(path, {}), {})
        store_path = self._folder / "state.db"
        store = open_store(store_path, create=True, group_access=False)
        try:
            offload, leases = map(Outage(self._clock).watching, (ThreadOffload(), ThreadOffload()))
            metrics, observers = Metrics(), list[StoreObserver]()
            app = App(
                loaded,
                store=store,
                clock=self._clock,
                offload=offload,
                lease_offload=leases,
                metrics=metrics,
                observers=observers,
            )
            site = http_server(
                settings=lambda: loaded,
                app=lambda: app,
                reader=open_reader(store_path),
                follower=open_follower(store_path),
                store=store,
                writing=offload,
                clock=self._clock,
                metrics=metrics,
                is_alive=lambda: True,
            )
            observers.append(site.live)
            async with self._served(site, loaded):
                await self._run(app)
            site.close()
        finally:
            store.close()

    @asynccontextmanager
    async def _served(self, site: HttpServer, loaded: Loaded) -> AsyncIterator[None]:
        """Serve the API meanwhile, and print its address."""
        bound = site.prepare(loaded)
        assert bound is not None, "the settings of the demo have http"
        async with anyio.create_task_group() as serving:
            await serving.start(site.run, loaded, bound)
            self._console.print(f"API: http://{bound.address}/openapi.json", markup=False)
            yield
            site.stop()
            serving.cancel_scope.cancel()

    async def _run(self, app: App) -> None:
        async with anyio.create_task_group() as group:
            await group.start(app.run)
            self._started_at = self._clock.steady()
            self._plan.play(self._provider, started_at=self._started_at)
            group.start_soon(self._add_files)
            await self._show_progress()
            app.stop()

    async def _add_files(self) -> None:
        queue = self._folder / QUEUE_NAME
        await self._plan.add_files(queue, clock=self._clock, started_at=self._started_at, on_file=self._print_file)

    async def _show_progress(self) -> None:
        """Show a live line on a terminal until every task is notified."""
        total = len(self._plan.tasks)
        with self._console.status("") as status:
            while len(self._receiver.webhooks) < total:
                notified, polls = len(self._receiver.webhooks), sum(self._provider.polls.values())
                finished = len(self._provider.finished_at)
                elapsed = self._clock.steady() - self._started_at
                status.update(
                    f"{elapsed:4.1f} s  {total} tasks, {finished} finished, {notified} notified, {polls} polls"
                )
                await self._clock.sleep(0.1)

    def _print_file(self, file: DemoFile) -> None:
        self._say(f"queue/{file.name}: {len(file.tasks)} tasks")

    def _print_webhook(self, webhook: ReceivedWebhook) -> None:
        self._say(webhook.line())

    def _say(self, line: str) -> None:
        elapsed = self._clock.steady() - self._started_at
        self._console.print(f"{elapsed:5.1f} s  {printable(line)}", markup=False, soft_wrap=True)

    def _summary(self) -> DemoSummary:
        return DemoSummary.of(
            self._plan,
            self._provider,
            webhooks=list(self._receiver.webhooks.values()),
            repeats=self._receiver.repeats,
            started_at=self._started_at,
        )
