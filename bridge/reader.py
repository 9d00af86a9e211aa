"""How tasks are read against the settings: what the sources, `genbridge add` and the wiring share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from bridge.config.load import Loaded
from bridge.config.model import Account
from bridge.config.secret import has_reference
from bridge.domain.task import Json
from bridge.errors import ConfigError
from bridge.providers import (
    Description,
    DescriptionsRefused,
    action_problem,
    created,
    created_by_any,
    load_descriptions,
    locate,
)
from bridge.sources.tasks import KEYS, Located, TaskProblem, TaskReader

ANSWERED: Final = frozenset({"code", "data", "error", "message"})  # what answers have, and no task of a source


def catalogue(loaded: Loaded) -> Mapping[str, Description]:
    """Every provider by name: the built-in ones and the settings' own. ConfigError holds every mistake in the latter,
    and every account's action that its provider cannot take, at its place."""
    try:
        known = load_descriptions(loaded.settings.providers)
    except DescriptionsRefused as refused:
        found = [(("providers", *each.path), each.message) for each in refused.found]
        raise ConfigError(_lines(loaded, found)) from None
    found = []
    for name, account in loaded.settings.accounts.items():
        if (why := _keys_problem(known[account.provider], account)) is not None:
            found.append((("accounts", name, "api_key" if account.access_key is None else "access_key"), why))
        if account.action is not None and not has_reference(account.action):
            problem = action_problem(known[account.provider], account.action)
            if problem is not None:
                found.append((("accounts", name, "action"), problem))
    if found:
        raise ConfigError(_lines(loaded, found))
    return known


def _keys_problem(description: Description, account: Account) -> str | None:
    """Why the account's keys are of the wrong sort; None when they will do."""
    if account.access_key is not None:
        if description.key_pair is not None:
            return None
        return f"{account.provider} knows no pair of keys; write api_key in place of access_key and secret_key"
    host = None if has_reference(account.base_url) else urlsplit(account.base_url).hostname
    if description.route(host).auth == "signed":
        return f"requests to {host or 'it'} are signed: write access_key and secret_key in place of api_key"
    return None


def task_reader(loaded: Loaded) -> TaskReader:
    """Reads tasks against these settings, resolved or not. ConfigError as `catalogue`."""
    known = catalogue(loaded)
    accounts = loaded.settings.accounts

    def located(url: str, named: str | None) -> Located | None:
        fits: dict[str, Located] = {}
        for name, account in accounts.items():
            if has_reference(account.base_url):
                continue  # a command in a shell that lacks the variable cannot know this account's URLs
            found = locate(known[account.provider], account.base_url, url)
            route = known[account.provider].route(urlsplit(account.base_url).hostname)
            if found is not None and route.is_batch_of_one and "," in found[1]:
                raise TaskProblem(f"the URL asks about {found[1].count(',') + 1} tasks: give their ids one by one")
            if found is not None:
                fits[name] = Located(account=name, action=found[0], task_id=found[1])
        if named in fits or not fits:
            return fits.get(named or "")
        first = next(iter(fits))
        twins = [name for name in fits if accounts[name].provider == accounts[first].provider]
        if named is None and len(twins) > 1:
            raise TaskProblem(f"account is missing; the URL may be of several accounts ({', '.join(twins)})")
        return fits[first]

    def problem(account: str, action: str | None) -> str | None:
        return action_problem(known[accounts[account].provider], action)

    return TaskReader(
        accounts={name: account.action for name, account in accounts.items()},
        endpoints=list(loaded.settings.endpoints),
        locate=located,
        action_problem=problem,
    )


def task_created(loaded: Loaded, answer: Json, *, account: str | None) -> dict[str, Any] | None:
    """The task that a create call's JSON answer tells of, as a source would write it; None when it is no such answer.

    TaskProblem when several accounts may have been asked and `account` does not say which, and when it names no id.
    """
    if not isinstance(answer, dict) or (answer.keys() <= set(KEYS) and (account or answer.keys() != {"id"})):
        return None  # a task; but a bare id may be all that a create call answers
    known = catalogue(loaded)
    accounts = loaded.settings.accounts
    if account in accounts:
        task = created(known[accounts[account].provider], answer)
        fits = {} if task is None else {account: task}
    else:
        made_by = created_by_any(known, answer)
        fits = {name: made_by[one.provider] for name, one in accounts.items() if one.provider in made_by}
    if len(fits) > 1:
        raise TaskProblem(f"the answer may be of several accounts ({', '.join(fits)}): choose with --account")
    for name, (task_id, action) in fits.items():
        return {"id": task_id, "account": name, **({} if action is None else {"action": action})}
    if ANSWERED & answer.keys() and not answer.keys() & set(KEYS):
        keys = ", ".join(KEYS)
        raise TaskProblem(f"neither a task (keys: {keys}) nor a create call's answer about one of an account here")
    return None


def _lines(loaded: Loaded, found: list[tuple[tuple[str | int, ...], str]]) -> list[str]:
    return [loaded.problem(path, message) for path, message in sorted(found, key=lambda each: loaded.place(each[0]))]
