"""Callbacks that reach a daemon which does not hold the task."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from bridge.config.postgres_url import PostgresUrl
from bridge.domain.store_key import callback_path
from bridge.store import ReadStore, open_reader
from tests.daemon_process import DaemonProcess
from tests.http.site import free_port, is_ready
from tests.world import World, running_world, until

pytestmark = pytest.mark.long
RARELY = {"min_interval": "60s", "max_interval": "60s", "cadence": "fixed"}


def all_share(store: ReadStore) -> bool:
    """Whether both daemons hold a portion of the work."""
    members = store.members()
    return len(members) == 2 and all(one.shares for one in members)


def test_a_callback_reaches_the_daemon_that_holds_the_task(tmp_path: Path, postgres: PostgresUrl) -> None:
    with running_world(World()) as world, ExitStack() as stack:
        clients = []
        for name in ("first", "second"):
            folder, port = tmp_path / name, free_port()
            folder.mkdir()
            world.settings(
                folder,
                store=postgres.reveal(),
                http={"listen": f"127.0.0.1:{port}"},
                polling=RARELY,
                sharing={"name": name, "takeover": "5s"},
            )
            stack.enter_context(DaemonProcess(folder / "genbridge.yaml"))
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=20)
            clients.append(stack.enter_context(client))
            until(lambda: is_ready(clients[-1]), seconds=30, what="a daemon that is ready")
        store = stack.enter_context(closing(open_reader(postgres)))
        until(lambda: all_share(store), seconds=20, what="two daemons that share the work")
        ids = [f"task-{number}" for number in range(16)]
        world.ends_at |= dict.fromkeys(ids, time.monotonic() + 3600)
        assert clients[0].post("/api/v1/tasks", json=ids).status_code == 201
        until(lambda: {one for _, one in world.polls} == set(ids), seconds=15, what="the first polls")
        key = store.key("callbacks")
        assert key is not None
        world.ends_at |= dict.fromkeys(ids, time.monotonic())

        path = callback_path(key, "kling")
        bodies = [json.dumps({"task_id": task_id, "task_status": "succeed"}) for task_id in ids]
        answers = [clients[1].post(path, content=body) for body in bodies]

        assert {(one.json()["outcome"], one.status_code) for one in answers} == {("polled", 200), ("forwarded", 202)}
        until(lambda: world.by_task().keys() == set(ids), seconds=10, what="all webhooks")
