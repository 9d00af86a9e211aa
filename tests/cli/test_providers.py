"""`genbridge providers`, and how it shows the reading of an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.providers.catalogue import BUILT_IN
from bridge.providers.reading import read_together
from bridge.providers.results import PollContext
from tests.cli.shell import Shell, change
from tests.providers.reading_of import answered
from tests.providers.recorded import DATA

OWN = {
    "mine": {
        "title": "Mine",
        "ask": {"path": "/jobs/{id}"},
        "forms": {
            "job": {
                "task": "data",
                "id": "id",
                "status": "state",
                "words": {"running": ["busy"], "succeeded": ["ok"], "failed": ["bad"]},
                "message": "why",
                "created": "at",
                "results": [{"videos": "clip"}, {"url": "files[]"}],
            },
            "old": {"task": "@", "status": "phase", "words": {"running": ["busy"]}, "results": []},
        },
    }
}


def read(shell: Shell, provider: str, body: Any, *options: str) -> str:
    file = shell.folder / "answer.json"
    file.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    said = shell("providers", provider, "--read", str(file), *options)
    assert said.code == 0, said.err
    assert max(map(len, said.out.splitlines())) <= 80 or "http" in said.out
    return said.out


@pytest.fixture
def own(shell: Shell) -> Shell:
    change(shell.folder / "genbridge.yaml", providers=OWN)
    return shell


def test_a_success_is_shown_with_its_form_status_results_and_times(own: Shell) -> None:
    task = {"id": "7", "state": "OK", "at": 1762000000, "clip": "", "files": ["https://cdn.example.com/a.mp4"], "n": 1}

    out = read(own, "mine", {"data": task})

    assert "id              7 (from the answer)" in out
    assert "request         GET https://api.example.com/jobs/7" in out
    assert "form job        fits at data; used" in out
    assert "form old        does not fit: no status at phase" in out
    assert 'status          "OK" means succeeded' in out
    assert "created: 2025-11-01T12:26:40Z" in out
    assert "results         place 1 (videos): nothing" in out
    assert "place 2 (url): used" in out
    assert "videos: https://cdn.example.com/a.mp4" in out
    assert "not used        n" in out
    assert "outcome         succeeded: the task finishes: task_succeeded" in out


def test_a_key_with_results_in_a_usual_place_counts_as_used(shell: Shell) -> None:
    content = {"result_url": "https://cdn.example.com/v.mp4"}

    out = read(shell, "newapi", {"task_id": "7", "status": "succeeded", "content": content, "usage": {"tokens": 12}})

    assert "videos: https://cdn.example.com/v.mp4" in out
    assert "not used        usage\n" in out


@pytest.mark.parametrize(
    ("body", "options", "lines"),
    [
        (
            {"data": {"id": "8", "state": "ok"}},
            ["--id", "7"],
            ['does not count: the answer is about another task: "8"'],
        ),
        ({"data": {"id": "7", "state": "sleeping"}}, [], ['"sleeping" is not one of the form\'s words', "ambiguous: "]),
        ({"data": {"id": "7", "state": "bad", "why": "no"}}, [], ["message         no", "failed: ", "reason: no"]),
        ({"data": {"id": "7", "state": "ok"}}, [], ["a success without a result", "place 2 (url): nothing"]),
        ({"data": "text"}, [], ['form job        does not fit: data is "text", not an object']),
        ({"data": {"id": "7", "state": "busy", "at": "soon"}}, [], ['created: "soon" is not a time; ignored']),
        ({"data": {"id": "7", "state": "busy", "at": 9e9}}, [], ["ahead of the clock; ignored"]),
        ({"error": {"message": "no"}}, ["--status", "401"], ["HTTP 401, ", "auth_error: the key is wrong"]),
        (b"<html>", ["--status", "502"], ["not JSON", "transient: "]),
        (b"", [], ["an empty body"]),
        (
            b'HTTP/2 429 \r\nRetry-After: 9\r\n\r\n{"a": 1}',
            [],
            ["HTTP 429, 8 bytes of JSON", "rate_limited: ", "wait: 9 s"],
        ),
        (
            b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Connected\r\n\r\nHTTP/1.1 401 No\r\nA: b\r\n\r\n{"a": 1}',
            [],
            ["HTTP 401, 8 bytes of JSON"],
        ),
    ],
)
def test_each_way_to_misread_an_answer_is_shown(own: Shell, body: Any, options: list[str], lines: list[str]) -> None:
    out = " ".join(read(own, "mine", body, *options).split())

    for line in lines:
        assert " ".join(line.split()) in out


@pytest.mark.parametrize("wrong", [{"status": "data.state"}, {"results": [{"videos": "data.url"}]}])
def test_a_path_that_repeats_the_task_is_explained(shell: Shell, wrong: dict[str, Any]) -> None:
    form = {"task": "data", "status": "state", "words": {"succeeded": ["ok"]}, "results": [{"videos": "url"}], **wrong}
    own = {"title": "t", "ask": {"path": "/{id}"}, "forms": {"job": form}}
    change(shell.folder / "genbridge.yaml", providers={"mine": own})
    body = {"data": {"id": "7", "state": "ok", "url": "https://cdn.example.com/a.mp4"}}

    assert "leave out data., because paths start at the task" in " ".join(read(shell, "mine", body).split())


@pytest.mark.parametrize("finished", [True, False])
def test_a_status_that_is_no_word_is_explained(shell: Shell, finished: bool) -> None:
    form = {"task": "@", "id": "id", "status": "finished", "words": {"succeeded": ["true"]}, "results": []}
    own = {"title": "t", "ask": {"path": "/{id}"}, "forms": {"job": form}}
    change(shell.folder / "genbridge.yaml", providers={"mine": own})

    out = " ".join(read(shell, "mine", {"id": "7", "finished": finished}).split())

    assert f"{json.dumps(finished)} is not a word; make one in the expression, such as done && 'done' ||" in out


def test_a_deeply_nested_status_is_explained(shell: Shell) -> None:
    nested = b'{"a":' * 400 + b"1" + b"}" * 400
    out = read(shell, "kling", b'{"code":0,"data":{"task_id":"7","task_status":%b,"x":%b}}' % (nested, nested))

    assert "status          {" in out
    assert "not used        x" in out


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({"code": 404, "message": "task not found"}, "code            404 is unknown; it counts as an HTTP status"),
        ({"code": 7, "message": "odd"}, "code            7 is unknown; the HTTP status counts"),
    ],
)
def test_the_meaning_of_an_unknown_code_is_shown(shell: Shell, body: Any, line: str) -> None:
    assert line in shell("providers", "newapi", "--read", "-", stdin=json.dumps(body).encode()).out


def test_the_answer_may_come_from_stdin_and_the_reading_may_be_json(shell: Shell) -> None:
    body = (DATA / "kie/success.json").read_bytes()

    said = shell("providers", "kie", "--read", "-", "--json", stdin=body).json

    assert said["outcome"] == "succeeded"
    assert said["urls"] == ["https://cdn.example.com/v.mp4"]
    assert said["created_at"] == "2025-09-11T09:49:24.490Z"
    assert [step["step"] for step in said["steps"]][:4] == ["request", "answer", "code", "form job"]


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("kling_v2", {"code": 0, "data": []}),
        ("kling_v2", {"code": 0, "data": [{"id": "other", "status": "processing"}]}),
        ("suno_feed", []),
        ("suno", {"code": "success", "data": []}),
        ("suno", {"code": "success", "data": [{"task_id": "other", "status": "SUCCESS"}]}),
        ("midjourney", []),
    ],
)
def test_a_list_without_the_task_is_read_as_the_daemon_reads_it(provider: str, body: Any, shell: Shell) -> None:
    asked = PollContext(task_id="ours", action=None, base_url="https://api.example.com")
    batch = read_together(BUILT_IN[provider], answered(orjson.dumps(body)), [asked])

    said = shell("providers", provider, "--read", "-", "--id", "ours", "--json", stdin=orjson.dumps(body)).json

    assert isinstance(batch, Mapping)
    assert (said["outcome"], said["reason"]) == (batch["ours"].kind, batch["ours"].detail)
    assert said["outcome"] == "not_found"


def test_the_request_about_many_tasks_is_shown_if_it_differs(shell: Shell) -> None:
    asked = ["--read", "-", "--id", "ours"]

    assert "or for many tasks:" in shell("providers", "suno", *asked, stdin=b"[]").out
    assert "or for many tasks:" not in shell("providers", "kling_v2", *asked, stdin=b"[]").out


def test_a_second_request_is_named_and_its_answer_read(shell: Shell) -> None:
    asked = ["providers", "fal", "--action", "fal-ai/flux/dev", "--read", str(DATA / "fal/completed.json")]

    first = shell(*asked).out
    both = shell(*asked, "--second", str(DATA / "fal/result.json")).out

    assert "/fal-ai/flux/requests/764cabcf-b745-4b3e-ae38-1200304cf45b\n" in first
    assert "give its answer with --second FILE" in first
    assert "a success without a result" in first
    assert "images: https://cdn.example.com/p.png" in both
    assert "outcome         succeeded" in both


@pytest.mark.parametrize("provider", sorted(BUILT_IN))
def test_every_recorded_answer_can_be_explained(provider: str, subtests: pytest.Subtests, shell: Shell) -> None:
    for path in sorted(DATA.glob(f"{provider}/*.json")):
        with subtests.test(path.name):
            said = shell("providers", provider, "--read", str(path))
            assert (said.code, "outcome" in said.out) == (0, True)


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("openai_video/completed_vendor_inside.json", ["the vendor's answer inside the task: used", "/ov-7.mp4"]),
        ("midjourney/success_image_urls.json", ["place 1 (videos, images, texts): used", "more: used", "/mj-1.png"]),
    ],
)
def test_results_outside_the_first_place_are_shown_once(file: str, lines: list[str], shell: Shell) -> None:
    said = shell("providers", file.partition("/")[0], "--read", str(DATA / file)).out

    assert [said.count(line) for line in lines] == [1] * len(lines)
    assert "/content" not in said


def test_the_request_is_shown_at_the_accounts_own_address_with_its_action(shell: Shell) -> None:
    account = {"provider": "kie", "base_url": "https://gateway.example.com/kie", "api_key": "k12345"}
    change(shell.folder / "genbridge.yaml", accounts={"k": {**account, "action": "veo/record-info"}})

    out = shell("providers", "kie", "--read", str(DATA / "kie/success.json")).out

    assert "https://gateway.example.com/kie/api/v1/veo/record-info?taskId=task_12345678" in out


def test_a_file_that_cannot_be_read_and_a_missing_name_are_reported(shell: Shell, tmp_path: Path) -> None:
    missing = shell("providers", "kie", "--read", str(tmp_path / "none.json"))
    nameless = shell("providers", "--read", "-")
    alone = shell("providers", "kie", "--status", "500")
    no_id = shell("providers", "kie", "--read", "-", "--id", "")

    assert (missing.code, nameless.code, alone.code, no_id.code) == (2, 2, 2, 2)
    assert "--status, --id, --action and --second need --read" in alone.err
    assert "--id: the id is empty" in no_id.err
    assert "cannot read" in missing.err
    assert "--read needs the name of a provider" in nameless.err


def test_an_endless_file_is_read_only_up_to_a_limit(shell: Shell) -> None:
    assert "the body is larger than 1048576 bytes" in shell("providers", "kie", "--read", "/dev/zero").out


def test_the_names_of_providers_can_be_looked_up_with_invalid_settings(shell: Shell) -> None:
    account = {"provider": "bogus", "base_url": "https://api.example.com", "api_key": "k12345"}
    change(shell.folder / "genbridge.yaml", accounts={"k": account})

    said = shell("providers")
    unknown = shell("providers", "mine")

    assert said.code == 0
    assert "zhipu " in said.out
    assert said.err.startswith("note: the settings are invalid, so only the built-in providers are known: ")
    assert 'accounts.k.provider: unknown provider "bogus"' in said.err
    assert unknown.code == 2
    assert 'unknown provider "mine"' in unknown.err


def test_a_provider_is_found_while_its_account_lacks_a_base_url(shell: Shell) -> None:
    change(shell.folder / "genbridge.yaml", accounts={"k": {"provider": "kling", "api_key": "k12345"}})

    assert "https://api-beijing.klingai.com" in shell("providers", "kling").out
    assert "zhipu " in shell("providers").out


def test_the_list_shows_the_official_host_of_each_provider(shell: Shell) -> None:
    lines = shell("providers").out.splitlines()
    as_json = {each["provider"]: each["base_url"] for each in shell("providers", "--json").json}

    assert any(line.split()[:2] == ["fal", "https://queue.fal.run"] for line in lines)
    assert any(line.split()[:2] == ["kling", "-"] for line in lines)
    assert as_json["kling"] == ["https://api-beijing.klingai.com", "https://api-singapore.klingai.com"]
