"""Official clients and a plain script use the gateway as their base URL. Behind it is the simulated provider."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import pytest
import requests
from replicate.client import Client

from tests.http.site import TOKEN, Site, free_port, running_site
from tests.world import until

pytestmark = pytest.mark.usefixtures("unmeasured")

KEY: Final = "key-of-the-account-0123456789"


@contextmanager
def simulated() -> Iterator[str]:
    """The address of a simulated provider that requires the account's key."""
    port = free_port()
    command = [sys.executable, "-m", "bridge", "simulate", "--listen", f"127.0.0.1:{port}", "--key", KEY]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: _answers(url), seconds=10, what="a simulated provider")
            yield url
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, verify=False).status_code > 0
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with simulated() as url:
        providers = {"kling": "kling", "replicate": "replicate", "openai": "openai_video", "fal": "fal"}
        accounts = {
            name: {"provider": provider, "base_url": url, "api_key": KEY, "limits": {"rate": 500, "burst": 500}}
            for name, provider in providers.items()
        }
        folder = tmp_path_factory.mktemp("gateway")
        with running_site(folder, http={"gateway": True}, accounts=accounts) as site:
            yield site


def watched(site: Site, account: str, task_id: str) -> dict[str, Any]:
    """The task as the daemon watches it now."""
    answer = site.client.get("/api/v1/task", params={"account": account, "id": task_id})
    assert answer.status_code == 200, answer.text
    task: dict[str, Any] = answer.json()
    return task


def finished(site: Site, task_id: str) -> bool:
    """Whether the webhook about the end of this task has arrived."""
    return any(told.data.get("task_id") == task_id for told in site.world.received)


def test_the_client_of_replicate_creates_and_waits_through_the_gateway(site: Site) -> None:
    client = Client(
        api_token=TOKEN,
        base_url=f"{site.url}/gateway/replicate",
        headers={"Genbridge-Label": "a fox", "Connection": "close"},
    )
    client.poll_interval = 0.1
    prediction = client.predictions.create(version="5c7d5dc6dd8b", input={"prompt": "demo-images-1s"})
    assert watched(site, "replicate", prediction.id)["label"] == "a fox"
    prediction.wait()
    assert prediction.status == "succeeded"
    until(lambda: finished(site, prediction.id), seconds=5, what="the webhook")
    output = client.run("acme/fox", input={"prompt": "demo-images-0.4s"})
    assert output


@pytest.mark.filterwarnings("ignore:The Sora API")
def test_the_client_of_openai_creates_a_video_through_the_gateway(site: Site) -> None:
    openai: Any = pytest.importorskip("openai", reason="install openai")
    with openai.OpenAI(api_key=TOKEN, base_url=f"{site.url}/gateway/openai/v1", max_retries=0) as client:
        create_and_download(client, site)


def create_and_download(client: Any, site: Site) -> None:
    video = client.videos.create(model="sora-2", prompt="demo-video-1s")
    assert watched(site, "openai", video.id)["phase"] in {"submitted", "running"}
    done = client.videos.poll(video.id, poll_interval_ms=100)
    assert done.status == "completed"
    assert client.videos.download_content(video.id).read()[4:8] == b"ftyp"
    until(lambda: finished(site, video.id), seconds=5, what="the webhook")


def test_a_script_for_kling_creates_a_task_through_the_gateway(site: Site) -> None:
    answer = requests.post(
        f"{site.url}/gateway/kling/v1/videos/text2video",
        json={"prompt": "demo-video-1s"},
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "Genbridge-Label": "猫".encode(),
            "Genbridge-Meta": '{"order": 7}',
            "Genbridge-Endpoints": "hook",
        },
        timeout=20,
    )
    task_id = answer.json()["data"]["task_id"]
    assert answer.headers["Genbridge-Watch"] == f"kling/{task_id}"
    task = watched(site, "kling", task_id)
    assert (task["label"], task["meta"], task["action"]) == ("猫", {"order": 7}, "videos/text2video")
    until(lambda: finished(site, task_id), seconds=8, what="the webhook")


def test_a_script_for_fal_authenticates_as_fal_does(site: Site) -> None:
    headers = {"Authorization": f"Key {TOKEN}"}
    url = f"{site.url}/gateway/fal/fal-ai/flux/dev"
    created = requests.post(url, json={"prompt": "demo-images-0.4s"}, headers=headers, timeout=20)
    task_id = created.json()["request_id"]
    assert created.headers["Genbridge-Watch"] == f"fal/{task_id}"
    assert watched(site, "fal", task_id)["action"] == "fal-ai/flux"
    until(lambda: finished(site, task_id), seconds=8, what="the webhook")
