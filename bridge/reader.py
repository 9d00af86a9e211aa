"""How tasks are read against the settings: what the sources and `genbridge add` share."""

from __future__ import annotations

from bridge.config.model import Settings
from bridge.config.secret import has_reference
from bridge.providers import descriptions, locate
from bridge.sources.tasks import Located, TaskReader


def task_reader(settings: Settings) -> TaskReader:
    """Reads tasks against these settings, resolved or not."""
    accounts = {name: account.action for name, account in settings.accounts.items()}

    def located(url: str) -> Located | None:
        for name, account in settings.accounts.items():
            if has_reference(account.base_url):
                continue  # a command in a shell that lacks the variable cannot know this account's URLs
            found = locate(descriptions()[account.provider], account.base_url, url)
            if found is not None:
                action, task_id = found
                return Located(account=name, action=action, task_id=task_id)
        return None

    return TaskReader(accounts=accounts, endpoints=list(settings.endpoints), locate=located)
