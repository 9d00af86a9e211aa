"""Which ids and actions the tasks of a provider may have, read from its description without validating it.

Quick commands use this for built-in descriptions; `Description` uses it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

from bridge.config.provider_trees import Tree, builtin_tree, merged
from bridge.domain.id_rule import id_problem
from bridge.domain.ids import MAX_TASK_ID_CHARS
from bridge.expressions.pattern import Pattern

PLACEHOLDERS: Final = re.compile(r"\{(\+?[A-Za-z_][A-Za-z0-9_]*)\}")
OF_TASK: Final = frozenset({"id", "+id"})
NOT_OF_ACTION: Final = OF_TASK | {"ids", "value"}  # every other placeholder is filled from the action


@dataclass(frozen=True, kw_only=True)
class TaskRules:
    """What a provider requires of its tasks. Patterns are compiled when they are first needed."""

    id_pattern: str | None  # replaces the general rule for all providers
    action: Mapping[str, Any] | None  # pattern, example, default, by_id
    needs_action: bool  # no request is possible without one
    takes_action: bool  # requests about one task differ by action
    batches_by_action: bool  # requests about several tasks do

    @classmethod
    def of(cls, tree: Tree) -> TaskRules:
        """The rules of a description's tree."""
        ask = tree["ask"]
        direct = merged(ask, tree["direct"]) if tree.get("direct") else ask
        return cls(
            id_pattern=(tree.get("id") or {}).get("pattern"),
            action=tree.get("action"),
            needs_action=needs_action(ask),
            takes_action=takes_action(ask) or takes_action(direct),
            batches_by_action=uses_action([ask.get("batch"), direct.get("batch")]),
        )

    def default_action(self, task_id: str) -> str | None:
        """The action of a task that names none: the one that its id shows, or else the provider's default."""
        for pattern, action in self._by_id:
            if (parts := pattern.parts(task_id)) is not None:
                return PLACEHOLDERS.sub(lambda place: parts[place[1]], action)
        return None if self.action is None else self.action.get("default")

    def action_problem(self, action: str | None, task_id: str | None = None) -> str | None:
        """Why tasks of the provider cannot have this action; None if they can. Without a task, an action that ids can
        show counts as possible."""
        allowed = self.action
        if allowed is None or not (self.takes_action or self.batches_by_action):
            return None
        if action is None:
            action = allowed.get("default") if task_id is None else self.default_action(task_id)
        if action is None:
            if not self.needs_action or (task_id is None and allowed.get("by_id")):
                return None
            return f"neither the task nor its account has an action (e.g. {allowed['example']})"
        if action in {allowed["example"], allowed.get("default")}:
            return None  # the actions in a description always match its pattern
        if not self._action_pattern.is_whole(action):
            return f'"{action[:80]}" is not a valid action; an example is {allowed["example"]}'
        return None

    def id_problem(self, task_id: str, *, account: str) -> str | None:
        """Why this is probably not the id of a task of this account; None if it may be one."""
        if self._id_pattern is None:
            return id_problem(task_id)
        return None if self._id_pattern.is_whole(task_id) else f"ids of {account} match {self.id_pattern}"

    @cached_property
    def _id_pattern(self) -> Pattern | None:
        return None if self.id_pattern is None else Pattern(self.id_pattern, longest=MAX_TASK_ID_CHARS)

    @cached_property
    def _action_pattern(self) -> Pattern:
        assert self.action is not None
        return Pattern(self.action["pattern"], longest=MAX_TASK_ID_CHARS)

    @cached_property
    def _by_id(self) -> tuple[tuple[Pattern, str], ...]:
        by_id = (self.action or {}).get("by_id") or {}
        return tuple((Pattern(text, longest=MAX_TASK_ID_CHARS), action) for text, action in by_id.items())


@cache
def builtin_rules(provider: str) -> TaskRules:
    return TaskRules.of(builtin_tree(provider))


def needs_action(request: Mapping[str, Any]) -> bool:
    """Whether a request cannot be built without an action."""
    rest = [request.get(key) for key in ("query", "body", "headers")]
    return uses_action(rest) or all(uses_action(path) for path in listed(request["path"]))


def takes_action(request: Mapping[str, Any]) -> bool:
    """Whether a request differs by action."""
    return needs_action(request) or any(uses_action(path) for path in listed(request["path"]))


def listed(value: Any) -> Any:
    """A list. A single value becomes a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def placeholders(value: Any) -> set[str]:
    """The placeholders `{...}` in a text, or in all texts of a tree."""
    return {place for text in _texts(value) for place in PLACEHOLDERS.findall(text)}


def uses_action(value: Any) -> bool:
    """Whether any part of it is filled from the task's action."""
    return bool(placeholders(value) - NOT_OF_ACTION)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
