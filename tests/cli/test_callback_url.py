"""`callback-url`: the address for a provider's callbacks."""

from __future__ import annotations

import pytest

from bridge.domain.store_key import callback_path
from bridge.store import open_store
from tests.cli.shell import Shell


def test_the_address_is_the_public_url_with_the_account_and_a_secret(shell: Shell) -> None:
    shell.settings({"http": {"public_url": "https://bridge.example.com/gen/"}})
    shell("add", "task-one-1")

    said = shell("callback-url", "kling")

    store = open_store(shell.folder / "state.db", create=False, group_access=False)
    key = store.key("callbacks")
    store.close()
    assert key is not None
    assert said.out == f"https://bridge.example.com/gen{callback_path(key, 'kling')}\n"
    assert said.err == "note: set it as callback_url at the provider\n"
    assert shell("callback-url", "kling").out == said.out


def test_a_reference_in_the_public_url_is_replaced(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.settings({"http": {"public_url": "https://${BRIDGE_HOST}"}})
    shell("add", "task-one-1")
    said = shell("callback-url", "kling")
    assert said.code == 78
    assert "http.public_url: not set in the environment: BRIDGE_HOST" in said.err
    monkeypatch.setenv("BRIDGE_HOST", "bridge.example.com")
    assert shell("callback-url", "kling").out.startswith("https://bridge.example.com/callbacks/kling/")


def test_without_a_public_url_there_is_no_address(shell: Shell) -> None:
    shell("add", "task-one-1")
    said = shell("callback-url", "kling")
    assert (said.code, said.out) == (78, "")
    assert "http.public_url: is missing; write the address at which providers reach genbridge" in said.err


def test_an_unknown_account_is_named(shell: Shell) -> None:
    shell.settings({"http": {"public_url": "https://bridge.example.com"}})
    shell("add", "task-one-1")
    said = shell("callback-url", "klin")
    assert said.code == 2
    assert 'account "klin"' in said.err


def test_a_store_is_not_created_for_it(shell: Shell) -> None:
    shell.settings({"http": {"public_url": "https://bridge.example.com"}})
    said = shell("callback-url", "kling")
    assert said.code == 69
    assert "there is no store yet" in said.err


@pytest.mark.parametrize(
    ("provider", "secret", "problem"),
    [
        ("midjourney", "s", "midjourney does not sign callbacks with a secret of yours; remove this key"),
        ("vidu", "s", "vidu does not sign callbacks with a secret of yours; remove this key"),
        ("kling", "no-whsec", 'is not "whsec_" and base64, as the provider shows it'),
        ("replicate", ["whsec_MDEyMzQ1Njc4OQ==", "whsec_!"], 'is not "whsec_" and base64'),
    ],
)
def test_check_names_a_callback_secret_that_cannot_be_used(
    shell: Shell, provider: str, secret: object, problem: str
) -> None:
    account = {"provider": provider, "base_url": "http://127.0.0.1:9", "api_key": "k", "callback_secret": secret}
    shell.settings({"accounts": {"mine": account}})
    said = shell("check")
    assert said.code == 78
    assert f"accounts.mine.callback_secret: {problem}" in said.out + said.err


def test_check_accepts_the_secret_of_a_provider_that_signs(shell: Shell) -> None:
    account = {"provider": "kie", "base_url": "http://127.0.0.1:9", "api_key": "k", "callback_secret": "any text"}
    shell.settings({"accounts": {"mine": account}})
    assert "callback_secret" not in shell("check").err
