"""The official client of Replicate uses the simulated provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError

from bridge.clock import SystemClock
from bridge.simulator.simulated_provider import SimulatedProvider
from tests.served import served

TOKEN = "r8_simulated"
BELOW = pytest.mark.parametrize("below", ["", "/replicate"])


@asynccontextmanager
async def client_of(below: str = "", token: str = TOKEN) -> AsyncGenerator[Client, None]:
    async with served(SimulatedProvider(SystemClock(), key=TOKEN).app) as own:
        base_url = f"{str(own.base_url).rstrip('/')}{below}"
        client = Client(api_token=token, base_url=base_url, headers={"Connection": "close"})
        client.poll_interval = 0.05
        yield client


@BELOW
@pytest.mark.parametrize(
    ("prompt", "ends"), [("demo-images-0.4s", ".png"), ("demo-video-0.4s", ".mp4"), ("demo-audio-0.4s", ".mp3")]
)
async def test_the_client_creates_a_prediction_and_waits_for_its_output(below: str, prompt: str, ends: str) -> None:
    async with client_of(below) as client:

        def create_and_wait() -> None:
            prediction = client.predictions.create(version="5c7d5dc6dd8b", input={"prompt": prompt})
            assert prediction.input == {"prompt": prompt}
            began = str(prediction.status)
            prediction.wait()
            assert (began, str(prediction.status)) == ("starting", "succeeded")
            assert prediction.progress is not None
            assert prediction.progress.percentage == 1
            urls = prediction.output if isinstance(prediction.output, list) else [prediction.output]
            assert all(str(url).endswith(ends) for url in urls)

        with anyio.fail_after(20):
            await anyio.to_thread.run_sync(create_and_wait)


async def test_the_client_creates_a_prediction_of_a_model_by_name() -> None:
    async with client_of() as client:

        def create_and_wait() -> None:
            prediction = client.models.predictions.create(("acme", "fox"), input={"prompt": "demo-text-0.4s"})
            prediction.wait()
            assert prediction.model == "acme/fox"
            assert "".join(prediction.output or ()).startswith("The lamp")

        with anyio.fail_after(20):
            await anyio.to_thread.run_sync(create_and_wait)


@pytest.mark.parametrize("reference", ["acme/fox", "acme/fox:5c7d5dc6dd8b"])
async def test_the_clients_run_returns_the_output_of_a_model_or_version(reference: str) -> None:
    async with client_of() as client:

        def run() -> None:
            output = client.run(reference, input={"prompt": "demo-images-0.4s"})
            assert isinstance(output, list)
            assert all(str(each).endswith(".png") for each in output)
            with pytest.raises(ModelError):
                client.run(reference, input={"prompt": "demo-fail-0.4s"})

        with anyio.fail_after(20):
            await anyio.to_thread.run_sync(run)


async def test_the_client_sees_failures_and_refusals() -> None:
    def fail(client: Client) -> None:
        prediction = client.predictions.create(version="v", input={"prompt": "demo-fail-0.4s"})
        prediction.wait()
        assert (prediction.status, prediction.output) == ("failed", None)
        assert prediction.error
        with pytest.raises(ReplicateError, match="could not be found") as unknown:
            client.predictions.get("unknown")
        assert unknown.value.status == 404

    def be_refused(client: Client) -> None:
        with pytest.raises(ReplicateError) as refused:
            client.predictions.create(version="v", input={})
        assert refused.value.status == 401

    with anyio.fail_after(20):
        async with client_of() as client:
            await anyio.to_thread.run_sync(fail, client)
        async with client_of(token="r8_another") as stranger:
            await anyio.to_thread.run_sync(be_refused, stranger)
