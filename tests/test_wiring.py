"""Objects from settings: how an event is rendered for each endpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge import plan_builder
from bridge.clock import SystemClock
from bridge.config.load import Loaded, load, resolve
from bridge.domain.event import Event, Parcel
from bridge.engine.dispatcher import parcels_by
from bridge.ports import Sink
from tests.sinks.samples import TASK_ID, URL, task_sample

SETTINGS = """
accounts: {kling: {provider: kling, base_url: "https://api.example.com", api_key: k12345}}
endpoints:
  hook: {type: webhook, url: "https://hooks.example.com/{{ task_id }}"}
  robot: {type: webhook, format: slack, url: "https://hooks.slack.com/services/T/B/x"}
  chat: {type: apprise, urls: ["json://127.0.0.1:1/a", "json://127.0.0.1:1/b"]}
  other: {type: webhook, url: "https://other.example.com/"}
"""


class FaultySink:
    """A sink of ours with a bug in the making of parcels."""

    def __init__(self, sink: Sink) -> None:
        self.plain_parcels = sink.plain_parcels
        self.targets = sink.targets
        self.deliver = sink.deliver

    def parcels(self, event: Event) -> Sequence[Parcel]:
        raise KeyError("a fault of ours")


def loaded(folder: Path) -> Loaded:
    path = folder / "genbridge.yaml"
    path.write_text(SETTINGS)
    path.chmod(0o600)
    return resolve(load(path, {}), {})


@pytest.mark.parametrize("faulty", ["hook", "robot", "chat"])
async def test_a_bug_in_one_endpoints_message_simplifies_it_and_does_not_affect_others(
    tmp_path: Path, faulty: str
) -> None:
    settings = loaded(tmp_path)
    async with plan_builder.PlanBuilder(SystemClock()) as builder:
        plans = builder.endpoints(settings)
        sound = list(parcels_by(plan_builder.routes(settings.settings), plans)(task_sample()))
        plans = {**plans, faulty: replace(plans[faulty], sink=FaultySink(plans[faulty].sink))}
        with capture_logs() as logged:
            parcels = list(parcels_by(plan_builder.routes(settings.settings), plans)(task_sample()))
    assert [(each.endpoint, each.target, each.address) for each in parcels] == [
        (each.endpoint, each.target, each.address) for each in sound
    ]
    assert [each for each in parcels if each.endpoint != faulty] == [each for each in sound if each.endpoint != faulty]
    assert [(line["event"], line["endpoint"]) for line in logged] == [("parcel.bug", faulty)]
    for parcel in parcels:
        if parcel.endpoint == faulty:
            said = json.loads(parcel.body)
            assert URL in (said["data"]["urls"] if faulty == "hook" else said["body"])
            assert TASK_ID in (said["data"]["task_id"] if faulty == "hook" else said["title"])
