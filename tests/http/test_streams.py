"""The streams of server-sent events, from outside, at real daemons."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.config.postgres_url import PostgresUrl
from tests.daemon_process import DaemonProcess
from tests.http.site import READ_TOKEN, TOKEN, Site, free_port, is_ready, running_site
from tests.world import until

pytestmark = pytest.mark.usefixtures("unmeasured")


@dataclass
class Received:
    """One event of a stream."""

    name: str
    id: str | None
    data: Any


@dataclass
class Follower:
    """Reads one stream in a thread of its own, as the standard demands of a client."""

    response: httpx.Response
    received: list[Received] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    is_over: bool = False

    def read(self) -> None:
        name, event_id, data = "message", None, []
        try:
            for line in self.response.iter_lines():
                self.lines.append(line)
                key, _, value = line.partition(":")
                value = value.removeprefix(" ")
                match key:
                    case "event":
                        name = value
                    case "id":
                        event_id = value
                    case "data":
                        data.append(value)
                    case "" if not line:
                        if data:
                            self.received.append(Received(name, event_id, json.loads("\n".join(data))))
                        name, data = "message", []
        except httpx.TransportError:
            pass
        self.is_over = True

    def until(self, arrived: Callable[[list[Received]], bool], *, seconds: float = 20) -> list[Received]:
        until(lambda: arrived(self.received), seconds=seconds, what="the frame")
        return self.received

    def wait_for_tasks(self, count: int) -> None:
        until(lambda: len(self.task_ids) >= count, seconds=20, what=f"{count} events")

    def wait_for_end(self) -> None:
        until(lambda: self.is_over, seconds=10, what="the end of the stream")

    @property
    def last_id(self) -> str:
        return (self.received[-1].id or "") if self.received else ""

    @property
    def task_ids(self) -> list[str]:
        return [one.data["data"]["task_id"] for one in self.received if one.name.startswith("task_")]


@contextmanager
def following(
    url: str, path: str, *, last_id: str | None = None, token: str = READ_TOKEN, **params: str
) -> Iterator[Follower]:
    headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": last_id} if last_id else {})}
    with (
        httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client,
        client.stream("GET", f"/api/v1/{path}", params=params) as response,
    ):
        assert response.status_code == 200, response.read()
        follower = Follower(response)
        thread = threading.Thread(target=follower.read, daemon=True)
        thread.start()
        until(lambda: bool(follower.lines), seconds=20, what="the opening")
        try:
            yield follower
        finally:
            with suppress(OSError):  # the daemon may have closed it
                response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            thread.join(10)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site"), retention={"delivered": "7d"}) as running:
        yield running


class TestEvents:
    def test_an_event_arrives_with_the_bytes_of_the_webhook(self, site: Site) -> None:
        with following(site.url, "events") as stream:
            site.add("one", seconds=0)
            [event] = stream.until(lambda found: bool(found))
            assert (event.name, event.data["topic"]) == ("task_succeeded", "task_succeeded")
            until(lambda: "one" in site.world.by_task(), seconds=10, what="the webhook")
            [webhook] = site.world.by_task()["one"]
            assert f"data: {webhook.body.decode()}" in stream.lines
            headers = stream.response.headers
            assert headers["content-type"] == "text/event-stream"
            assert headers["cache-control"] == "no-store"
            assert headers["x-accel-buffering"] == "no"
            assert any(line.startswith("retry: ") for line in stream.lines)

    def test_a_stream_continues_after_the_last_received_event(self, site: Site) -> None:
        with following(site.url, "events") as stream:
            site.add("first", seconds=0)
            stream.until(lambda _: "first" in stream.task_ids)
            last = stream.received[-1].id
        site.add("second", "third", seconds=0)
        until(lambda: "third" in site.world.by_task(), seconds=10, what="the webhook")
        with following(site.url, "events", last_id=last) as stream:
            stream.until(lambda _: len(stream.task_ids) == 2)
            assert sorted(stream.task_ids) == ["second", "third"]
            site.add("fourth", seconds=0)
            stream.until(lambda _: "fourth" in stream.task_ids)
            ids = [int(one.id or 0) for one in stream.received]
            assert ids == sorted(set(ids))

    def test_a_filter_keeps_other_events_away(self, site: Site) -> None:
        with (
            following(site.url, "events", topic="task_failed") as failures,
            following(site.url, "events", account="kling", topic="task_succeeded") as successes,
        ):
            site.add("filtered", seconds=0)
            successes.until(lambda found: bool(found))
            assert failures.received == []

    @pytest.mark.parametrize("last_id", ["999999999", "not-a-number", "-1"])
    def test_an_unknown_event_id_gets_a_reset_and_then_new_events(self, site: Site, last_id: str) -> None:
        with following(site.url, "events", last_id=last_id) as stream:
            [reset] = stream.until(lambda found: bool(found))
            assert reset.name == "reset"
            site.add(f"after {last_id}".replace(" ", "-"), seconds=0)
            stream.until(lambda found: len(found) == 2)
            assert int(stream.received[1].id or 0) > int(reset.id or 0)

    def test_a_wrong_topic_is_a_problem_and_no_stream(self, site: Site) -> None:
        answer = site.reader.get("/api/v1/events", params={"topic": "task_exploded"})
        assert answer.status_code == 422
        assert site.stranger.get("/api/v1/events").status_code == 401

    def test_head_has_the_headers_and_ends(self, site: Site) -> None:
        answer = site.reader.head("/api/v1/events")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        assert "content-length" not in answer.headers


class TestChanges:
    def test_a_page_follows_a_task_from_its_addition_to_its_delivery(self, site: Site) -> None:
        with following(site.url, "changes") as stream:
            [snapshot] = stream.until(lambda found: bool(found))[:1]
            assert snapshot.name == "snapshot"
            assert {"revision", "now", "counts"} <= set(snapshot.data)
            assert "waiting_by_endpoint" in snapshot.data["counts"]
            site.add("changing", seconds=1.0)

            def phases() -> list[str]:
                frames = [one.data for one in stream.received if one.name == "changes"]
                return [task["phase"] for data in frames for task in data["tasks"] if task["id"] == "changing"]

            def deliveries() -> list[str]:
                frames = [one.data for one in stream.received if one.name == "changes"]
                return [one["state"] for data in frames for one in data["deliveries"] if one["id"] == "changing"]

            stream.until(lambda _: phases()[-1:] == ["succeeded"] and deliveries()[-1:] == ["accepted"])
            listed = site.reader.get("/api/v1/tasks", params={"q": "changing"}).json()["tasks"][0]
            shown = [
                task
                for one in stream.received
                if one.name == "changes"
                for task in one.data["tasks"]
                if task["id"] == "changing"
            ][-1]
            assert shown.keys() == listed.keys()

    def test_frames_come_at_most_twice_a_second_however_much_changes(self, site: Site) -> None:
        with following(site.url, "changes") as stream:
            stream.until(lambda found: bool(found))
            begun_at = time.monotonic()
            for number in range(30):
                site.add(f"busy-{number}", seconds=0)
            time.sleep(1.0)
            took_s = time.monotonic() - begun_at
            assert 1 <= len(stream.received) - 1 <= 2 * took_s + 2

    def test_changes_by_commands_are_shown(self, site: Site) -> None:
        site.add("to-withdraw")
        with following(site.url, "changes") as stream:
            stream.until(lambda found: bool(found))
            site.client.post("/api/v1/task/withdraw", json={"account": "kling", "id": "to-withdraw"})
            stream.until(
                lambda found: any(
                    task["id"] == "to-withdraw" and task["phase"] == "withdrawn"
                    for one in found
                    if one.name == "changes"
                    for task in one.data["tasks"]
                )
            )


def test_streams_end_at_once_when_the_daemon_stops(tmp_path: Path) -> None:
    with running_site(tmp_path) as site, following(site.url, "events") as events:
        with following(site.url, "changes") as changes:
            site.daemon.process.terminate()
            begun_at = time.monotonic()
            until(lambda: events.is_over and changes.is_over, seconds=10, what="the end of the streams")
            assert site.daemon.process.wait(timeout=15) == 0
            assert time.monotonic() - begun_at < 10


def test_streams_end_when_the_server_moves_and_continue_at_the_new_address(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        with following(site.url, "events") as stream:
            site.add("before", seconds=0)
            stream.wait_for_tasks(1)
            moved = f"127.0.0.1:{free_port()}"
            settings = json.loads(site.daemon.settings.read_text())
            settings["http"]["listen"] = moved
            site.daemon.settings.write_text(json.dumps(settings))
            stream.wait_for_end()
        with httpx.Client(base_url=f"http://{moved}", trust_env=False) as stranger:
            until(lambda: is_ready(stranger), seconds=20, what="the new address")
        with following(f"http://{moved}", "events", last_id="0") as stream:
            stream.wait_for_tasks(1)
            assert stream.task_ids == ["before"]


def test_streams_end_when_a_token_changes(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        settings = json.loads(site.daemon.settings.read_text())
        with following(site.url, "events") as events, following(site.url, "changes") as changes:
            settings["http"]["read_token"] = "another-0123456789"
            site.daemon.settings.write_text(json.dumps(settings))
            events.wait_for_end()
            changes.wait_for_end()
        assert site.reader.get("/api/v1/events").status_code == 401


@pytest.mark.usefixtures("unmeasured_programs")
@pytest.mark.long
def test_nothing_is_missed_or_repeated_across_kills(tmp_path: Path) -> None:
    seen: list[str] = []
    last = "0"
    with running_site(tmp_path) as site, ExitStack() as stack:
        daemon = site.daemon
        for round_ in range(3):
            ids = [f"{round_}-{number}" for number in range(40)]
            with following(site.url, "events", last_id=last) as stream:
                site.add(*ids, seconds=0)
                stream.wait_for_tasks(5)
                daemon.kill()
                stream.wait_for_end()
                seen, last = seen + stream.task_ids, stream.last_id
            daemon = stack.enter_context(DaemonProcess(site.daemon.settings))
            until(lambda: is_ready(site.stranger), seconds=20, what="the daemon")
            with following(site.url, "events", last_id=last) as stream:
                stream.wait_for_tasks(40 * (round_ + 1) - len(seen))
                seen, last = seen + stream.task_ids, stream.last_id or last
            assert sorted(seen) == sorted(f"{one}-{number}" for one in range(round_ + 1) for number in range(40))
        daemon.stop()


@pytest.mark.usefixtures("unmeasured_programs")
def test_two_daemons_on_postgresql_serve_the_same_stream(tmp_path: Path, postgres: PostgresUrl) -> None:
    shared = {"store": postgres.reveal(), "retention": {"delivered": "7d"}}

    def own(name: str) -> dict[str, Any]:
        (tmp_path / name).mkdir()
        return {**shared, "sharing": {"name": name, "takeover": "5s"}}

    with running_site(tmp_path / "one", **own("one")) as site:
        port = free_port()
        other = f"http://127.0.0.1:{port}"
        http = {"listen": f"127.0.0.1:{port}", "token": TOKEN, "read_token": READ_TOKEN}
        path = site.world.settings(tmp_path / "two", http=http, **own("two"))
        with DaemonProcess(path) as second, httpx.Client(base_url=other, trust_env=False) as stranger:
            until(lambda: is_ready(stranger), seconds=20, what="the second daemon")
            time.sleep(3)  # now they have divided the shares
            with following(site.url, "events") as here, following(other, "events") as there:
                for number in range(60):
                    site.add(f"both-{number}", seconds=0)
                here.wait_for_tasks(60)
                there.wait_for_tasks(60)
                assert [one.id for one in here.received] == [one.id for one in there.received]
                assert [one.data for one in here.received] == [one.data for one in there.received]
                last = here.last_id
            site.add("waited-for", seconds=2.0)
            answer = httpx.get(
                f"{other}/api/v1/task",
                params={"account": "kling", "id": "waited-for", "wait": 60},
                headers=site.reader.headers,
                timeout=70,
                trust_env=False,
            )
            assert answer.json()["phase"] == "succeeded"
            site.add(*(f"later-{number}" for number in range(20)), seconds=0)
            site.daemon.kill()
            with following(other, "events", last_id=last) as there:
                until(lambda: len(set(there.task_ids)) == 21, seconds=60, what="every event")
                assert len(there.task_ids) == 21
            second.stop()
