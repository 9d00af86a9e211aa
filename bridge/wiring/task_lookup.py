"""Finds the task in a query URL or in the answer of a create call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.config.secret import has_reference
from bridge.config.settings_file import AccountEntry
from bridge.domain.id_rule import TASK_KEYS
from bridge.domain.quoting import quoted
from bridge.domain.task import Json
from bridge.domain.watch import Wish
from bridge.expressions.answer_budget import ExpressionLimit
from bridge.providers.description import Description
from bridge.providers.new_tasks import created, created_by_any, refusal, reports_success
from bridge.providers.success import error_text
from bridge.providers.task_requests import NamedTask, locate
from bridge.providers.task_rules import TaskRules
from bridge.sources.task_reader import (
    MissingField,
    OfAnotherAccount,
    TaskProblem,
    has_known_keys,
    has_misspelled_key,
)
from bridge.wiring.account_catalogue import base_url_of

MAX_QUOTED_CHARS: Final = 200  # maximum characters of an answer's text
# Keys that only answers have, not tasks of a source.
ANSWER_KEYS: Final = frozenset(
    {*("code", "data", "error", "message", "created_at", "object", "request_id", "state", "status", "task_status")}
)


class TaskLookup:
    """Finds the account and the task for a query URL or for the answer of a create call."""

    def __init__(self, accounts: Mapping[str, AccountEntry], known: Mapping[str, Description]) -> None:
        self._accounts = accounts
        self._known = known

    def task_rules(self, provider: str) -> TaskRules:
        """The possible ids and actions of the provider's tasks."""
        return self._known[provider].task_rules

    def locate(self, url: str, named: str | None) -> Wish | None:
        """The task in a query URL; the account `named` is tried first. None if no account has such URLs. TaskProblem if
        the account must be named, or if the URL is about several tasks."""
        fits: dict[str, Wish] = {}
        unset: dict[str, str] = {}
        for name, account in self._accounts.items():
            description = self._known[account.provider]
            base_url = base_url_of(account, description)
            if has_reference(base_url):
                unset[name] = base_url
                continue  # without the variable, the URLs of this account are not known
            found = locate(description, base_url, url)
            is_of_many = description.route(base_url).is_batch_of_one
            if found is not None and is_of_many and "," in found.task_id:
                raise TaskProblem(f"the URL names {found.task_id.count(',') + 1} tasks: give their ids one by one")
            if found is not None:
                fits[name] = Wish(account=name, action=found.action, task_id=found.task_id)
        for name, text in () if fits else unset.items():
            raise TaskProblem(
                f"id: the base_url of account {name} has {text}, which is not set here; set it, or give only the id"
            )
        if named in fits or not fits:
            return fits.get(named or "")
        first = next(iter(fits))
        twins = [name for name in fits if self._accounts[name].provider == self._accounts[first].provider]
        if named is None and len(twins) > 1:
            raise MissingField(
                "account", f"account is missing; the URL may belong to several accounts ({', '.join(twins)})"
            )
        return fits[first]

    def created(self, answer: Json, account: str | None) -> dict[str, Any] | None:
        """The task in the JSON answer of a create call, as a source would write it; None if it is not such an answer.

        TaskProblem if several accounts may have given the answer and `account` does not select one, or if it contains
        no id.
        """
        if not isinstance(answer, dict) or (answer.keys() <= set(TASK_KEYS) and (account or answer.keys() != {"id"})):
            return None  # a task; but the whole answer of a create call may be a bare id
        if has_misspelled_key(answer):
            return None  # a task with a mistake
        only = next(iter(self._accounts)) if len(self._accounts) == 1 and answer.keys() == {"id"} else None
        try:
            fits = self._created_at(answer, account or only)  # a bare id fits no other provider better
        except ExpressionLimit as limit:
            raise TaskProblem(f"the create answer cannot be read: {limit}") from None
        if len(fits) > 1:
            raise MissingField(
                "account",
                f"the answer may belong to several accounts ({', '.join(fits)}): choose with --account, or write a "
                "task that names its account",
            )
        for name, (task_id, action) in fits.items():
            return {"id": task_id, "account": name, **({} if action is None else {"action": action})}
        if ANSWER_KEYS & answer.keys() or not has_known_keys(answer):
            raise (TaskProblem if account is None else OfAnotherAccount)(self._not_created(answer, account))
        return None

    def _created_at(self, answer: dict[str, Json], account: str | None) -> dict[str, NamedTask]:
        """Each account that may have given this answer to a create call, with the task."""
        if account is not None and account in self._accounts:
            settings = self._accounts[account]
            description = self._known[settings.provider]
            base_url = base_url_of(settings, description)
            task = created(description, answer, base_url) if _is_answer(description, answer) else None
            return {} if task is None else {account: task}
        providers = {one.provider for one in self._accounts.values()}
        made_by = created_by_any({name: self._known[name] for name in sorted(providers)}, answer)
        return {name: made_by[one.provider] for name, one in self._accounts.items() if one.provider in made_by}

    def _not_created(self, answer: dict[str, Json], account: str | None) -> str:
        """Why an answer contains no new task: the provider refused, or no description matches the answer."""
        asked = dict.fromkeys(one.provider for name, one in self._accounts.items() if account in {None, name})
        # A code that means success at one provider is not a refusal, even if others do not know it.
        for name in () if any(reports_success(self._known[name], answer) for name in asked) else asked:
            if (said := refusal(self._known[name], answer)) is not None:
                return f"not a task: the provider refused to create one: {said}"
        keys = ", ".join(TASK_KEYS)
        texts = (error_text(self._known[name], answer) for name in asked)
        says = next((f"; it says {quoted(text, limit=MAX_QUOTED_CHARS)}" for text in texts if text), "")
        return (
            f"neither a task (keys: {keys}) nor a create answer that {' or '.join(asked) or 'a provider'} recognizes"
            f"{says}; did the create call fail? If not, say in a description where the id is, as in created: {{when: "
            "request_id, id: request_id}"
        )


def _is_answer(description: Description, answer: dict[str, Json]) -> bool:
    """Whether this may be the account's answer to a create call. If it does not have the form of its provider, it must
    at least look like an answer. An object with an id and unknown keys is more likely a task with a mistake."""
    rule = description.created
    return rule is not None and bool(rule.when(answer) or "id" not in answer or ANSWER_KEYS & answer.keys())
