"""Which proxy the environment sets for an address."""

from __future__ import annotations

import pytest

from bridge.domain.proxies import NO_PROXY, ProxyRules

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("env", "url", "proxy"),
    [
        ({}, "http://a.example", None),
        ({"HTTP_PROXY": PROXY}, "http://a.example", PROXY),
        ({"http_proxy": PROXY}, "http://a.example", PROXY),
        ({"HTTP_PROXY": PROXY}, "https://a.example", None),
        ({"HTTPS_PROXY": PROXY}, "https://a.example", PROXY),
        ({"https_proxy": "http://small", "HTTPS_PROXY": "http://large"}, "https://a.example", "http://small"),
        ({"ALL_PROXY": PROXY}, "https://a.example", PROXY),
        ({"all_proxy": PROXY, "HTTP_PROXY": "http://other"}, "http://a.example", "http://other"),
        ({"HTTP_PROXY": "proxy.example:3128"}, "http://a.example", PROXY),
        ({"HTTP_PROXY": ""}, "http://a.example", None),
        ({"HTTP_PROXY": "  "}, "http://a.example", None),
        ({"HTTP_PROXY": PROXY}, "http://127.0.0.1", None),
        ({"HTTP_PROXY": PROXY}, "http://127.9.9.9", None),
        ({"HTTP_PROXY": PROXY}, "http://localhost", None),
        ({"HTTP_PROXY": PROXY}, "http://demo.localhost", None),
        ({"HTTP_PROXY": PROXY}, "http://::1", None),
        ({"HTTP_PROXY": PROXY}, "http://::ffff:127.0.0.1", None),
        ({"HTTP_PROXY": PROXY}, "http://192.168.1.5", PROXY),
    ],
)
def test_an_address_gets_the_proxy_of_its_scheme_or_none(env: dict[str, str], url: str, proxy: str | None) -> None:
    scheme, _, host = url.partition("://")

    assert ProxyRules.of(env).proxy_for(scheme, host, None) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "is_exempt"),
    [
        ("*", "a.example", None, True),
        ("a.example", "a.example", None, True),
        ("a.example", "x.a.example", None, True),
        ("a.example", "xa.example", None, False),
        (".a.example", "x.a.example", None, True),
        (".a.example", "a.example", None, True),
        ("*.a.example", "x.a.example", None, True),
        ("A.Example.", "a.example", None, True),
        ("a.example", "A.EXAMPLE.", None, True),
        ("b.example, a.example", "a.example", None, True),
        ("b.example a.example", "a.example", None, True),
        ("a.example:8080", "a.example", 8080, True),
        ("a.example:8080", "a.example", 9090, False),
        ("a.example:443", "a.example", None, True),
        ("https://a.example", "a.example", None, True),
        ("10.0.0.0/8", "10.1.2.3", None, True),
        ("10.0.0.0/8", "11.1.2.3", None, False),
        ("10.0.0.0/8", "a.example", None, False),
        ("10.1.2.3", "10.1.2.3", 99, True),
        ("10.1.2.3:80", "10.1.2.3", 99, False),
        ("fd00::/8", "fd12::1", None, True),
        ("[fd12::1]:8443", "fd12::1", 8443, True),
        ("[fd12::1]", "[fd12::1]", None, True),
        ("fd12::1", "fd12::2", None, False),
        ("bücher.example", "xn--bcher-kva.example", None, True),
        ("", "a.example", None, False),
        (",, ,", "a.example", None, False),
        ("10.0.0.0/99", "10.0.0.1", None, False),
    ],
)
def test_no_proxy_exempts_hosts_with_subdomains_networks_and_ports(
    no_proxy: str, host: str, port: int | None, is_exempt: bool
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        rules = ProxyRules.of({"HTTPS_PROXY": PROXY, name: no_proxy})

        assert (rules.proxy_for("https", host, port) is None) is is_exempt


def test_a_host_that_has_no_ascii_form_is_taken_as_it_is() -> None:
    rules = ProxyRules.of({"http_proxy": "http://proxy.test:3128", "no_proxy": f"{'ü' * 70}.test"})
    assert rules.proxy_for("http", "other.test", None) == "http://proxy.test:3128"


def test_the_accounts_proxy_serves_every_address_and_none_ignores_the_environment() -> None:
    environment = ProxyRules.of({"HTTP_PROXY": "http://proxy.test", "NO_PROXY": "exempt.test"})
    assert environment.with_own(None) == environment
    own = environment.with_own("http://own.test")
    for host in ("api.test", "exempt.test", "127.0.0.1"):
        assert own.proxy_for("http", host, None) == "http://own.test"
        assert environment.with_own(NO_PROXY).proxy_for("http", host, None) is None
