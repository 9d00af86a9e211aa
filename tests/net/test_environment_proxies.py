"""Proxies from the environment: which requests use them, and how."""

from __future__ import annotations

import pytest

from bridge.domain.proxies import NO_PROXY, ProxyRules
from bridge.net.client import Answer, Request, Unanswered
from tests.loopback import answers, loopback
from tests.net.pair import client_of

pytestmark = pytest.mark.usefixtures("transport")

ASKED = Request(method="GET", url="http://api.invalid/v1/x?y=1")


async def test_the_environment_decides_for_each_address() -> None:
    async with loopback(answers(200, b"direct")) as host, loopback(answers(200, b"proxied")) as proxy:
        rules = ProxyRules.of({"HTTP_PROXY": f"http://me:word@127.0.0.1:{proxy.port}", "NO_PROXY": "never.invalid"})
        async with client_of(environment=rules) as client:
            near = await client.fetch(Request(method="GET", url=f"{host.url}/here"), cap_bytes=99)
            far = await client.fetch(ASKED, cap_bytes=99)
            never = await client.fetch(Request(method="GET", url="http://never.invalid/"), cap_bytes=99)

    assert [each.body for each in (near, far) if isinstance(each, Answer)] == [b"direct", b"proxied"]
    assert isinstance(never, Unanswered)
    assert "never.invalid" in never.reason
    [asked] = proxy.asked
    assert asked.target == "http://api.invalid/v1/x?y=1"
    assert asked.headers["proxy-authorization"] == "Basic bWU6d29yZA=="
    assert "proxy-authorization" not in host.asked[0].headers


@pytest.mark.parametrize("own", [NO_PROXY, "http://127.0.0.1:9"])
async def test_a_proxy_of_the_settings_comes_before_the_environment(own: str) -> None:
    async with loopback(answers(200, b"proxied")) as proxy:
        rules = ProxyRules.of({"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": ""})
        async with client_of(proxy=own, environment=rules) as client:
            found = await client.fetch(ASKED, cap_bytes=99)

    assert isinstance(found, Unanswered)
    assert proxy.asked == []


async def test_an_unusable_proxy_is_named_and_nothing_is_sent_without_it() -> None:
    async with loopback(answers(200, b"direct")) as host:
        rules = ProxyRules.of({"ALL_PROXY": "socks5://127.0.0.1:1080"})
        async with client_of(environment=rules) as client:
            found = await client.fetch(ASKED, cap_bytes=99)
            near = await client.fetch(Request(method="GET", url=host.url), cap_bytes=99)

    assert isinstance(found, Unanswered)
    assert "proxy: none" in found.reason
    assert isinstance(near, Answer)
