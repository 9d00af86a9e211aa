"""The bytes of an answer: whether they may finish a task, and how they are quoted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from bridge.domain.task import Json
from bridge.net.client import Answer, Unanswered
from bridge.providers.json_values import one_line

MAX_DEPTH: Final = 64  # maximum for an answer that finishes a task, because it is copied into stores and webhooks
QUOTED_BYTES: Final = 1000
QUOTED_CHARS: Final = 200


class AnswerBytes:
    """The bytes of an answer. They are checked at most once, and only if a task finishes, because checking is slow."""

    def __init__(self, answer: Answer | Unanswered) -> None:
        assert isinstance(answer, Answer)
        self._body = answer.body

    def flaw_in(self, task: Json) -> str | None:
        """Why an answer that would finish the task cannot be trusted; None if it can."""
        is_flat = self._body.count(b"{") + self._body.count(b"[") <= MAX_DEPTH  # too few brackets for deep nesting
        return "the answer is nested too deeply" if not is_flat and is_deep(task, MAX_DEPTH) else self._flaw

    @cached_property
    def _flaw(self) -> str | None:
        try:
            _STRICT.decode(self._body.decode())
        except RecursionError:
            return "the answer is nested too deeply"
        except ValueError:
            return "a key is repeated in the answer"
        return None

    @property
    def start(self) -> str:
        """The beginning of the answer, on one line, for people."""
        return one_line(self._body[:QUOTED_BYTES].decode("utf-8", "replace"), QUOTED_CHARS)


def is_deep(value: Json, most: int) -> bool:
    """Whether more than `most` objects and lists are nested in the value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(most == 0 or is_deep(each, most - 1) for each in inner if isinstance(each, dict | list))


def _each_once(pairs: Sequence[tuple[str, Json]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is repeated")


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_each_once)
