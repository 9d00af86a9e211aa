"""Addresses to listen on: how they are spelled, and which of them only this machine can reach."""

from __future__ import annotations

import pytest

from bridge.domain.listen_address import ListenAddress, is_loopback


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("127.0.0.1:8642", "127.0.0.1", 8642, ""),
        ("localhost:1", "localhost", 1, ""),
        ("[::1]:8642", "::1", 8642, ""),
        ("unix:/run/genbridge/http.sock", "", 0, "/run/genbridge/http.sock"),
    ],
)
def test_an_address_is_parsed_and_spelled_the_same_again(text: str, host: str, port: int, path: str) -> None:
    address = ListenAddress.parse(text)
    assert (address.host, address.port, address.path) == (host, port, path)
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "8642", ":8642", "localhost", "localhost:http", "::1:8642", "localhost:²"])
def test_a_text_that_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write HOST:PORT, such as 127\.0\.0\.1:8642"):
        ListenAddress.parse(text)


def test_a_unix_socket_needs_a_path() -> None:
    with pytest.raises(ValueError, match="needs the path of a socket"):
        ListenAddress.parse("unix:")


@pytest.mark.parametrize(
    ("text", "is_private"),
    [
        ("unix:/run/genbridge/http.sock", True),
        ("127.0.0.1:8642", True),
        ("LOCALHOST:8642", True),
        ("[::1%lo]:8642", True),
        ("0.0.0.0:8642", False),
        ("genbridge.example.com:8642", False),
    ],
)
def test_only_a_socket_and_loopback_are_private(text: str, is_private: bool) -> None:
    assert ListenAddress.parse(text).is_private is is_private


def test_a_name_is_no_loopback_address_whatever_it_resolves_to() -> None:
    assert not is_loopback("localhost.example.com")


@pytest.mark.parametrize(
    ("text", "reached_at"),
    [("0.0.0.0:8642", "127.0.0.1:8642"), ("[::]:8642", "[::1]:8642"), ("192.0.2.1:8642", "192.0.2.1:8642")],
)
def test_a_server_on_all_addresses_is_reached_at_the_loopback_address(text: str, reached_at: str) -> None:
    assert str(ListenAddress.parse(text).reached_from_here) == reached_at
