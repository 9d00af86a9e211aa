"""The API from outside, at a real daemon."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from bridge.http.access import Right
from bridge.http.api_route import ApiRoute
from bridge.http.web_app import API
from tests.daemon_process import DaemonProcess
from tests.http.site import READ_TOKEN, TOKEN, Site, free_port, is_ready, running_site
from tests.world import World, drop, running_world, until

pytestmark = pytest.mark.usefixtures("unmeasured")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def test_a_task_that_was_added_is_watched_and_its_webhook_arrives(site: Site) -> None:
    site.world.ends_at["added"] = 0.0
    answer = site.client.post("/api/v1/tasks", json={"id": "added", "label": "L"})
    assert answer.status_code == 201
    assert answer.json() == {"tasks": [{"account": "kling", "id": "added", "what": "added", "phase": "submitted"}]}
    until(lambda: "added" in site.world.by_task(), seconds=10, what="the webhook")
    until(
        lambda: site.reader.get("/api/v1/task", params={"id": "added"}).json()["phase"] == "succeeded",
        seconds=5,
        what="phase",
    )
    found = site.reader.get("/api/v1/task", params={"account": "kling", "id": "added"}).json()
    assert found["label"] == "L"
    assert [one["endpoint"] for one in found["deliveries"]] == ["hook"]
    [event] = {one["event_id"] for one in found["deliveries"]}

    def outcomes() -> list[str]:
        [delivery] = site.reader.get(f"/api/v1/deliveries/{event}").json()["deliveries"]
        return [one["outcome"] for one in delivery["attempts_made"]]

    until(lambda: outcomes() == ["accepted"], seconds=5, what="the outcome in the store")
    for topic, events in {"task_succeeded": [event], "task_failed": []}.items():
        listed = site.reader.get("/api/v1/deliveries", params={"topic": topic, "task": "added"}).json()["deliveries"]
        assert [one["event_id"] for one in listed] == events
    again = site.client.post("/api/v1/deliveries/redeliver", json={"event_ids": [event], "expect": 2})
    assert again.status_code == 409
    for wrong in (True, "1", 1.5):
        answer = site.client.post("/api/v1/deliveries/redeliver", json={"event_ids": [event], "expect": wrong})
        assert answer.status_code == 422
    again = site.client.post("/api/v1/deliveries/redeliver", json={"event_ids": [event], "expect": 1})
    assert again.json() == {"redelivered": 1}
    until(lambda: len(site.world.by_task()["added"]) == 2, seconds=5, what="the webhook again")
    first, second = site.world.by_task()["added"]
    assert (first.event_id, first.body) == (second.event_id, second.body)


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ('"one"', ["one"]),
        ('["a1", {"id": "a2"}]', ["a1", "a2"]),
        ('{"tasks": ["b1", "b2"]}', ["b1", "b2"]),
        ("c1\nc2\n", ["c1", "c2"]),
        ("id,label\nd1,x\n", ["d1"]),
        ("- e1\n- id: e2\n", ["e1", "e2"]),
        ('{"code": 0, "message": "SUCCEED", "data": {"task_id": "f1", "task_status": "submitted"}}', ["f1"]),
    ],
)
def test_every_syntax_of_stdin_can_be_posted(site: Site, body: str, ids: list[str]) -> None:
    answer = site.client.post("/api/v1/tasks", params={"account": "kling"}, content=body)
    assert [one["id"] for one in answer.json()["tasks"]] == ids
    again = site.client.post("/api/v1/tasks", params={"account": "kling"}, content=body)
    assert again.status_code == 201
    assert {one["what"] for one in again.json()["tasks"]} <= {"known", "ended"}


def test_one_bad_task_adds_none_and_each_is_named_with_its_line(site: Site) -> None:
    answer = site.client.post("/api/v1/tasks", content="good\nb ad\nw;rong\n")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [one["at"] for one in answer.json()["errors"]] == ["line 2", "line 3"]
    assert site.client.get("/api/v1/task", params={"id": "good"}).status_code == 404


def test_a_body_that_says_it_is_json_must_be_json(site: Site) -> None:
    json_type = {"Content-Type": "application/json; charset=utf-8"}
    answer = site.client.post("/api/v1/tasks", content="g1\ng2\n", headers=json_type)
    assert answer.status_code == 422
    for body in ('"g1"', '\ufeff["g1"]'):  # Windows programs begin a text with a BOM
        assert site.client.post("/api/v1/tasks", content=body, headers=json_type).status_code == 201


def test_the_status_names_the_store_and_its_daemon(site: Site) -> None:
    status = site.client.get("/api/v1/status").json()
    assert (status["store"], f"pid {site.daemon.pid}" in status["daemon"]) == (str(site.folder / "state.db"), True)


def test_tasks_are_polled_and_withdrawn_on_request(site: Site) -> None:
    site.add("steady")
    polled = site.client.post("/api/v1/task/poll", json={"id": "steady"}).json()
    assert (polled["id"], polled["done"]) == ("steady", True)
    withdrawn = site.client.post("/api/v1/task/withdraw", json={"account": "kling", "id": "steady"}).json()
    assert (withdrawn["done"], withdrawn["detail"]) == (True, "withdrawn")
    again = site.client.post("/api/v1/task/withdraw", json={"account": "kling", "id": "steady"}).json()
    assert (again["done"], again["detail"]) == (False, "already withdrawn, nothing to do")
    assert site.client.post("/api/v1/task/poll", json={"id": "nobody"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"id": "a-1", "id": "a-2"}', 'the key "id" is there twice'),
        ("[" * 1100 + "]" * 1100, "it is nested too deeply"),
        ("{'id': 'a-1'}", "line 1 column 2"),
    ],
)
def test_a_request_with_unclear_json_changes_nothing(site: Site, body: str, why: str) -> None:
    answer = site.client.post("/api/v1/task/withdraw", content=body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("the body cannot be read as JSON: ")
    assert why in answer.json()["detail"]


def test_tasks_and_deliveries_have_exactly_the_documented_keys(site: Site) -> None:
    site.add("documented", seconds=0)
    until(lambda: "documented" in site.world.by_task(), seconds=10, what="the webhook")
    [task] = [one for one in site.reader.get("/api/v1/deliveries").json()["deliveries"] if one["id"] == "documented"]
    answers = {route.path: route.answer for route in API if route.method == "GET"}
    for path, parameters in {
        "/api/v1/tasks": {},
        "/api/v1/task": {"id": "documented"},
        "/api/v1/deliveries": {},
        "/api/v1/deliveries/{event_id}": {},
    }.items():
        found = site.reader.get(path.format(event_id=task["event_id"]), params=parameters).json()
        described = answers[path]
        assert described is not None
        assert described.model_validate(found).model_dump(mode="json") == found, path


def test_endpoints_are_listed_enabled_and_tested(site: Site) -> None:
    [endpoint] = site.reader.get("/api/v1/endpoints").json()["endpoints"]
    assert (endpoint["endpoint"], endpoint["type"], endpoint["disabled"]) == ("hook", "webhook", None)
    sent = site.client.post("/api/v1/endpoints/hook/test").json()
    assert [one["outcome"] for one in sent["outcomes"]] == ["accepted"]
    enabled = site.client.post("/api/v1/endpoints/hook/enable").json()
    assert enabled == {"endpoint": "hook", "was_disabled": False, "was_held": False}
    assert site.client.post("/api/v1/endpoints/nobody/enable").status_code == 404
    assert [one["is_able"] for one in site.reader.get("/api/v1/accounts").json()["accounts"]] == [True]


@pytest.mark.parametrize("route", API, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_requires_its_token(site: Site, route: ApiRoute) -> None:
    path = route.path.replace("{event_id}", "evt_1").replace("{name}", "hook")

    def status(client: httpx.Client, **headers: str) -> int:
        with client.stream(route.method, path, headers=headers) as answer:  # some answers never end
            return answer.status_code

    statuses = [status(site.stranger), status(site.stranger, Authorization="Bearer wrong"), status(site.reader)]
    match route.right:
        case Right.OPEN:
            assert not {401, 403} & set(statuses)
        case Right.READ:
            assert statuses[:2] == [401, 401]
            assert statuses[2] not in {401, 403}
        case Right.FULL:
            assert statuses == [401, 401, 403]


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("/api/v1/tasks?limit=0", "limit"),
        ("/api/v1/tasks?limit=x", "limit"),
        (f"/api/v1/tasks?limit={'9' * 5000}", "limit"),
        ("/api/v1/tasks?phase=done", "phase"),
        ("/api/v1/tasks?phsae=failed", "phsae"),
        ("/api/v1/tasks?limit=1&limit=2", "limit"),
        ("/api/v1/deliveries?state=lost", "state"),
        ("/api/v1/deliveries?topic=task_won", "topic"),
        ("/api/v1/status?x=1", "x"),
        ("/api/v1/task", "id"),
        ("/api/v1/task?id=", "id"),
        ("/api/v1/task?id=x&wait=soon", "wait"),
        ("/api/v1/tasks?cursor=x", "cursor"),
        (f"/api/v1/tasks?q={'x' * 60_000}", "q"),
        ("/api/v1/deliveries?cursor=t1", "cursor"),
        ("/api/v1/deliveries?since=x", "since"),
        ("/api/v1/deliveries?task=", "task"),
        ("/api/v1/tasks?account=klin", "account"),
        ("/api/v1/deliveries?endpoint=hok", "endpoint"),
        ("/api/v1/events?account=klin", "account"),
    ],
)
def test_a_wrong_parameter_is_named(site: Site, path: str, at: str) -> None:
    answer = site.reader.get(path)
    assert answer.status_code == 422
    assert [one["at"] for one in answer.json()["errors"]] == [at]
    assert "string" not in answer.json()["detail"], "in our words, not in those of a library"
    [mistake] = answer.json()["errors"]
    assert mistake["message"]
    assert not mistake["message"].startswith(f"{at}:"), "the parameter is named once"


@pytest.mark.parametrize("offset", ["Z", "+08:00", "%2B08:00", "+0800", "-05:00"])
def test_since_takes_a_time_with_any_offset(site: Site, offset: str) -> None:
    for path in ("/api/v1/tasks", "/api/v1/deliveries"):
        assert site.reader.get(f"{path}?since=2126-01-01T00:00:00{offset}").json()["next"] is None
    body = {"since": f"2126-01-01T00:00:00{offset.replace('%2B', '+')}", "expect": 0}
    assert site.client.post("/api/v1/deliveries/redeliver", json=body).json() == {"redelivered": 0}


def test_a_wrong_task_in_a_one_line_list_is_named_by_number(site: Site) -> None:
    answer = site.client.post("/api/v1/tasks", content=b'["good", "b c", {"id": "x", "acount": "kling"}]')
    assert answer.status_code == 422
    assert [one["at"] for one in answer.json()["errors"]] == ["task 2", "task 3"]
    assert answer.json()["detail"].startswith("task 2: id: ")


def test_an_unknown_name_is_reported_without_the_settings_file(site: Site) -> None:
    unknown = 'unknown account "klin"; did you mean "kling"?'
    assert site.reader.get("/api/v1/tasks?account=klin").json()["detail"] == f"account: {unknown}"
    answer = site.client.post("/api/v1/task/poll", json={"account": "klin", "id": "x"}).json()
    assert (answer["detail"], answer["errors"]) == (unknown, [{"at": "account", "message": unknown}])


@pytest.mark.parametrize("path", ["/api/v1/task?id=", "/api/v1/deliveries/"])
def test_a_long_text_of_a_request_is_cut_in_the_answer(site: Site, path: str) -> None:
    answer = site.reader.get(path + "x" * 5000)
    assert (answer.status_code, len(answer.json()["detail"]) < 200) == (404, True)


def test_every_refusal_of_a_request_names_what_is_wrong(site: Site) -> None:
    """This includes mistakes that parts below the API find."""
    bodies: list[tuple[str, object]] = [
        ("/api/v1/tasks", []),
        ("/api/v1/tasks", {"id": "a b"}),
        ("/api/v1/deliveries/redeliver", {}),
        ("/api/v1/deliveries/redeliver", {"endpoint": "hook"}),
        ("/api/v1/deliveries/redeliver", {"state": "dead", "endpoint": "hok"}),
        ("/api/v1/deliveries/redeliver", []),
        ("/api/v1/task/poll", {"id": "https://elsewhere.example.com/v1/x"}),
    ]
    for path, body in bodies:
        answer = site.client.post(path, json=body)
        assert answer.status_code == 422, (path, body)
        assert answer.json()["errors"], (path, body)
        assert all(one["message"] for one in answer.json()["errors"])
    assert site.client.post("/api/v1/deliveries/redeliver", json={"endpoint": "hook"}).json()["errors"][0]["at"]


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/api/v1/tasks?again=maybe", {"id": "x"}, "again: must be true or false"),
        ("/api/v1/deliveries/redeliver", {"event_ids": "evt_1"}, "event_ids: must be a list"),
        (
            "/api/v1/deliveries/redeliver",
            {"event_ids": ["evt_1"], "state": "dead"},
            "event_ids: cannot be combined with state, endpoint, since or topic; give one or the other",
        ),
        (
            "/api/v1/deliveries/redeliver",
            {"endpoint": "hook", "expect": 1},
            "event_ids: give them, or at least one of state, since and topic; an endpoint alone is not enough",
        ),
    ],
)
def test_a_refusal_says_what_to_write(site: Site, path: str, body: object, detail: str) -> None:
    assert site.client.post(path, json=body).json()["detail"] == detail


def test_a_compressed_body_is_refused_with_the_reason(site: Site) -> None:
    body, headers = gzip.compress(b'"packed"'), {"Content-Encoding": "gzip"}
    answer = site.client.post("/api/v1/tasks", content=body, headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert "encoded with gzip" in answer.json()["detail"]


def test_an_unknown_resource_gets_a_problem_document(site: Site) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("PUT", "/api/v1/tasks", 405), ("GET", "/healthz/", 404)):
        answer = site.client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.usefixtures("unmeasured_programs")
def test_ten_thousand_tasks_come_in_one_request(tmp_path: Path) -> None:
    many = [{"id": f"many-{number}"} for number in range(10_000)]
    with running_site(tmp_path) as site:  # of its own, because it would poll all of them during the next tests
        answer = site.client.post("/api/v1/tasks", json=many, timeout=60)
        assert len(answer.json()["tasks"]) == 10_000


def test_a_large_wrong_body_does_not_hold_up_other_requests(site: Site) -> None:
    wrong = {f"key-{number}": 1 for number in range(50_000)}
    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(site.client.post, "/api/v1/deliveries/redeliver", json=wrong, timeout=120)
        while not refused.done():
            assert site.stranger.get("/healthz", timeout=2.0).status_code == 200
    assert refused.result().status_code == 422


def test_a_body_that_is_too_long_is_refused(site: Site) -> None:
    assert site.client.post("/api/v1/tasks", content=b" " * (17 << 20)).status_code == 413


def test_no_token_is_in_answers_or_the_log(site: Site) -> None:
    site.client.get("/api/v1/tasks", headers={"Host": TOKEN})
    said = site.daemon.log.read_text() + site.client.get("/openapi.json").text
    assert TOKEN not in said
    assert READ_TOKEN not in said


def test_settings_move_the_server_and_broken_ones_keep_it(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        moved = free_port()
        path = tmp_path / "genbridge.yaml"
        settings = json.loads(path.read_text())
        settings["http"] |= {"listen": f"127.0.0.1:{moved}", "token": TOKEN + "-new"}
        path.write_text(json.dumps(settings))
        with httpx.Client(base_url=f"http://127.0.0.1:{moved}", trust_env=False) as client:
            until(lambda: is_ready(client), seconds=5, what="the server at its new address")
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            assert client.get("/api/v1/tasks", headers=bearer).status_code == 401
            assert client.get("/api/v1/tasks", headers={"Authorization": f"Bearer {TOKEN}-new"}).status_code == 200
            settings["http"]["listen"] = "192.0.2.1:1"
            path.write_text(json.dumps(settings))
            until(lambda: "settings.invalid" in site.daemon.log.read_text(), seconds=5, what="word of it")
            assert is_ready(client)
            del settings["http"]
            path.write_text(json.dumps(settings))
            until(lambda: not is_ready(client), seconds=5, what="no server")
        assert site.daemon.stop() == 0


def test_a_unix_socket_serves_and_is_removed_with_the_daemon(tmp_path: Path) -> None:
    with running_world(World()) as world:
        settings = world.settings(tmp_path, http={"listen": "unix:http.sock"})
        with DaemonProcess(settings) as daemon:
            transport = httpx.HTTPTransport(uds=str(tmp_path / "http.sock"))
            with httpx.Client(base_url="http://genbridge", transport=transport) as client:
                until((tmp_path / "http.sock").exists, seconds=10, what="the socket")
                until(lambda: is_ready(client), seconds=10, what="the server")
                assert (tmp_path / "http.sock").stat().st_mode & 0o777 == 0o660
                assert client.post("/api/v1/tasks", json="a").status_code == 201
            assert daemon.stop() == 0
        assert not (tmp_path / "http.sock").exists()


@pytest.mark.usefixtures("unmeasured_programs")
def test_more_connections_than_files_leave_the_daemon_working(tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -n 256; exec "$0" "$@"']
    port = free_port()
    with running_world(World()) as world:
        settings = world.settings(tmp_path, http={"listen": f"127.0.0.1:{port}"})
        with DaemonProcess(settings, wrapper=limited) as daemon, ExitStack() as slow:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                until(lambda: is_ready(client), seconds=10, what="the server")
                for _ in range(300):  # each is kept alive for more than a minute
                    idle = slow.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
                    idle.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            world.ends_at["late"] = 0.0
            drop(tmp_path / "queue", "late.txt", "late\n")
            until(lambda: "late" in world.by_task(), seconds=10, what="the webhook")
            assert daemon.process.poll() is None


def test_a_taken_port_ends_the_start_with_one_line(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        other = tmp_path / "other"
        other.mkdir()
        settings = site.world.settings(other, http={"listen": site.url.removeprefix("http://")})
        command = [sys.executable, "-m", "bridge", "run", "--config", str(settings)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 69
        assert "http.listen: cannot listen on 127.0.0.1" in ended.stderr
        assert "Traceback" not in ended.stderr
