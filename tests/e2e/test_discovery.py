"""The real daemon finds new tasks in the list of a simulated Replicate, and of a simulated Kling."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.clock import SystemClock
from bridge.config.postgres_url import PostgresUrl
from bridge.net.http_server import listen, serve_on
from bridge.simulator.simulated_provider import SimulatedProvider
from tests.daemon_process import DaemonProcess
from tests.e2e.test_daemon import genbridge
from tests.world import KEY, World, running_world, until

pytestmark = pytest.mark.long

LIST = "/v1/predictions"
QUICK = {"version": "simulated", "input": {"prompt": "demo-images-0.5s"}}


@dataclass
class Vendor:
    """The simulated provider, in a thread of its own. Requests are recorded, and lists can fail."""

    port: int = 0
    refusal: tuple[int, dict[str, str]] | None = None  # while set: status and headers of every list
    lists: list[tuple[float, str]] = field(default_factory=list)  # time and query of each request
    polls: list[float] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def create(self, number: int = 1, **body: Any) -> set[str]:
        """Create predictions with the API, and return their ids."""
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=self.url, headers=headers, trust_env=False) as client:
            return {client.post(LIST, json={**QUICK, **body}).json()["id"] for _ in range(number)}

    def watching(self, app: ASGIApp) -> ASGIApp:
        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope)
            if scope["path"].endswith(LIST) and scope["method"] == "GET":
                self.lists.append((time.monotonic(), request.url.query))
                if self.refusal is not None:
                    status, headers = self.refusal
                    await Response(b"", status, headers)(scope, receive, send)
                    return
            elif scope["method"] == "GET":
                self.polls.append(time.monotonic())
            await app(scope, receive, send)

        return watched


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with running("replicate") as vendor:
        yield vendor


@contextmanager
def running(name: str) -> Iterator[Vendor]:
    vendor = Vendor()
    with start_blocking_portal() as portal:
        simulated = SimulatedProvider(SystemClock(), key=KEY, provider=name)
        app = vendor.watching(simulated.app)
        serving, vendor.port = portal.start_task(partial(serve_on, app, listen("127.0.0.1", 0)))
        try:
            yield vendor
        finally:
            serving.cancel()


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as world:
        yield world


def settings(world: World, folder: Path, vendor: Vendor, **account: Any) -> Path:
    base = {"provider": "replicate", "base_url": vendor.url, "api_key": KEY, "discover": "10s", **account}
    return world.settings(folder, accounts={"replicate": base}, sources={})


def started(daemon: DaemonProcess) -> None:
    until(lambda: "discover.started" in daemon.log.read_text(), seconds=15, what="the first list")
    time.sleep(0.5)  # everything that it has logged is in the store


def status(folder: Path) -> dict[str, Any]:
    [source] = json.loads(genbridge(folder, "status", "--json").stdout)["sources"]
    found: dict[str, Any] = source
    return found


def test_new_predictions_are_watched_even_those_made_during_downtime(
    tmp_path: Path, world: World, vendor: Vendor
) -> None:
    old = vendor.create(3)
    path = settings(world, tmp_path, vendor)
    with DaemonProcess(path) as daemon:
        started(daemon)
        first = vendor.create(2)
        until(lambda: world.by_task().keys() == first, seconds=30, what="their webhooks")
        [one, *_] = first
        assert "found in the provider's list" in genbridge(tmp_path, "explain", one).stdout
        until(lambda: status(tmp_path)["taken"] == 2, seconds=5, what="the count in the store")
        daemon.kill()
    withdrawn = vendor.create(1, input={"prompt": "demo-never"})
    meanwhile = vendor.create(40)
    vendor.lists.clear()
    with DaemonProcess(path) as daemon:
        until(lambda: world.by_task().keys() == first | meanwhile, seconds=30, what="the webhooks of both pages")
        assert len(vendor.lists) == 2
        assert vendor.lists[1][1].startswith("cursor=")
        assert genbridge(tmp_path, "withdraw", *withdrawn).returncode == 0
        looks = len(vendor.lists)
        until(lambda: len(vendor.lists) >= looks + 2, seconds=30, what="two more lists")
        [watch] = json.loads(genbridge(tmp_path, "list", "--json", "--phase", "withdrawn").stdout)
        assert {watch["id"]} == withdrawn
        assert daemon.stop() == 0
    assert not old & world.by_task().keys()
    assert {len(told) for told in world.by_task().values()} == {1}
    source = status(tmp_path)
    assert (source["source"], source["path"], source["taken"]) == ("discover:replicate", None, 43)
    assert "sources   discover:replicate: last read" in genbridge(tmp_path, "status").stdout


def test_a_failing_list_is_reported_once_and_its_429_pauses_the_account(
    tmp_path: Path, world: World, vendor: Vendor
) -> None:
    path = settings(world, tmp_path, vendor)
    with DaemonProcess(path) as daemon:
        started(daemon)
        assert genbridge(tmp_path, "add", *vendor.create(1, input={"prompt": "demo-never"})).returncode == 0
        missed = vendor.create(2)
        vendor.refusal = (500, {})
        until(lambda: status(tmp_path)["failing"], seconds=30, what="a failed list")
        assert status(tmp_path)["last_error"].startswith("HTTP 500")
        vendor.refusal = (429, {"Retry-After": "4"})
        looks = len(vendor.lists)
        until(lambda: len(vendor.lists) > looks, seconds=60, what="the 429")
        vendor.refusal = None
        paused_at = vendor.lists[-1][0]
        until(lambda: world.by_task().keys() == missed, seconds=90, what="the webhooks")
        early = [at for at in vendor.polls if paused_at + 0.3 < at < paused_at + 3.9]
        assert daemon.stop() == 0
    assert early == []
    gaps = [later - earlier for (earlier, _), (later, _) in zip(vendor.lists, vendor.lists[1:], strict=False)]
    assert min(gaps) > 9.5
    log = daemon.log.read_text()
    assert log.count("discover.failed") == 1
    assert log.count("discover.recovered") == 1


def test_a_reload_switches_it_on_and_off(tmp_path: Path, world: World, vendor: Vendor) -> None:
    path = settings(world, tmp_path, vendor, discover=None)
    with DaemonProcess(path) as daemon:
        until(lambda: "daemon.ready" in daemon.log.read_text(), seconds=15, what="the start")
        vendor.create(1)
        assert vendor.lists == []
        settings(world, tmp_path, vendor)
        started(daemon)
        found = vendor.create(1)
        until(lambda: world.by_task().keys() == found, seconds=30, what="the webhook")
        settings(world, tmp_path, vendor, discover=None)
        until(lambda: daemon.log.read_text().count("settings.reloaded") == 2, seconds=15, what="the second reload")
        looks = len(vendor.lists)
        vendor.create(1)
        time.sleep(11)
        assert len(vendor.lists) == looks
        settings(world, tmp_path, vendor)
        until(lambda: len(vendor.lists) > looks, seconds=30, what="a list again")
        looks = len(vendor.lists)
        until(lambda: len(vendor.lists) > looks, seconds=30, what="one more list")
        time.sleep(1)
        assert world.by_task().keys() == found, "what was created while it was off is not watched"
        assert daemon.stop() == 0


def test_of_two_daemons_one_requests_the_list_and_the_other_takes_over(
    tmp_path: Path, world: World, vendor: Vendor, postgres: PostgresUrl
) -> None:
    base = {"provider": "replicate", "base_url": vendor.url, "api_key": KEY, "discover": "10s"}
    daemons = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        own = {"store": postgres.reveal(), "sharing": {"name": name, "takeover": "5s"}, "sources": {}}
        daemons.append(DaemonProcess(world.settings(tmp_path / name, accounts={"replicate": base}, **own)))
        until(lambda: "daemon.ready" in daemons[-1].log.read_text(), seconds=20, what="the start")
    try:
        time.sleep(5)  # now they have divided the shares
        begun_at, found = time.monotonic(), vendor.create(3)
        until(lambda: world.by_task().keys() == found, seconds=30, what="the webhooks")
        looks = [at for at, _ in vendor.lists if at > begun_at]
        assert len(looks) <= (time.monotonic() - begun_at) / 10 + 1
        sources = json.loads(genbridge(tmp_path / "one", "status", "--json").stdout)["sources"]
        notes = {one["daemon"]: one["note"] for one in sources}
        [asks] = [name for name, note in notes.items() if note is None]
        assert sorted(filter(None, notes.values())) == ["another daemon requests this list"]
        daemons[("one", "two").index(str(asks))].kill()
        more = vendor.create(2)
        until(lambda: world.by_task().keys() == found | more, seconds=60, what="the webhooks of the other daemon")
    finally:
        for daemon in daemons:
            daemon.__exit__()


def test_kling_has_a_list_for_each_action(tmp_path: Path, world: World) -> None:
    with running("kling") as vendor:
        variant = {"extends": "kling", "ask": {"discover": {"actions": ["videos/text2video", "images/generations"]}}}
        path = world.settings(
            tmp_path,
            providers={"mine": variant},
            accounts={"mine": {"provider": "mine", "base_url": vendor.url, "api_key": KEY, "discover": "10s"}},
            sources={},
        )
        with DaemonProcess(path) as daemon:
            started(daemon)
            headers, ids = {"authorization": f"Bearer {KEY}"}, set()
            for action in ("videos/text2video", "images/generations"):
                body = {"prompt": "demo-video-1s"}
                created = httpx.post(f"{vendor.url}/kling/v1/{action}", json=body, headers=headers, trust_env=False)
                ids.add(created.json()["data"]["task_id"])
            until(lambda: world.by_task().keys() == ids, seconds=40, what="the webhooks")
            actions = {told[0].data["action"] for told in world.by_task().values()}
            assert actions == {"videos/text2video", "images/generations"}
            assert daemon.stop() == 0
