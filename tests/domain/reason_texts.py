"""Finds the texts in the code that become reasons, and those without a Chinese text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bridge.chinese_reasons import chinese_texts

PACKAGE: Final = Path(__file__).parents[2] / "bridge"
# The files whose texts become the reason of a task, an account or an endpoint, of an attempt, or of a task that cannot
# be added.
FILES: Final = (
    *("net/connector.py", "net/exchange.py", "net/failure_kinds.py", "net/outside_client.py", "net/request_head.py"),
    *("domain/endpoint_health.py", "domain/id_rule.py", "domain/public_addresses.py", "domain/quoting.py"),
    *("domain/account_state.py", "domain/result_urls.py", "domain/watch.py", "domain/web_pages.py"),
    *("expressions/answer_budget.py", "expressions/evaluation.py"),
    *("providers/http_status.py", "providers/new_tasks.py", "providers/provider.py"),
    *("providers/reading.py", "providers/success.py", "providers/task_rules.py"),
    "providers/task_search.py",
    *("engine/account_health.py", "engine/endpoint_queue.py", "engine/poller.py"),
    *("engine/step_planner.py", "engine/watch_schedule.py"),
    *("sinks/answers.py", "sinks/attached_files.py", "sinks/call_threads.py", "sinks/chat.py"),
    *("sinks/chat_attempts.py", "sinks/chat_services/apprise_only.py", "sinks/hook_address.py", "sinks/judging.py"),
    *("sinks/message_plan.py", "sinks/posting.py", "sinks/requests_hook.py", "sinks/robot.py", "sinks/webhook.py"),
    *("archive/answer_spool.py", "archive/archive_sink.py", "domain/content_sniffing.py", "archive/copy_record.py"),
    "archive/download.py",
    *("sources/task_reader.py", "sources/writers.py", "wiring/task_lookup.py"),
)
ELSEWHERE: Final = (  # files in which only some texts can become reasons
    *("net/client.py", "domain/task.py", "expressions/query.py", "archive/bucket.py", "sinks/apprise_plugin.py"),
    *("sinks/template_payloads.py", "engine/discovery.py", "sources/rescans.py", "archive/keeper.py"),
    "wiring/archive_builder.py",
    *("sources/csv_syntax.py", "sources/entry.py", "sources/json_syntax.py", "sources/lines.py", "sources/queue.py"),
    *("sources/parse_process.py", "sources/queue_reader.py", "sources/rejects.py", "sources/tail.py"),
    *("sources/watchlist.py", "sources/yaml_syntax.py", "config/load.py", "config/mistakes.py", "config/problems.py"),
    "config/yaml.py",
)
OTHERS: Final = frozenset(  # these are not reasons, but words to look for, keys, and parts of requests
    {
        *("Not Found", "not found", "404 not found", "http 404: not found", "404: not found", "Socket Exception: "),
        *("Could not load ", "Unsupported URL"),
        "account action event_id label meta provider task_id topic",
        *("key words", "ip not allowed", "chat not found", "too many request", "Bearer {}"),
        *("Tunnel connection failed: (\\d{3})", "file {}", "text {}", "keys {}", "(no keys)", "(not a word)"),
        *("code {}", "answer budget", "only http and https", "no connection", "no connection to the proxy"),
        *("genbridge show {}", "genbridge status", "never: the task has finished"),
        "configure() needs a running poller",
    }
)
CALLS: Final = frozenset({"compile", "Pattern", "debug", "info", "warning", "error", "ValueError", "TypeError"})


def texts(node: ast.AST) -> Iterator[str]:
    """The texts in some code, with `{}` for each value. Docstrings, patterns and log events do not count."""
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
    """The text as it is in the code, with `{}` in place of typed fields."""
    return re.sub(r"\{[nao]\}", "{}", english)


KNOWN: Final = {untyped(english) for english in chinese_texts()}


def without_chinese(*files: str) -> set[str]:
    """The sentences in these files that have no Chinese text."""
    sentences = {one for one in texts_of(*files) if " " in one.strip() and any(map(str.isalpha, one.replace("{}", "")))}
    return sentences - KNOWN - OTHERS
