"""Objects from settings: how an event is rendered for each endpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from bridge.clock import SystemClock
from bridge.config.load import Loaded, load, resolve
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.ids import ARCHIVE
from bridge.engine.dispatcher import parcels_by
from bridge.ports import Sink
from bridge.providers.catalogue import load_descriptions
from bridge.providers.description import Description
from bridge.wiring import account_catalogue, plan_builder
from bridge.wiring.gateway_accounts import GatewayAccounts
from tests.loopback import answers, loopback
from tests.sinks.file_services import VIDEO, accepted
from tests.sinks.posting import deliver
from tests.sinks.samples import FAILED, SUCCEEDED, TASK_ID, URL, task_sample

SETTINGS = """
accounts: {kling: {provider: kling, base_url: "https://api.example.com", api_key: k12345}}
endpoints:
  hook: {type: webhook, url: "https://hooks.example.com/{{ task_id }}"}
  robot: {type: webhook, format: slack, url: "https://hooks.slack.com/services/T/B/x"}
  chat: {type: apprise, urls: ["json://127.0.0.1:1/a", "json://127.0.0.1:1/b"]}
  other: {type: webhook, url: "https://other.example.com/"}
"""


class FaultySink:
    """A sink with a bug: it can make only plain parcels."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.targets = sink.targets
        self.deliver = sink.deliver

    def parcels(self, event: Event, *, plain: bool = False) -> Sequence[Parcel]:
        if plain:
            return self.sink.parcels(event, plain=True)
        raise KeyError("a fault of ours")


def loaded(folder: Path) -> Loaded:
    path = folder / "genbridge.yaml"
    path.write_text(SETTINGS)
    path.chmod(0o600)
    return resolve(load(path, {}), {})


@pytest.mark.parametrize("faulty", ["hook", "robot", "chat"])
async def test_a_bug_in_one_endpoints_message_simplifies_only_that_message(tmp_path: Path, faulty: str) -> None:
    settings = loaded(tmp_path)
    async with aclosing(plan_builder.PlanBuilder(SystemClock())) as builder:
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


async def test_only_results_that_the_archive_copies_are_held(tmp_path: Path) -> None:
    path = tmp_path / "genbridge.yaml"
    path.write_text(f"{SETTINGS}archive: {{to: copies}}\n")
    path.chmod(0o600)
    settings = resolve(load(path, {}), {})
    async with aclosing(plan_builder.PlanBuilder(SystemClock())) as builder:
        parcels_for = parcels_by(None, builder.endpoints(settings), held_until=lambda: 500.0)
        success, failure = parcels_for(task_sample()), parcels_for(task_sample(Topic.TASK_FAILED, FAILED))
        released = parcels_for(replace(task_sample(), is_release=True))

    assert success[-1].endpoint == ARCHIVE  # last: the event log keeps the documented bytes with it
    assert success[-1].is_documented
    assert success[-1].due_at <= 0
    assert {each.due_at for each in success[:-1]} == {500.0}
    assert ARCHIVE not in {each.endpoint for each in (*failure, *released)}
    assert {each.due_at for each in (*failure, *released)} == {0.0}
    assert {each.endpoint for each in released} == {"hook", "robot", "chat", "other"}


async def test_a_task_that_names_its_endpoints_is_copied_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "genbridge.yaml"
    path.write_text(f"{SETTINGS}archive: {{to: copies}}\nroutes: [{{topics: [task_failed], endpoints: [other]}}]\n")
    path.chmod(0o600)
    settings = resolve(load(path, {}), {})
    async with aclosing(plan_builder.PlanBuilder(SystemClock())) as builder:
        parcels_for = parcels_by(plan_builder.routes(settings.settings), builder.endpoints(settings))
        routed, named = parcels_for(task_sample()), parcels_for(replace(task_sample(), endpoints=("hook",)))

    assert [each.endpoint for each in routed] == [ARCHIVE]
    assert [each.endpoint for each in named] == ["hook", ARCHIVE]


async def test_the_chats_of_all_endpoints_share_one_download_of_a_result(tmp_path: Path) -> None:
    async with (
        loopback(answers(200, b'{"ok": true, "id": "1"}')) as chats,
        loopback(answers(200, VIDEO, {"content-type": "video/mp4"})) as results,
    ):
        path = tmp_path / "genbridge.yaml"
        robot = "type: webhook, format: {format}, url: '{url}/{format}', attach: file{more}"
        endpoints = [
            f"  one: {{{robot.format(format='telegram', url=chats.url, more=', chat_id: 42')}}}",
            f"  two: {{{robot.format(format='discord', url=chats.url, more='')}}}",
            f"  small: {{{robot.format(format='discord', url=chats.url, more=', attach_max: 1kB')}}}",
        ]
        account = f"{{provider: kling, base_url: '{results.url}', api_key: k12345}}"
        path.write_text("\n".join([f"accounts: {{kling: {account}}}", "endpoints:", *endpoints]))
        path.chmod(0o600)
        urls = (f"{results.url}/a.mp4", f"{results.url}/b.mp4")
        event = task_sample(snapshot=SUCCEEDED._replace(result={"videos": [{"url": url} for url in urls]}, urls=urls))
        async with aclosing(plan_builder.PlanBuilder(SystemClock())) as builder:
            plans = builder.endpoints(resolve(load(path, {}), {}))
            details = [accepted(await deliver(plan.sink, event)) for plan in plans.values()]
    assert [detail.partition(", ")[2] for detail in details] == [
        *("2 files attached", "2 files attached"),
        "sent as a link: larger than 0.001 MB (attach_max, or the limit of the service)",
    ]
    assert [each.target for each in results.asked] == ["/a.mp4", "/b.mp4"]


async def test_results_are_dropped_when_no_endpoint_attaches_them_any_more(tmp_path: Path) -> None:
    async with (
        loopback(answers(200, b'{"ok": true, "id": "1"}')) as chats,
        loopback(answers(200, VIDEO, {"content-type": "video/mp4"})) as results,
    ):
        path = tmp_path / "genbridge.yaml"
        account = f"{{provider: kling, base_url: '{results.url}', api_key: k12345}}"
        path.write_text(
            f"accounts: {{kling: {account}}}\n"
            f"endpoints: {{chat: {{type: webhook, format: discord, url: '{chats.url}', attach: file}}}}\n"
        )
        path.chmod(0o600)
        url = f"{results.url}/a.mp4"
        event = task_sample(snapshot=SUCCEEDED._replace(result={"videos": [{"url": url}]}, urls=(url,)))
        async with aclosing(plan_builder.PlanBuilder(SystemClock())) as builder:
            chat = builder.endpoints(resolve(load(path, {}), {}))["chat"].sink
            for _ in range(2):
                accepted(await deliver(chat, event))
            assert len(results.asked) == 1
            await builder.retire(loaded(tmp_path))
            await deliver(chat, event)
            assert len(results.asked) == 2


async def test_plans_read_the_providers_once_for_all_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Mapping[str, object]] = []

    def load_counted(own: Mapping[str, object]) -> Mapping[str, Description]:
        read.append(own)
        return load_descriptions(own)

    accounts = ", ".join(
        f"a{n}: {{provider: ours, base_url: 'https://{n}.example.com', api_key: k12345}}" for n in "abc"
    )
    path = tmp_path / "genbridge.yaml"
    path.write_text(f"accounts: {{{accounts}}}\nproviders: {{ours: {{extends: kling}}}}\narchive: {{to: copies}}\n")
    path.chmod(0o600)
    settings = resolve(load(path, {}), {})
    monkeypatch.setattr(account_catalogue, "load_descriptions", load_counted)
    async with aclosing(plan_builder.PlanBuilder(SystemClock())) as builder:
        assert builder.accounts(settings).keys() == {"aa", "ab", "ac"}
        assert ARCHIVE in builder.endpoints(settings)
    assert len(read) == 1


async def test_a_providers_new_address_rebuilds_endpoints_with_files(tmp_path: Path) -> None:
    path = tmp_path / "genbridge.yaml"

    def settings(base_url: str) -> Loaded:
        path.write_text(
            f"accounts: {{a: {{provider: ours, api_key: k12345}}}}\n"
            f"providers: {{ours: {{extends: kling, base_url: '{base_url}'}}}}\n"
            "endpoints: {chat: {type: apprise, urls: ['tgram://123456789:abcdefg_hij/42'], attach: file}}\n"
        )
        path.chmod(0o600)
        return resolve(load(path, {}), {})

    async with aclosing(plan_builder.PlanBuilder(SystemClock())) as builder:
        before = builder.endpoints(settings("http://nas.local"))["chat"]
        assert builder.endpoints(settings("http://nas.local"))["chat"] is before
        assert builder.endpoints(settings("http://other.local"))["chat"] is not before


async def test_a_renewed_ca_file_rebuilds_the_plans_that_trust_it(tmp_path: Path) -> None:
    path, ca_file = tmp_path / "genbridge.yaml", tmp_path / "ca.pem"
    path.write_text(
        "accounts: {a: {provider: kling, base_url: 'https://nas.local', api_key: k12345, ca_file: ca.pem}}\n"
        "endpoints: {hook: {type: webhook, url: 'https://nas.local/hook', ca_file: ca.pem}, public: "
        "{type: webhook, url: 'https://hooks.example.com'}}\narchive: {to: copies}\n"
    )
    path.chmod(0o600)
    made: list[dict[str, object]] = []
    gateway = GatewayAccounts()
    async with aclosing(plan_builder.PlanBuilder(SystemClock())) as builder:
        for written_at in (1, 1, 2):
            trustme.CA().cert_pem.write_to_path(str(ca_file))
            os.utime(ca_file, (written_at, written_at))
            settings = resolve(load(path, {}), {})
            at_gateway = await gateway.find("a", settings)
            made.append({**builder.accounts(settings), **builder.endpoints(settings), "gateway": at_gateway})
    first, unchanged, renewed = made
    assert first == unchanged
    assert [name for name in first if renewed[name] is first[name]] == ["public"]
