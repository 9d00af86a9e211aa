"""The ready-made flows under `docs/flows`, run by the real programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from bridge.domain.delivery import Accepted, Deferred
from bridge.domain.event import Topic
from bridge.encoding import documented
from tests.daemon_process import STOP_S
from tests.http.site import TOKEN as SITE_TOKEN
from tests.http.site import running_site
from tests.sinks.posting import deliver, sink_at
from tests.sinks.receivers import free_port, program, until_listening
from tests.sinks.samples import FAILED, URL, task_sample

FLOWS = Path(__file__).parents[2] / "docs" / "flows"
TOKEN = "k-123"


def node_red() -> list[str]:
    """The command that starts Node-RED here."""
    found = os.environ.get("GENBRIDGE_NODE_RED") or shutil.which("node-red")
    if not found or not Path(found).exists():
        pytest.skip("no Node-RED here (install the npm package node-red, or name its red.js in GENBRIDGE_NODE_RED)")
    return ["node", found] if found.endswith(".js") else [found]


@asynccontextmanager
async def running_node_red(
    folder: Path, flow: str = "node-red.json", **variables: str
) -> AsyncIterator[tuple[int, Path]]:
    """Node-RED with one flow of ours and nothing else, on loopback; its port and its log."""
    command = node_red()
    port = free_port()
    shutil.copy(FLOWS / flow, folder / "flows.json")
    settings = {"uiPort": port, "uiHost": "127.0.0.1", "flowFile": "flows.json", "httpAdminRoot": False}
    settings["httpRequestTimeout"] = 1000  # less than a task takes, as the default of two minutes
    (folder / "settings.js").write_text(f"module.exports = {json.dumps(settings | {'telemetry': {'enabled': False}})}")
    log = folder / "node-red.log"
    env = {**os.environ, "GENBRIDGE_TOKEN": TOKEN, "HOME": str(folder), **variables}
    with program(*command, "--userDir", str(folder), env=env, log=log) as process:
        await until_listening(port, process)
        with anyio.fail_after(30):
            while "Started flows" not in log.read_text():
                await anyio.sleep(0.05)
        yield port, log


@pytest.mark.real
async def test_node_red_takes_the_webhook_and_shows_the_urls(tmp_path: Path) -> None:
    async with running_node_red(tmp_path) as (port, log):
        url = f"http://127.0.0.1:{port}/genbridge"
        async with sink_at(url, api_key="wrong") as stranger:
            refused = await deliver(stranger)
        assert isinstance(refused, Deferred)
        assert refused.reason == "HTTP 401 Unauthorized: wrong bearer"
        assert URL not in log.read_text()
        async with sink_at(url, api_key=TOKEN) as sink:
            for _ in range(3):
                assert await deliver(sink) == Accepted(detail="HTTP 200")
            failure = task_sample(Topic.TASK_FAILED, FAILED, reason="moderation")
            assert await deliver(sink, failure) == Accepted(detail="HTTP 200")
        async with sink_at(url, api_key=TOKEN, form="kling") as other:  # a body without `data` is answered as well
            assert await deliver(other, task_sample(Topic.TASK_CANCELED, FAILED)) == Accepted(detail="HTTP 200")
        with anyio.fail_after(10):
            while URL not in log.read_text():
                await anyio.sleep(0.05)
        assert log.read_text().count(URL) == 1, "repeats are shown once"


def test_the_n8n_flow_gives_one_item_a_result_and_drops_repeats(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here (install nodejs)")
    flow = json.loads((FLOWS / "n8n.json").read_text())
    [code] = [one["parameters"]["jsCode"] for one in flow["nodes"] if one["type"] == "n8n-nodes-base.code"]
    events = [task_sample(), task_sample(Topic.TASK_FAILED, FAILED)]
    items = [
        {"json": {"headers": {"webhook-id": event.event_id}, "body": json.loads(documented(event))}} for event in events
    ]
    script = tmp_path / "flow.js"
    script.write_text(
        f"const items = {json.dumps(items)}; const memory = {{}};\n"
        "const $input = { all: () => items }; const $getWorkflowStaticData = () => memory;\n"
        f"const run = () => {{ {code} }};\n"
        "console.log(JSON.stringify([run(), run()]));"
    )
    done = subprocess.run([node, str(script)], capture_output=True, text=True, timeout=30, check=True)
    first, second = json.loads(done.stdout)
    assert first == [{"json": {"url": URL, "task_id": events[0].subject, "label": "trailer, take 3"}}]
    assert second == []


@pytest.mark.real
def test_a_node_red_flow_adds_a_task_and_waits_for_its_result(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    with running_site(tmp_path / "site") as site:

        async def use() -> None:
            variables = {"GENBRIDGE_URL": site.url, "GENBRIDGE_TOKEN": SITE_TOKEN}
            async with running_node_red(tmp_path, "node-red-api.json", **variables) as (port, _):
                site.world.ends_at["made"] = time.monotonic() + 2
                async with httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60
                ) as client:
                    done = await client.post("/watch", json={"id": "made", "label": "by Node-RED"})
                    assert done.json()["phase"] == "succeeded"
                    assert len(done.json()["urls"]) == 1
                    wrong = await client.post("/watch", json={"id": "not an id"})
                    assert wrong.status_code == 422
                    assert "blanks are not allowed in an id" in wrong.text
                    site.daemon.process.terminate()
                    site.daemon.process.wait(STOP_S)
                    stopped = await client.post("/watch", json={"id": "late"})
                    assert (stopped.status_code, "ECONNREFUSED" in stopped.text) == (502, True)

        anyio.run(use)


@pytest.mark.parametrize("name", ["n8n.json", "n8n-api.json"])
def test_the_n8n_flows_can_be_imported(name: str) -> None:
    flow: dict[str, Any] = json.loads((FLOWS / name).read_text())
    nodes = {node["name"]: node for node in flow["nodes"]}
    assert {"name", "nodes", "connections", "settings"} <= flow.keys()
    assert all({"id", "name", "type", "typeVersion", "position", "parameters"} <= node.keys() for node in flow["nodes"])
    if name == "n8n.json":
        assert nodes["genbridge"]["parameters"]["httpMethod"] == "POST"
        assert nodes["genbridge"]["parameters"]["authentication"] == "headerAuth"
    else:
        finished, running = flow["connections"]["finished?"]["main"]
        assert (finished[0]["node"], running[0]["node"]) == ("one item per result", "wait"), "a task may take long"
    for source, outputs in flow["connections"].items():
        assert source in nodes
        assert all(wire["node"] in nodes for wires in outputs["main"] for wire in wires)
