"""The simulated provider and receiver work with the real readers, sinks, settings and sources."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.config.load import load, resolve
from bridge.domain.delivery import Accepted, Deferred
from bridge.domain.task import ReadingKind
from bridge.net.client import HttpClient
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.provider import HttpProvider
from bridge.simulator.demo_plan import ACCOUNT, ENDPOINT, PROVIDER_KEY, DemoFile, DemoPlan
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.simulated_task import DEFAULT_MESSAGE, SimulatedResult
from bridge.simulator.vendor import vendor_names
from bridge.simulator.webhook_receiver import PATH, ReceivedWebhook, Receiver
from bridge.wiring.plan_builder import PlanBuilder
from bridge.wiring.task_reading import task_reader
from tests.factories import make_delivery
from tests.fakes import START, FakeClock
from tests.served import served
from tests.sinks.posting import sink_at

pytestmark = pytest.mark.usefixtures("unmeasured")

KEY = "sk-simulated"
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@asynccontextmanager
async def provider_at(simulated: SimulatedProvider, *, key: str = KEY) -> AsyncGenerator[HttpProvider, None]:
    """The real provider code for Kling, connected to the simulated provider."""
    http = HttpClient(timeout_s=5.0, concurrency=4)
    async with served(simulated.app) as client:
        base_url = str(client.base_url).rstrip("/")
        yield HttpProvider(BUILT_IN["kling"], base_url=base_url, api_key=key, client=http)
        await http.aclose()


@pytest.mark.parametrize(
    ("task_id", "end", "keys", "urls"),
    [
        ("demo-video-9s", ReadingKind.SUCCEEDED, ["videos"], 1),
        ("demo-images-9s", ReadingKind.SUCCEEDED, ["images"], 4),
        ("demo-audio-9s", ReadingKind.SUCCEEDED, ["audios"], 2),
        ("demo-fail-9s-猫/%2F", ReadingKind.FAILED, [], 0),
        ("demo-never", ReadingKind.RUNNING, [], 0),
    ],
)
async def test_a_task_is_read_correctly_from_creation_to_finish(
    task_id: str, end: ReadingKind, keys: list[str], urls: int
) -> None:
    clock = FakeClock()
    async with provider_at(SimulatedProvider(clock, key=KEY)) as provider:
        submitted = await provider.poll(task_id, "videos/text2video")
        await clock.advance(8)
        running = await provider.poll(task_id, "videos/text2video")
        await clock.advance(1)
        finished = await provider.poll(task_id, "videos/text2video")
    assert [submitted.kind, running.kind, finished.kind] == [ReadingKind.PENDING, ReadingKind.RUNNING, end]
    assert finished.snapshot is not None
    assert finished.snapshot.created_ms == int(START * 1000)
    assert [key for key, items in finished.snapshot.result.items() if items] == keys
    assert len(finished.snapshot.urls) == urls
    assert finished.snapshot.refused == ()
    assert finished.snapshot.message == (DEFAULT_MESSAGE if end is ReadingKind.FAILED else "")


async def test_refusals_are_read_correctly() -> None:
    simulated = SimulatedProvider(FakeClock(), key=KEY)
    async with provider_at(simulated) as provider:
        unknown = await provider.poll("857000000000000001", "videos/text2video")
    async with provider_at(simulated, key="sk-another") as stranger:
        refused = await stranger.poll("demo-1", "videos/text2video")
    assert [unknown.kind, refused.kind] == [ReadingKind.NOT_FOUND, ReadingKind.AUTH_ERROR]


async def test_a_task_can_be_polled_by_its_creators_own_id() -> None:
    simulated = SimulatedProvider(FakeClock(), key=KEY)
    async with served(simulated.app, key=KEY) as client:
        await client.post("/kling/v1/videos/text2video", json={"external_task_id": "demo-0s-order-1"})
    async with provider_at(simulated) as provider:
        assert (await provider.poll("demo-0s-order-1", "videos/text2video")).kind is ReadingKind.SUCCEEDED


@pytest.mark.parametrize(("api_key", "secret"), [("hook-key", SECRET), ("wrong", SECRET), ("hook-key", "whsec_AAAA")])
async def test_the_receiver_accepts_what_the_sink_signs_with_the_same_secret(api_key: str, secret: str) -> None:
    clock = FakeClock()
    taken: list[ReceivedWebhook] = []
    receiver = Receiver(clock, api_key="hook-key", secret=SECRET, on_webhook=taken.append)
    body = '{"topic":"task_failed","data":{"task_id":"猫"}}'.encode()
    async with served(receiver.app) as client:
        async with sink_at(f"{client.base_url}{PATH}", api_key=api_key, secrets=[secret], clock=clock) as sink:
            outcome = await sink.deliver(make_delivery(event_id="evt_1", body=body))
    is_right = (api_key, secret) == ("hook-key", SECRET)
    assert isinstance(outcome, Accepted if is_right else Deferred)
    assert [(webhook.topic, webhook.task_id) for webhook in taken] == ([("task_failed", "猫")] if is_right else [])


def test_the_demos_settings_are_valid_and_need_nothing_from_outside(tmp_path: Path) -> None:
    path = DemoPlan().prepare(tmp_path, provider_url="http://127.0.0.1:1111", receiver_url="http://127.0.0.1:2222")
    loaded = resolve(load(path, {}), {})
    assert loaded.warnings == ()
    assert set(loaded.settings.accounts) == {ACCOUNT}
    assert set(loaded.settings.endpoints) == {ENDPOINT}


async def test_every_task_finishes_in_the_demo_of_every_provider(subtests: pytest.Subtests, tmp_path: Path) -> None:
    """The real code reads the settings and files of the demo and polls its tasks, with a fake clock."""
    for name in vendor_names():
        with subtests.test(name):
            clock, plan = FakeClock(), DemoPlan(provider=name)
            simulated = SimulatedProvider(clock, key=PROVIDER_KEY, provider=name)
            plan.play(simulated, started_at=clock.steady())
            async with served(simulated.app) as client, aclosing(PlanBuilder(clock)) as builder:
                base_url = str(client.base_url).rstrip("/")
                (folder := tmp_path / name).mkdir()
                path = plan.prepare(folder, provider_url=base_url, receiver_url="http://127.0.0.1:2222")
                loaded = resolve(load(path, {}), {})
                reader = task_reader(loaded)
                provider = builder.accounts(loaded)[ACCOUNT].provider
                wishes = [reader.read(form) for file in plan.files for form in entries_of(file)]
                await clock.advance(1)
                early = [await provider.poll(wish.task_id, wish.action) for wish in wishes]
                await clock.advance(24)
                finished = [await provider.poll(wish.task_id, wish.action) for wish in wishes]
            assert loaded.warnings == ()
            assert [wish.task_id for wish in wishes] == [task.task_id for task in plan.tasks]
            assert [reading.kind is ReadingKind.SUCCEEDED for reading in early] == [
                task.created_s < -30 for task in plan.tasks
            ]
            expected = [
                ReadingKind.FAILED if task.script.result is SimulatedResult.FAILURE else ReadingKind.SUCCEEDED
                for task in plan.tasks
            ]
            assert [reading.kind for reading in finished] == expected


def entries_of(file: DemoFile) -> list[Any]:
    """The tasks of a queue file, as a source reads them."""
    if file.name.endswith(".txt"):
        return [line for line in file.text().splitlines() if not line.startswith("#")]
    tasks = yaml.safe_load(file.text())
    return list(tasks["tasks"] if isinstance(tasks, dict) else tasks)
