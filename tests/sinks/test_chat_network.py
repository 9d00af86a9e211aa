"""Chats use the same proxies and certificate authorities as polls and webhooks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme

from bridge.domain.delivery import Accepted, Deferred, Outcome
from bridge.domain.proxies import ProxyRules
from bridge.sinks.chat import ChatSink, ChatUrl
from bridge.sinks.requests_hook import ChatNetwork
from tests.loopback import Exchange, answers, loopback
from tests.net.tunnel import context_for, tunnel
from tests.sinks.receivers import answer, free_port, http_receiver, silent_service
from tests.sinks.samples import as_delivery, task_sample

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

EVENT = task_sample()


async def _deliver(url: str, network: ChatNetwork | None) -> Outcome:
    urls = [ChatUrl(text=url, url=url)]
    sink = ChatSink(name="chat", urls=urls, title=None, body=None, timeout_s=10.0, network=network)
    return await sink.deliver(as_delivery(sink.parcels(EVENT)[0], EVENT))


async def test_a_chat_goes_through_the_proxy_of_the_environment() -> None:
    async with http_receiver() as proxy:
        rules = ProxyRules.of({"http_proxy": f"http://me:word@127.0.0.1:{proxy.port}"})
        outcome = await _deliver("json://chat.invalid/room", ChatNetwork(environment=rules))

    assert isinstance(outcome, Accepted)
    assert proxy.requests[0].startswith(b"POST http://chat.invalid/room")
    assert b"basic bwu6d29yza==" in proxy.requests[0].lower()


async def test_a_proxy_of_the_settings_comes_first_and_none_ignores_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with http_receiver() as proxy, http_receiver() as own:
        address = f"http://127.0.0.1:{proxy.port}"
        monkeypatch.setenv("HTTP_PROXY", address)  # `requests` itself would use these variables
        rules = ProxyRules.of({"HTTP_PROXY": address})
        network = ChatNetwork(proxy=f"http://127.0.0.1:{own.port}", environment=rules)
        assert isinstance(await _deliver("json://chat.invalid/room", network), Accepted)
        refused = await _deliver("json://chat.invalid/room", ChatNetwork(proxy="none", environment=rules))
        exempt = ProxyRules.of({"HTTP_PROXY": address, "NO_PROXY": "invalid"})
        unsent = await _deliver("json://chat.invalid/room", ChatNetwork(environment=exempt))

    assert len(own.requests) == 1
    assert proxy.requests == []
    assert isinstance(refused, Deferred)
    assert isinstance(unsent, Deferred)


async def test_a_chat_on_this_machine_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HTTP_PROXY", dead)
    async with http_receiver() as service:
        network = ChatNetwork(environment=ProxyRules.of({"HTTP_PROXY": dead}))
        assert isinstance(await _deliver(f"json://127.0.0.1:{service.port}/room", network), Accepted)


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_chat_trusts_the_authorities_of_its_ca_file(tmp_path: Path, trusted: bool) -> None:
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    async with loopback(answers(200, b"{}"), tls=context_for(authority, "127.0.0.1")) as service:
        url = f"jsons://127.0.0.1:{service.port}/room"
        outcome = await _deliver(url, ChatNetwork(ca_file=str(file) if trusted else None))

    assert isinstance(outcome, Accepted if trusted else Deferred)
    assert len(service.asked) == int(trusted)


async def test_a_ca_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    authority, other, file = trustme.CA(), trustme.CA(), tmp_path / "ca.pem"
    async with loopback(answers(200, b"{}"), tls=context_for(authority, "127.0.0.1")) as service:
        url, network = f"jsons://127.0.0.1:{service.port}/room", ChatNetwork(ca_file=str(file))
        other.cert_pem.write_to_path(str(file))
        os.utime(file, ns=(1, 1))
        assert isinstance(await _deliver(url, network), Deferred)
        authority.cert_pem.write_to_path(str(file))
        assert isinstance(await _deliver(url, network), Accepted)


def test_requests_that_trust_the_same_authorities_share_a_context(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    for network in (ChatNetwork(), ChatNetwork(ca_file=str(file))):
        assert _context_of(network) is _context_of(network)


def _context_of(network: ChatNetwork) -> object:
    """The TLS context of a new session."""
    import requests
    from urllib3.connectionpool import HTTPSConnectionPool

    url = "https://chat.invalid/"
    with requests.Session() as session:
        network.apply(session, url, {})
        adapter = session.get_adapter(url)
        assert isinstance(adapter, requests.adapters.HTTPAdapter)
        pool = adapter.get_connection_with_tls_context(requests.Request("POST", url).prepare(), verify=True)
        assert isinstance(pool, HTTPSConnectionPool)
        adapter.cert_verify(pool, url, True, None)
        assert pool.ca_certs is None  # a file would be read for each connection
        return pool.conn_kw["ssl_context"]


async def test_a_proxy_that_refuses_the_connection_is_named_as_for_webhooks() -> None:
    dead = free_port()
    outcome = await _deliver("json://chat.invalid/room", ChatNetwork(proxy=f"http://me:sesame@127.0.0.1:{dead}"))
    assert outcome == Deferred(reason=f"the proxy 127.0.0.1:{dead} refused the connection")


async def test_a_proxy_that_refuses_to_forward_is_named_with_its_status() -> None:
    async with http_receiver(answer(407)) as proxy:
        outcome = await _deliver("jsons://chat.invalid/room", ChatNetwork(proxy=f"http://127.0.0.1:{proxy.port}"))
    reason = f"the proxy 127.0.0.1:{proxy.port} requires a valid user name and password (HTTP 407)"
    assert outcome == Deferred(reason=reason)


@pytest.mark.parametrize("scheme", ["json", "jsons"])
async def test_a_request_that_is_cut_behind_a_proxy_may_have_arrived(scheme: str, tmp_path: Path) -> None:
    authority, file = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))

    async def cut(exchange: Exchange) -> None:
        await exchange.close()

    tls = context_for(authority, "chat.invalid") if scheme == "jsons" else None
    async with loopback(cut, tls=tls) as service, tunnel(service.port) as proxy:
        port = proxy.port if tls else service.port  # requests over HTTP need no tunnel
        network = ChatNetwork(proxy=f"http://127.0.0.1:{port}", ca_file=str(file))
        outcome = await _deliver(f"{scheme}://chat.invalid/room", network)
    assert len(service.asked) == 1
    reason = f"chat.invalid through the proxy 127.0.0.1:{port} closed the connection before it had answered"
    assert outcome == Deferred(reason=reason, is_unanswered=True)


async def test_a_service_that_does_not_answer_is_named_as_for_webhooks() -> None:
    dead = free_port()
    outcome = await _deliver(f"json://127.0.0.1:{dead}/room", ChatNetwork())
    assert outcome == Deferred(reason=f"127.0.0.1:{dead} refused the connection")
    outcome = await _deliver("json://no-such-host.invalid/room", ChatNetwork())
    assert outcome == Deferred(reason="the name of no-such-host.invalid does not resolve")
    async with loopback(answers(200), tls=context_for(trustme.CA(), "127.0.0.1")) as server:
        outcome = await _deliver(f"jsons://127.0.0.1:{server.port}/room", ChatNetwork())
    assert isinstance(outcome, Deferred)
    assert outcome.reason.startswith(f"the certificate of 127.0.0.1:{server.port} is not accepted: ")
    with silent_service() as hanging:
        outcome = await _deliver(f"json://127.0.0.1:{hanging}/room?rto=0.2", ChatNetwork())
    assert outcome == Deferred(reason=f"no answer from 127.0.0.1:{hanging} in time", is_unanswered=True)
