"""A daemon whose settings change again and again keeps nothing of those before."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.app import App
from bridge.cli.secrets import resolved
from bridge.cli.session import Session
from bridge.clock import SystemClock
from bridge.config.load import Loaded
from bridge.domain.task import Kind
from bridge.offload import ThreadOffload
from bridge.store import open_store
from bridge.wiring import Workshop
from tests.loopback import Exchange, loopback
from tests.world import kling


def settings(folder: Path, *accounts: str, url: str = "http://127.0.0.1:9", **polling: Any) -> Loaded:
    account = {"provider": "kling", "base_url": url, "api_key": "sk-1234", "action": "videos/text2video"}
    endpoint = {"type": "webhook", "url": "http://127.0.0.1:9/hook"}
    written = {"accounts": dict.fromkeys(accounts, account), "endpoints": {"hook": endpoint}, "polling": polling}
    path = folder / "genbridge.yaml"
    path.write_text(json.dumps(written))
    path.chmod(0o600)  # it holds keys
    return resolved(Session(config=str(path)))


def accounts_held(app: App) -> list[str]:
    scopes = {share.scope for share in app._membership.held}
    return sorted(scope.removeprefix("account/") for scope in scopes if scope.startswith("account/"))


async def test_what_accounts_that_came_and_went_left_behind_is_freed_although_watches_are_spared(
    tmp_path: Path,
) -> None:
    store, clock = open_store(tmp_path / "state.db", create=True, group_access=False), SystemClock()
    app = App(
        settings(tmp_path, "one"), store=store, clock=clock, offload=ThreadOffload(), lease_offload=ThreadOffload()
    )
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            await group.start(app.run)
            gc.collect()
            for number in range(40):
                wanted = ["one", "two"][: 1 + number % 2]
                await app.apply(settings(tmp_path, *wanted))
                while accounts_held(app) != wanted:
                    await anyio.sleep(0.01)
            gc.unfreeze()
            left_behind = gc.collect()
            app.stop()
    store.close()
    assert left_behind < 100


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
            Workshop(SystemClock()) as workshop,
            anyio.create_task_group() as group,
        ):
            kinds: list[Kind] = []
            provider = workshop.accounts(settings(tmp_path, "one", url=server.url, transport=transport))["one"].provider

            async def ask(task_id: str) -> None:
                kinds.append((await provider.ask(task_id, "videos/text2video")).kind)

            group.start_soon(ask, "slow")
            while not server.asked:
                await anyio.sleep(0.01)
            await ask("quick")
            assert server.open_connections == 2
            new = settings(tmp_path, *remaining, url=server.url, transport=transport, timeout="9s")
            workshop.accounts(new)
            assert server.open_connections == 2  # they may be refused yet
            await workshop.retire(new)
            while server.open_connections > 1:
                await anyio.sleep(0.01)
            may_answer.set()
            while server.open_connections:
                await anyio.sleep(0.01)
            assert kinds == [Kind.RUNNING, Kind.RUNNING]
