"""`demo`: shows genbridge at work without a key, everything on loopback."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import click

from bridge import logs
from bridge.app import App
from bridge.cli.demo_board import DemoBoard, beginning, next_steps, summary_lines
from bridge.cli.demo_progress import DemoSummary
from bridge.cli.foreground import until_terminated
from bridge.cli.session import CommandSession, command
from bridge.cli.simulate import provider_option
from bridge.clock import FastClock, SystemClock
from bridge.config import load
from bridge.config.load import Loaded
from bridge.domain.quoting import printable
from bridge.engine.store_outage import StoreOutage
from bridge.errors import Unavailable
from bridge.http.services import Services
from bridge.http.serving import HttpServer
from bridge.metrics import Metrics
from bridge.net.http_server import listen, serve_on
from bridge.offload import ThreadOffload
from bridge.ports import Clock, StoreObserver
from bridge.screen import can_move_cursor, screen_of
from bridge.simulator.demo_plan import (
    OUTAGE,
    PROVIDER_KEY,
    QUEUE_NAME,
    RECEIVER_KEY,
    SIGNING_KEY,
    DemoFile,
    DemoPlan,
)
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.webhook_receiver import ReceivedWebhook, Receiver
from bridge.store import open_store
from bridge.wiring.parts import Parts

SHOW_EVERY_S: Final = 0.1
LOOPBACK: Final = "127.0.0.1"
MAX_DEMO_S: Final = 90.0  # the demo ends by then in any case


@command("demo")
@provider_option("The provider to simulate, one of `genbridge providers`.")
@click.option("--open", "opens", is_flag=True, help="Open the status page in a browser.")
@click.option("--keep", "keeps", is_flag=True, help="Afterwards, keep serving the page until Ctrl-C.")
@click.option("--speed", default=1.0, type=click.FloatRange(1, 10), hidden=True, help="Play faster, for tests.")
def demo_command(_: CommandSession, /, provider: str, opens: bool, keeps: bool, speed: float) -> int:
    """Show genbridge at work in half a minute; needs no key.

    Everything runs on loopback: a simulated provider, the daemon with its own queue folder and status page, and a
    webhook receiver that is down once, so that you see a retry. The demo ignores settings files and leaves nothing
    behind.
    """
    logs.set_up(level="error", syntax="auto")  # the demo includes a receiver that is down, so warnings are expected
    clock = SystemClock() if speed == 1 else FastClock(speed)
    demo = Demo(provider, clock, opens=opens, keeps=keeps)
    try:
        until_terminated(demo.play)
    except KeyboardInterrupt:
        if demo.is_kept:
            return 0
        if demo.has_begun:
            _print_end(demo.summary(), is_whole=False)
        raise
    summary = demo.summary()
    _print_end(summary, is_whole=True)
    return 0 if summary.is_complete else 1


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Unavailable if the folder cannot be written, such as on a full disk."""
    try:
        yield
    except OSError as error:
        what = f"the demo cannot write to {folder}: {error.strerror or error}"
        raise Unavailable(f"{what}; free some space, or name another folder in TMPDIR") from None


def _print_end(summary: DemoSummary, *, is_whole: bool) -> None:
    screen = screen_of(sys.stdout)
    steps = ["", *next_steps(screen)] if is_whole else ["", "the demo was stopped early; nothing is left behind"]
    begin = [] if can_move_cursor(screen) else [""]  # after the lines of the events
    click.echo("\n".join([*begin, *summary_lines(summary, screen), *steps]))


class Demo:
    """One demo in its own folder: two servers, the daemon, and task files that appear one after another."""

    def __init__(self, provider: str, clock: Clock, *, opens: bool, keeps: bool) -> None:
        self._clock = clock
        self._opens = opens
        self._keeps = keeps
        self.is_kept = False  # the summary is printed; only the page is still served
        self._plan = DemoPlan(provider=provider)
        self._provider = SimulatedProvider(self._clock, key=PROVIDER_KEY, provider=provider)
        self._receiver = Receiver(
            self._clock,
            api_key=RECEIVER_KEY,
            secret=SIGNING_KEY,
            on_webhook=self._note_webhook,
            outage=OUTAGE,
            on_turned_away=lambda webhook: self._note(
                f"503 for {webhook.task_id}: the receiver is down, genbridge retries"
            ),
        )
        self._started_at = 0.0
        self._events: list[str] = []  # not printed yet, because an error of the output must not reach the servers

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to summarize."""
        return self._started_at > 0

    async def play(self) -> None:
        """Run the demo until it ends."""
        with tempfile.TemporaryDirectory(prefix="genbridge-demo-") as folder:
            async with anyio.create_task_group() as group:
                provider = await group.start(partial(serve_on, self._provider.app, listen(LOOPBACK, 0)))
                receiver = await group.start(partial(serve_on, self._receiver.app, listen(LOOPBACK, 0)))
                with anyio.move_on_after(math.inf if self._keeps else MAX_DEMO_S):
                    await self._watch(Path(folder), f"http://{LOOPBACK}:{provider}", f"http://{LOOPBACK}:{receiver}")
                group.cancel_scope.cancel()

    def summary(self) -> DemoSummary:
        """The current progress of the demo."""
        return DemoSummary.of(
            self._plan,
            self._provider,
            self._receiver,
            started_at=self._started_at,
            now=self._clock.steady(),
        )

    async def _watch(self, folder: Path, provider_url: str, receiver_url: str) -> None:
        with _writing_to(folder):
            path = self._plan.prepare(folder, provider_url=provider_url, receiver_url=receiver_url)
        loaded = load.resolve(load.load(path, {}), {})
        store_path = folder / "state.db"
        with closing(open_store(store_path, create=True, group_access=False)) as store:
            outage = StoreOutage(self._clock)
            offload, leases = map(outage.watching, (ThreadOffload(), ThreadOffload()))
            metrics, observers = Metrics(), list[StoreObserver]()
            parts = Parts(
                loaded,
                store=store,
                clock=self._clock,
                offload=offload,
                lease_offload=leases,
                metrics=metrics,
                observers=observers,
            )
            app = App(parts)
            services = Services(
                settings=lambda: loaded,
                app=lambda: app,
                place=store_path,
                store=store,
                writing=offload,
                clock=self._clock,
                metrics=metrics,
                is_alive=lambda: True,
                store_failure=outage.failure,
            )
            site = HttpServer(services)
            observers.append(site.live)
            async with self._served(site, loaded):
                await self._run(app, folder / QUEUE_NAME)
            site.close()

    @asynccontextmanager
    async def _served(self, site: HttpServer, loaded: Loaded) -> AsyncIterator[None]:
        """Serve the page and the API during this context, and print their addresses."""
        bound = site.prepare(loaded)
        assert bound is not None, "the settings of the demo have http"
        async with anyio.create_task_group() as serving:
            await serving.start(site.run, loaded, bound)
            click.echo(beginning(self._plan.provider, len(self._plan.tasks)))
            click.echo(f"Page: http://{bound.address}/\nAPI:  http://{bound.address}/openapi.json")
            if self._opens:
                click.launch(f"http://{bound.address}/")
            yield
            site.stop()
            serving.cancel_scope.cancel()

    async def _run(self, app: App, queue: Path) -> None:
        async with anyio.create_task_group() as group:
            await group.start(app.run)
            self._started_at = self._clock.steady()
            self._plan.play(self._provider, started_at=self._started_at)
            group.start_soon(self._add_files, queue)
            await self._show_progress()
            if self._keeps:
                _print_end(self.summary(), is_whole=True)
                click.echo("\nThe page stays until you press Ctrl-C.")
                self.is_kept = True
                await anyio.sleep_forever()
            app.stop()

    async def _add_files(self, queue: Path) -> None:
        def note(file: DemoFile) -> None:
            self._note(f"queue/{file.name}: {len(file.tasks)} tasks")

        with _writing_to(queue.parent):
            await self._plan.add_files(queue, clock=self._clock, started_at=self._started_at, on_file=note)

    async def _show_progress(self) -> None:
        """Show progress until the notifications about all tasks are accepted."""
        screen = screen_of(sys.stdout)
        with DemoBoard(screen) if can_move_cursor(screen) else nullcontext() as board:
            while True:
                events, self._events = self._events, []
                for line in events:
                    board.say(line) if board is not None else click.echo(printable(line))
                summary = self.summary()
                if board is not None:
                    board.show(summary, self._clock.steady() - self._started_at)
                if summary.is_complete:
                    return
                await self._clock.sleep(SHOW_EVERY_S)

    def _note_webhook(self, webhook: ReceivedWebhook) -> None:
        again = " after 503" if self._receiver.turned_away[webhook.task_id] else ""
        self._note(f"{webhook.line()} 200{again} {' '.join(webhook.urls[:1]) or webhook.reason}")

    def _note(self, line: str) -> None:
        self._events.append(f"{self._clock.steady() - self._started_at:5.1f} s  {line}")
