"""To which addresses a URL from outside may lead. Each connection is checked, also after redirects."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from aiohappyeyeballs import AddrInfoType

from bridge.domain.public_addresses import AllowedHosts
from bridge.net.client import Unanswered
from bridge.net.connector import Resolve, resolved
from bridge.net.failure_kinds import Failure
from bridge.net.outside_client import OutsideAnswer, OutsideClient, Pace
from tests.loopback import Exchange, Script, answers, loopback

# Everything here must lead to no connection. PORT is that of a server on 127.0.0.1 that would answer.
CLOSED = [
    "http://127.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7f.0.0.1:PORT/",
    "http://0x7F.1:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0.0.01:PORT/",
    "http://127.255.255.254:PORT/",
    "http://0.0.0.0:PORT/",
    "http://0:PORT/",
    "http://0x0:PORT/",
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://user@127.0.0.1:PORT/",
    "http://example.com@127.0.0.1:PORT/",
    "http://example.com:80@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@example.com:bad/",
    "http://127.0.0.1\\@example.com:PORT/",
    "http://example.com\\@127.0.0.1:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://①②⑦。0。0。1:PORT/",
    "http://127。0。0。1:PORT/",
    "http://ⓛocalhost:PORT/",
    "http://127.0.0.1%00.example.com:PORT/",
    "http://127.0.0.1%2eexample:PORT/",
    "http://[::1]:PORT/",
    "http://[::]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b:1::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2001:0:7f00:1::]:PORT/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]:PORT/",
    "http://[2001:470::5efe:7f00:1]:PORT/",
    "http://[fe80::1]:PORT/",
    "http://[fe80::1%25lo]:PORT/",
    "http://[fe80::1%lo]:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://[fec0::1]:PORT/",
    "http://[fd00::1]:PORT/",
    "http://[fc00:ec2::254]:PORT/",
    "http://[ff02::1]:PORT/",
    "http://[100::1]:PORT/",
    "http://[2001:db8::1]:PORT/",
    "http://[3fff::1]:PORT/",
    "http://[4000::1]:PORT/",
    "http://10.0.0.1:PORT/",
    "http://172.16.0.1:PORT/",
    "http://172.31.255.255:PORT/",
    "http://192.168.1.1:PORT/",
    "http://169.254.169.254:PORT/latest/meta-data/",
    "http://0xa9fea9fe:PORT/",
    "http://100.64.0.1:PORT/",
    "http://192.0.0.192:PORT/",
    "http://192.88.99.1:PORT/",
    "http://198.18.0.1:PORT/",
    "http://203.0.113.9:PORT/",
    "http://224.0.0.1:PORT/",
    "http://240.0.0.1:PORT/",
    "http://255.255.255.255:PORT/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "http:///etc",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:99999/",
]
OPEN = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.0"]
OPEN += ["192.0.1.1", "198.20.0.1", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "2001:200::1", "2620:fe::fe"]


async def opened(client: OutsideClient, url: str) -> OutsideAnswer | Unanswered:
    answer = await client.open(url)
    if isinstance(answer, OutsideAnswer):
        answer.close()
    return answer


@pytest.mark.parametrize("form", CLOSED)
async def test_no_form_of_a_special_address_is_connected_to(form: str) -> None:
    async with loopback(answers(200, b"secret")) as server:
        url = form.replace("PORT", str(server.port))

        found = await opened(OutsideClient(pace=Pace(head_s=5.0)), url)

    assert isinstance(found, Unanswered)
    assert found.kind in {Failure.FORBIDDEN, Failure.DNS, Failure.REQUEST}, found
    assert server.connections == 0


@pytest.mark.parametrize("address", OPEN)
async def test_public_addresses_are_allowed(address: str) -> None:
    assert AllowedHosts().refusal("cdn.example.com", address) is None


async def test_allowed_addresses_are_connected_to() -> None:
    async with loopback(answers(200, b"ours")) as server:
        by_host = await opened(OutsideClient(hosts=["127.0.0.1"]), server.url)
        by_network = await opened(OutsideClient(networks=[ipaddress.ip_network("127.0.0.0/8")]), server.url)
        by_other = await opened(OutsideClient(hosts=["127.0.0.2", "localhost"]), server.url)

    assert isinstance(by_host, OutsideAnswer)
    assert isinstance(by_network, OutsideAnswer)
    assert by_host.status == by_network.status == 200
    assert isinstance(by_other, Unanswered)
    assert "127.0.0.1 is this machine" in by_other.reason
    assert server.connections == 2


def rebinding(*addresses: str) -> tuple[Resolve, list[str]]:
    """A resolver that gives another address each time, as a DNS server with a TTL of 0 can do."""
    given: list[str] = []

    def resolve(_host: str, port: int) -> list[AddrInfoType]:
        given.append(addresses[min(len(given), len(addresses) - 1)])
        return resolved(given[-1], port)

    return resolve, given


async def test_a_changing_host_name_is_checked_by_the_address_connected_to() -> None:
    # 127.0.0.2 acts as the public address: it is allowed, and 127.0.0.1 is not.
    public = [ipaddress.ip_network("127.0.0.2/32")]
    async with loopback(answers(200, b"secret")) as secret:
        resolve, given = rebinding("127.0.0.2", "127.0.0.1")
        client = OutsideClient(networks=public, resolve=resolve, pace=Pace(head_s=5.0))
        first = await opened(client, f"http://cdn.example.com:{secret.port}/")
        later = OutsideClient(networks=public, resolve=resolve, pace=Pace(head_s=5.0))
        second = await opened(later, f"http://cdn.example.com:{secret.port}/")

    assert given == ["127.0.0.2", "127.0.0.1"]  # resolved once for each connection, and not again to connect
    assert isinstance(first, Unanswered)
    assert first.kind is Failure.CONNECT  # nobody listens at 127.0.0.2, and no other address was tried
    assert isinstance(second, Unanswered)
    assert second.kind is Failure.FORBIDDEN
    assert secret.connections == 0


async def test_only_the_allowed_addresses_of_a_name_are_tried() -> None:
    def both(_host: str, port: int) -> list[AddrInfoType]:
        return [*resolved("127.0.0.1", port), *resolved("127.0.0.2", port)]

    async with loopback(answers(200, b"secret")) as secret:
        client = OutsideClient(networks=[ipaddress.ip_network("127.0.0.2/32")], resolve=both)
        found = await opened(client, f"http://cdn.example.com:{secret.port}/")

    assert isinstance(found, Unanswered)
    assert found.kind is Failure.CONNECT
    assert secret.connections == 0


async def test_each_redirect_is_checked_again() -> None:
    listener = socket.create_server(("127.0.0.2", 0))
    try:
        port = listener.getsockname()[1]

        async def script(exchange: Exchange) -> None:
            await exchange.answer(302, headers={"Location": f"http://127.0.0.2:{port}/secret"})

        async with loopback(script) as server:
            found = await opened(OutsideClient(hosts=["127.0.0.1"]), server.url)

        assert isinstance(found, Unanswered)
        assert found.kind is Failure.FORBIDDEN
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    finally:
        listener.close()


@pytest.mark.parametrize("location", ["file:///etc/passwd", "//user@127.0.0.1/", "http://[::1", "javascript:alert(1)"])
async def test_a_redirect_to_an_invalid_result_url_is_refused(location: str) -> None:
    async with loopback(answers(302, headers={"Location": location})) as server:
        found = await opened(OutsideClient(hosts=["127.0.0.1"]), server.url)

    assert isinstance(found, Unanswered)
    assert server.connections == 1


async def test_at_most_five_redirects_are_followed() -> None:
    def redirecting(times: int) -> Script:
        async def script(exchange: Exchange) -> None:
            hop = int(exchange.asked.target.strip("/") or 0)
            if hop == times:
                return await exchange.answer(200, b"here")
            await exchange.answer(307, headers={"Location": f"/{hop + 1}"})

        return script

    async with loopback(redirecting(5)) as server:
        found = await opened(OutsideClient(hosts=["127.0.0.1"]), server.url)
        assert isinstance(found, OutsideAnswer)
        assert found.url.endswith("/5")
    async with loopback(redirecting(6)) as server:
        found = await opened(OutsideClient(hosts=["127.0.0.1"]), server.url)
        assert found == Unanswered(kind=Failure.PROTOCOL, reason="more than 5 redirects")
        assert server.connections == 6


async def test_a_key_goes_only_where_it_may() -> None:
    def key_for(url: str) -> dict[str, str]:
        return {"Authorization": "Bearer canary"} if url.endswith("/first") else {}

    async def script(exchange: Exchange) -> None:
        if exchange.asked.target == "/first":
            return await exchange.answer(302, headers={"Location": "/second"})
        await exchange.answer(200, b"x")

    async with loopback(script) as server:
        answer = await OutsideClient(hosts=["127.0.0.1"]).open(f"{server.url}/first", key_for=key_for)
        assert isinstance(answer, OutsideAnswer)
        answer.close()

    assert [asked.headers.get("authorization") for asked in server.asked] == ["Bearer canary", None]


async def test_through_a_proxy_private_names_and_addresses_are_refused() -> None:
    async with loopback(answers(200, b"x")) as proxy:
        client = OutsideClient(proxy=proxy.url)
        refused = [await opened(client, f"http://{host}/") for host in ("127.0.0.1", "0x7f.1", "[::1]", "nas.local")]
        found = await opened(client, "http://cdn.example.com/video.mp4")

    assert [one.kind for one in refused if isinstance(one, Unanswered)] == [Failure.FORBIDDEN] * 4
    assert isinstance(found, OutsideAnswer)
    assert [asked.target for asked in proxy.asked] == ["http://cdn.example.com/video.mp4"]
