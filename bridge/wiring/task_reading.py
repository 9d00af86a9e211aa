"""How tasks are read against the settings, for the sources and for `genbridge add`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from bridge.config.secret import has_reference
from bridge.config.settings_file import SettingsFile
from bridge.errors import ConfigError
from bridge.providers.task_rules import TaskRules, builtin_rules
from bridge.sources.task_reader import TaskReader

if TYPE_CHECKING:
    from bridge.wiring.task_lookup import TaskLookup


def task_reader(file: SettingsFile) -> TaskReader:
    """A reader of tasks for these settings, resolved or not.

    It reads only those parts of the provider descriptions that a task needs. It raises ConfigError, also later while
    reading tasks, if an account or one of the settings' own descriptions is invalid.
    """
    accounts = file.accounts

    @cache
    def lookup() -> TaskLookup:
        # Imported here, because plain ids of built-in providers do not need pydantic.
        from bridge.wiring.account_catalogue import known_providers
        from bridge.wiring.task_lookup import TaskLookup

        return TaskLookup(accounts, known_providers(file))

    @cache
    def rules(account: str) -> TaskRules:
        provider = accounts[account].provider
        return lookup().task_rules(provider) if provider in file.providers else builtin_rules(provider)

    def action_problem(account: str, action: str | None, task_id: str) -> str | None:
        is_from_settings = action is not None and action == accounts[account].action
        if is_from_settings and has_reference(action or ""):
            return f"the settings have {action}, which is not set here; set it, or name the action"
        problem = rules(account).action_problem(action, task_id)
        if problem is not None and is_from_settings:
            raise ConfigError([file.problem(("accounts", account, "action"), problem)])
        return problem

    return TaskReader(
        accounts={name: account.action for name, account in accounts.items()},
        endpoints=file.endpoints,
        locate=lambda url, named: lookup().locate(url, named),
        action_problem=action_problem,
        id_problem=lambda account, task_id: rules(account).id_problem(task_id, account=account),
        created=lambda answer, account: lookup().created(answer, account),
    )
