"""A daemon whose settings change repeatedly keeps no objects of earlier settings."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.app import App
from bridge.cli.session import CommandSession
from bridge.clock import SystemClock
from bridge.config.load import Loaded
from bridge.daemon import Daemon
from bridge.domain.task import ReadingKind
from bridge.domain.watch import Wish
from bridge.metrics import Metrics
from bridge.offload import ThreadOffload
from bridge.store import open_store
from bridge.wiring.parts import Parts
from bridge.wiring.plan_builder import PlanBuilder
from tests.loopback import Exchange, loopback
from tests.stopwatch import until
from tests.world import kling

pytestmark = pytest.mark.usefixtures("unmeasured")

T = TypeVar("T")


def settings(folder: Path, *accounts: str, url: str = "http://127.0.0.1:9", **polling: Any) -> Loaded:
    account = {"provider": "kling", "base_url": url, "api_key": "sk-1234", "action": "videos/text2video"}
    endpoint = {"type": "webhook", "url": "http://127.0.0.1:9/hook"}
    written = {"accounts": dict.fromkeys(accounts, account), "endpoints": {"hook": endpoint}, "polling": polling}
    path = folder / "genbridge.yaml"
    path.write_text(json.dumps(written))
    path.chmod(0o600)  # it holds keys
    return CommandSession(config=str(path)).resolved()


def accounts_held(app: App) -> list[str]:
    scopes = {share.scope for share in app.parts.membership.held}
    return sorted(scope.removeprefix("account/") for scope in scopes if scope.startswith("account/"))


async def test_people_read_by_the_wall_clock_when_a_daemon_stopped_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = open_store(tmp_path / "state.db", create=True, group_access=False), SystemClock()
    offload = ThreadOffload()
    loaded = settings(tmp_path, "one")
    parts = Parts(loaded, store=store, clock=clock, offload=offload, lease_offload=offload, metrics=Metrics())
    parts.writes.failing_since, parts.lease.until_at = clock.steady(), clock.steady() - 60
    monkeypatch.setattr(SystemClock, "now", lambda self: self.steady() + 7200)
    found = App(parts).now()
    assert clock.now() - 5 < (found.store_failed_at or 0.0) <= clock.now()
    assert clock.now() - 65 < (found.lease_ended_at or 0.0) <= clock.now() - 60
    store.close()


async def test_objects_of_removed_accounts_are_freed(
    tmp_path: Path,
) -> None:
    store, clock = open_store(tmp_path / "state.db", create=True, group_access=False), SystemClock()
    parts = Parts(
        settings(tmp_path, "one"),
        store=store,
        clock=clock,
        offload=ThreadOffload(),
        lease_offload=ThreadOffload(),
        metrics=Metrics(),
    )
    app = App(parts)
    with anyio.fail_after(100):  # only so that a fault does not hang the test
        async with anyio.create_task_group() as group:
            await group.start(app.run)
            gc.collect()
            for number in range(10):
                wanted = ["one", "two"][: 1 + number % 2]
                await app.apply(settings(tmp_path, *wanted))
                while accounts_held(app) != wanted:
                    await anyio.sleep(0.01)
            gc.unfreeze()
            left_behind = gc.collect()
            app.stop()
    store.close()
    assert left_behind < 30


def test_accounts_and_endpoints_are_counted_before_the_store_has_answered(tmp_path: Path) -> None:
    store, metrics = open_store(tmp_path / "state.db", create=True, group_access=False), Metrics()
    Parts(
        settings(tmp_path, "one", "two"),
        store=store,
        clock=SystemClock(),
        offload=ThreadOffload(),
        lease_offload=ThreadOffload(),
        metrics=metrics,
    )
    store.close()
    assert (list(metrics.accounts), list(metrics.endpoints)) == (["one", "two"], ["hook"])


@pytest.mark.parametrize("transport", ["asyncio", "httpx"])
@pytest.mark.parametrize("remaining", [["one"], ["two"]], ids=["changed", "gone"])
async def test_connections_of_replaced_settings_are_closed_when_their_exchange_has_ended(
    tmp_path: Path, transport: str, remaining: list[str]
) -> None:
    may_answer = anyio.Event()

    async def answering(exchange: Exchange) -> None:
        if exchange.asked.target.endswith("slow"):
            await may_answer.wait()
        await exchange.answer(200, json.dumps(kling(exchange.asked.target.rpartition("/")[2], "processing")).encode())

    with anyio.fail_after(20):
        async with (
            loopback(answering) as server,
            aclosing(PlanBuilder(SystemClock())) as builder,
            anyio.create_task_group() as group,
        ):
            kinds: list[ReadingKind] = []
            provider = builder.accounts(settings(tmp_path, "one", url=server.url, transport=transport))["one"].provider

            async def ask(task_id: str) -> None:
                kinds.append((await provider.poll(task_id, "videos/text2video")).kind)

            group.start_soon(ask, "slow")
            while not server.asked:
                await anyio.sleep(0.01)
            await ask("quick")
            assert server.open_connections == 2
            new = settings(tmp_path, *remaining, url=server.url, transport=transport, timeout="9s")
            builder.accounts(new)
            assert server.open_connections == 2  # they may still be refused
            await builder.retire(new)
            while server.open_connections > 1:
                await anyio.sleep(0.01)
            may_answer.set()
            while server.open_connections:
                await anyio.sleep(0.01)
            assert kinds == [ReadingKind.RUNNING, ReadingKind.RUNNING]


async def test_a_bug_in_a_reload_keeps_the_old_settings(tmp_path: Path) -> None:
    def broken() -> Loaded:
        raise KeyError("a fault of ours")

    store = open_store(tmp_path / "state.db", create=True, group_access=False)
    daemon = Daemon(
        settings(tmp_path, "one"),
        store=store,
        clock=SystemClock(),
        place=tmp_path / "state.db",
        reread=broken,
        seen=None,
    )
    with capture_logs() as logged:
        assert await daemon._reload()
    store.close()
    assert [(line["event"], line["in_force"]) for line in logged] == [("settings.bug", "the old settings")]


class HoldingOffload(ThreadOffload):
    """Holds the calls of these names until their events are set."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, threading.Event] = {}
        self.requested: list[str] = []

    async def __call__(self, call: Callable[..., T], *args: object) -> T:
        name = str(getattr(getattr(call, "func", call), "__name__", ""))
        self.requested.append(name)
        return await super().__call__(self._run, name, call, *args)

    def _run(self, name: str, call: Callable[..., T], *args: object) -> T:
        if name in self.held:
            self.held[name].wait(20)
        return call(*args)


async def test_tasks_that_are_stored_during_a_reload_are_polled(tmp_path: Path) -> None:
    store, offload = open_store(tmp_path / "state.db", create=True, group_access=False), HoldingOffload()
    (tmp_path / "queue").mkdir()

    store.add([Wish(account="one", task_id="earlier")], source="cli", now=0.0)

    async def running(exchange: Exchange) -> None:
        await exchange.answer(200, json.dumps(kling(exchange.asked.target.rpartition("/")[2], "processing")).encode())

    def loaded(url: str, **sources: str) -> Loaded:
        path = tmp_path / "genbridge.yaml"
        account = {"provider": "runway", "base_url": url, "api_key": "sk-1234"}
        path.write_text(json.dumps({"accounts": {"one": account}, "sources": {"queue": "queue/", **sources}}))
        path.chmod(0o600)
        return CommandSession(config=str(path)).resolved()

    with anyio.fail_after(60):
        async with loopback(running) as server, anyio.create_task_group() as group:
            parts = Parts(
                loaded(server.url),
                store=store,
                clock=SystemClock(),
                offload=offload,
                lease_offload=ThreadOffload(),
                metrics=Metrics(),
            )
            app = App(parts)
            await group.start(app.run)
            await anyio.sleep(1.0)  # until the daemon has reacted to everything in the store
            offload.requested.clear()
            # The tasks are stored right before the last call of a reload. Another call comes before they are fetched.
            offload.held = {"queue_wait_ends": threading.Event(), "add": threading.Event()}
            group.start_soon(app.apply, loaded(server.url, lines="ids.txt"))
            await until(lambda: "queue_wait_ends" in offload.requested)
            (tmp_path / "queue" / "a.txt").write_text("task-1\n")
            await until(lambda: "add" in offload.requested)
            offload.held["queue_wait_ends"].set()
            await until(lambda: "disabled" in offload.requested)
            group.start_soon(offload, store.revision)
            await until(lambda: "revision" in offload.requested)
            offload.held["add"].set()
            await until(lambda: not (tmp_path / "queue" / "a.txt").exists())
            await until(lambda: any(asked.target.endswith("task-1") for asked in server.asked), within_s=5)
            app.stop()
    store.close()
