"""One site with a gateway for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http.gateway.gate import KEY, Gate
from tests.http.site import running_site
from tests.http.upstream import reply, upstream


@pytest.fixture(scope="module")
def module_gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with upstream() as provider:
        limits = {"rate": 500, "burst": 500, "concurrency": 32}
        usual = {"provider": "kling", "base_url": provider.url, "api_key": KEY, "limits": limits}
        accounts = {
            "kling": usual,
            "headed": {**usual, "headers": {"X-Team": "team-secret-0123456789"}},
            "openai": {**usual, "provider": "openai_video"},
            "queued": {**usual, "limits": {"rate": 0.4, "burst": 1}},
            "slow": {**usual, "limits": {"rate": 0.05, "burst": 1}},
            "paired": {
                **{"provider": "kling", "base_url": provider.url, "action": "videos/text2video"},
                **{"access_key": "a-key-0123456789", "secret_key": "s-key-0123456789"},
            },
        }
        polling = {"min_interval": "0.2s", "max_interval": "30s"}
        folder = tmp_path_factory.mktemp("gateway")
        with running_site(folder, http={"gateway": True}, accounts=accounts, polling=polling) as site:
            yield Gate(site, provider)


@pytest.fixture
def gate(module_gate: Gate) -> Gate:
    module_gate.provider.answer = lambda arrived: reply(b"{}")
    module_gate.provider.hung_up.clear()
    return module_gate
