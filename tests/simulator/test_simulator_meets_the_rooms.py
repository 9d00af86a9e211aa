"""Simulated provider and receiver against the real ones they stand opposite: reader, sink, settings, queue forms."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.config.load import load, resolve
from bridge.domain.delivery import Accepted, Deferred
from bridge.domain.task import Kind
from bridge.net.client import HttpClient
from bridge.providers import descriptions
from bridge.providers.provider import HttpProvider
from bridge.reader import task_reader
from bridge.simulator.demo import ACCOUNT, ENDPOINT, PROVIDER_KEY, DemoPlan, Drop
from bridge.simulator.forms import FORMS
from bridge.simulator.provider import SimulatedProvider
from bridge.simulator.receiver import PATH, Receiver, Webhook
from bridge.simulator.tasks import REFUSED, Ending
from bridge.sinks.webhook import WebhookSink
from bridge.wiring import Workshop
from tests.factories import make_delivery
from tests.fakes import START, FakeClock
from tests.simulator.served import served

KEY = "sk-simulated"
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@asynccontextmanager
async def asking(simulated: SimulatedProvider, *, key: str = KEY) -> AsyncGenerator[HttpProvider, None]:
    """The real reader of Kling's answers, pointed at the simulated provider."""
    http = HttpClient(timeout_s=5.0, concurrency=4)
    async with served(simulated.app) as client:
        base_url = str(client.base_url).rstrip("/")
        yield HttpProvider(descriptions()["kling"], base_url=base_url, api_key=key, client=http)
        await http.aclose()


@pytest.mark.parametrize(
    ("task_id", "end", "keys", "urls"),
    [
        ("demo-video-9s", Kind.SUCCEEDED, ["videos"], 1),
        ("demo-images-9s", Kind.SUCCEEDED, ["images"], 4),
        ("demo-audio-9s", Kind.SUCCEEDED, ["audios"], 2),
        ("demo-fail-9s-猫/%2F", Kind.FAILED, [], 0),
        ("demo-never", Kind.RUNNING, [], 0),
    ],
)
async def test_the_reader_understands_a_task_from_birth_to_end(
    task_id: str, end: Kind, keys: list[str], urls: int
) -> None:
    clock = FakeClock()
    async with asking(SimulatedProvider(clock, key=KEY)) as provider:
        born = await provider.ask(task_id, "videos/text2video")
        await clock.advance(8)
        running = await provider.ask(task_id, "videos/text2video")
        await clock.advance(1)
        ended = await provider.ask(task_id, "videos/text2video")
    assert [born.kind, running.kind, ended.kind] == [Kind.PENDING, Kind.RUNNING, end]
    assert ended.snapshot is not None
    assert ended.snapshot.created_ms == int(START * 1000)
    assert [key for key, items in ended.snapshot.result.items() if items] == keys
    assert len(ended.snapshot.urls) == urls
    assert ended.snapshot.refused == ()
    assert ended.snapshot.message == (REFUSED if end is Kind.FAILED else "")


async def test_the_reader_understands_refusals() -> None:
    simulated = SimulatedProvider(FakeClock(), key=KEY, rate=2)
    async with asking(simulated) as provider:
        readings = [await provider.ask("857000000000000001", "videos/text2video") for _ in range(3)]
    async with asking(simulated, key="sk-another") as stranger:
        readings.append(await stranger.ask("demo-1", "videos/text2video"))
    kinds = [reading.kind for reading in readings]
    assert kinds == [Kind.NOT_FOUND, Kind.NOT_FOUND, Kind.RATE_LIMITED, Kind.AUTH_ERROR]


async def test_the_reader_knows_a_task_by_its_creators_own_id() -> None:
    simulated = SimulatedProvider(FakeClock(), key=KEY)
    async with served(simulated.app, key=KEY) as client:
        await client.post("/kling/v1/videos/text2video", json={"external_task_id": "demo-0s-order-1"})
    async with asking(simulated) as provider:
        assert (await provider.ask("demo-0s-order-1", "videos/text2video")).kind is Kind.SUCCEEDED


@pytest.mark.parametrize(("api_key", "secret"), [("hook-key", SECRET), ("wrong", SECRET), ("hook-key", "whsec_AAAA")])
async def test_the_receiver_takes_what_the_sink_signs_with_the_same_secret(api_key: str, secret: str) -> None:
    clock = FakeClock()
    taken: list[Webhook] = []
    receiver = Receiver(clock, api_key="hook-key", secret=SECRET, on_webhook=taken.append)
    http = HttpClient(timeout_s=5.0, concurrency=1)
    body = '{"topic":"task_failed","data":{"task_id":"猫"}}'.encode()
    async with served(receiver.app) as client:
        sink = WebhookSink(
            name="receiver",
            url=f"{client.base_url}{PATH}",
            api_key=api_key,
            secrets=[secret],
            headers={},
            client=http,
            clock=clock,
            version="1",
        )
        outcome = await sink.deliver(make_delivery(event_id="evt_1", body=body))
        await http.aclose()
    is_right = (api_key, secret) == ("hook-key", SECRET)
    assert isinstance(outcome, Accepted if is_right else Deferred)
    assert [(webhook.topic, webhook.task_id) for webhook in taken] == ([("task_failed", "猫")] if is_right else [])


def test_the_demos_settings_are_valid_and_need_nothing_from_outside(tmp_path: Path) -> None:
    path = DemoPlan().prepare(tmp_path, provider_url="http://127.0.0.1:1111", receiver_url="http://127.0.0.1:2222")
    loaded = resolve(load(path, {}), {})
    assert loaded.warnings == ()
    assert set(loaded.settings.accounts) == {ACCOUNT}
    assert set(loaded.settings.endpoints) == {ENDPOINT}


@pytest.mark.parametrize("name", sorted(FORMS))
async def test_the_demo_of_every_provider_comes_to_its_ends(name: str, tmp_path: Path) -> None:
    """The whole plan by a hand-moved clock: its settings and files read by the real rooms, its tasks asked about."""
    clock, plan = FakeClock(), DemoPlan(provider=name)
    simulated = SimulatedProvider(clock, key=PROVIDER_KEY, provider=name)
    plan.play(simulated, started_at=clock.steady())
    async with served(simulated.app) as client, Workshop(clock) as workshop:
        base_url = str(client.base_url).rstrip("/")
        path = plan.prepare(tmp_path, provider_url=base_url, receiver_url="http://127.0.0.1:2222")
        loaded = resolve(load(path, {}), {})
        reader = task_reader(loaded)
        provider = workshop.accounts(loaded)[ACCOUNT].provider
        wishes = [reader.read(form) for drop in plan.drops for form in written(drop)]
        await clock.advance(1)
        early = [await provider.ask(wish.task_id, wish.action) for wish in wishes]
        await clock.advance(24)
        ended = [await provider.ask(wish.task_id, wish.action) for wish in wishes]
    assert loaded.warnings == ()
    assert [wish.task_id for wish in wishes] == [task.task_id for task in plan.tasks]
    assert [reading.kind is Kind.SUCCEEDED for reading in early] == [task.born_s < -30 for task in plan.tasks]
    expected = [Kind.FAILED if task.script.ending is Ending.FAILURE else Kind.SUCCEEDED for task in plan.tasks]
    assert [reading.kind for reading in ended] == expected


def written(drop: Drop) -> list[Any]:
    """The tasks of a queue file, as a source takes them from it."""
    if drop.name.endswith(".txt"):
        return [line for line in drop.text().splitlines() if not line.startswith("#")]
    tasks = yaml.safe_load(drop.text())
    return list(tasks["tasks"] if isinstance(tasks, dict) else tasks)
