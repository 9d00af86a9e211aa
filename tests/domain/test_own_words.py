"""Reasons in Chinese: every text of ours has one, and the words of others stay."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from bridge.domain.chinese_reasons import CHINESE
from bridge.domain.own_words import MOST_CHARS, in_language, is_own

PACKAGE: Final = Path(__file__).parents[2] / "bridge"
# The files whose texts become the reason of a task, an account or an endpoint, of an attempt, or of a task that cannot
# be added.
FILES: Final = (
    *("net/body.py", "net/connector.py", "net/failure_kinds.py", "net/outside_client.py", "net/request_head.py"),
    *("domain/health.py", "domain/id_rule.py", "domain/public_addresses.py", "domain/quoting.py"),
    *("domain/result_urls.py", "domain/watch.py"),
    *("expressions/answer_budget.py", "expressions/evaluation.py"),
    *("providers/answer_bytes.py", "providers/created.py", "providers/http_status.py", "providers/provider.py"),
    *("providers/reading.py", "providers/success.py", "providers/task_list.py", "providers/task_rules.py"),
    "providers/task_search.py",
    *("engine/account_health.py", "engine/endpoint_queue.py", "engine/list_requests.py", "engine/poller.py"),
    *("engine/step_planner.py", "engine/watch_schedule.py"),
    *("sinks/answers.py", "sinks/attached_files.py", "sinks/call_threads.py", "sinks/chat.py"),
    *("sinks/chat_attempts.py", "sinks/chat_services/apprise_only.py", "sinks/hook_address.py", "sinks/judging.py"),
    *("sinks/posting.py", "sinks/requests_hook.py", "sinks/robot.py", "sinks/webhook.py"),
    *("archive/archive_sink.py", "archive/content_sniffing.py", "archive/copy_record.py", "archive/download.py"),
    *("sources/task_reader.py", "task_lookup.py"),
)
ELSEWHERE: Final = (  # further texts of reasons, in files whose other texts are none
    *("net/client.py", "domain/task.py", "expressions/query.py", "archive/bucket.py", "sinks/apprise_plugin.py"),
    "sinks/template_payloads.py",
)
OTHERS: Final = frozenset(  # no reasons: words to look for, keys, and parts of requests
    {
        *("Not Found", "not found", "404 not found", "http 404: not found", "404: not found", "Socket Exception"),
        "account action event_id label meta provider task_id topic",
        *("key words", "ip not allowed", "chat not found", "too many request", "Caused by ", "Bearer {}"),
        *("Tunnel connection failed: (\\d{3})", "file {}", "text {}", "keys {}", "(no keys)", "(not a word)"),
        *("code {}", "answer budget", "only http and https", "no connection", "no connection to the proxy"),
        *("genbridge show {}", "genbridge status", "never: the task has finished"),
        "configure() needs a running poller",
    }
)
CALLS: Final = frozenset({"compile", "debug", "info", "warning", "error", "ValueError", "TypeError"})


def texts(node: ast.AST) -> Iterator[str]:
    """The sentences in some code, with `{}` for each value. Docstrings, patterns and log events are none."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in CALLS:
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
        return
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
        for one in node.values:
            if isinstance(one, ast.FormattedValue):
                yield from texts(one.value)
        return
    for child in ast.iter_child_nodes(node):
        yield from texts(child)


def texts_of(*files: str) -> set[str]:
    return {text for file in files for text in texts(ast.parse((PACKAGE / file).read_text()))}


def untyped(english: str) -> str:
    """As the code writes it."""
    return re.sub(r"\{[nao]\}", "{}", english)


KNOWN: Final = {untyped(english) for english in CHINESE}


@pytest.mark.parametrize("file", FILES)
def test_every_reason_of_ours_has_its_chinese(file: str) -> None:
    sentences = {one for one in texts_of(file) if " " in one.strip() and any(map(str.isalpha, one.replace("{}", "")))}
    assert sentences - KNOWN - OTHERS == set()


def test_no_chinese_is_left_over_from_a_text_that_changed() -> None:
    assert KNOWN - texts_of(*FILES, *ELSEWHERE) == set()


@pytest.mark.parametrize("english", CHINESE)
def test_the_chinese_has_the_values_of_the_english(english: str) -> None:
    chinese, places = CHINESE[english], re.findall(r"\{[nao]?\}", english)
    numbers = re.findall(r"\{(\d?)\}", chinese)
    assert sorted(numbers) in ([""] * len(places), [str(place) for place in range(len(places))])


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "not finished after 7200 s (give_up_after); the last answer: HTTP 500: the answer is empty",
            "7200 秒后仍未结束（give_up_after）；最后一次应答：HTTP 500：应答为空",
        ),
        (
            "no success for 35 min, 8 failed attempts; the last one: no answer from hooks.example.com:443 in time",
            "35 分钟内没有成功，失败 8 次；最后一次：hooks.example.com:443 未在限定时间内应答",
        ),
        ("HTTP 404: the list of the requested tasks leaves this one out", "HTTP 404：所查询任务的列表中没有此任务"),
        (
            "10.0.0.7 is not on the public internet: 10.0.0.7 is a private network",
            "10.0.0.7 不在公网上：10.0.0.7 是内网地址",
        ),
        ("images 2,5: the file is empty", "images 2,5：文件为空"),
        (
            "images 1-12: no answer from cdn.example.com:443 in time",
            "images 1-12：cdn.example.com:443 未在限定时间内应答",
        ),
        ("videos 1: the file is empty; images 2: HTTP 403", "videos 1：文件为空；images 2: HTTP 403"),
        ("videos 1: HTTP 403; the URL has expired", "videos 1: HTTP 403；链接已失效"),
        ("3 result URLs were refused: a: no host; b: relative", "3 个结果链接被拒绝：a：没有主机名；b：是相对地址"),
        (
            'id: "a b": blanks are not allowed in an id; remove it',
            'id："a b"：ID 中不允许空格；请删除',
        ),
    ],
)
def test_a_reason_is_said_in_the_language_of_the_reader(english: str, chinese: str) -> None:
    assert (in_language(english, "zh"), in_language(english, "en")) == (chinese, english)
    assert is_own(english)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The prompt was fine, but the image is unsafe",
        "HTTP 404: task not found",
        "HTTP 503 Service Unavailable: overloaded",
        "code 1203: task not found",
        "Error; try again; later",
        "the answer is 42",
        "10 minutes",
        "{} {n} {0} {",
        "x; " * MOST_CHARS,
    ],
)
def test_the_words_of_others_stay_as_they_are(text: str) -> None:
    assert in_language(text, "zh") == text
    assert not is_own(text)


def test_a_text_that_is_made_to_be_read_slowly_is_read_at_once() -> None:
    for text in ("; ".join(["a, but a: a is a"] * 60), ": ".join("ab" * 300), "1 is; " * 300):
        assert in_language(text, "zh") == text
