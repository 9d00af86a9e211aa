"""What the gateway changes in requests and answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.forwarding import KeyMask, returned_headers, rewritten_location, sent_headers, target_of

BASE = "https://api.example.com/base"
BELOW = "/gateway/kling"
TOKEN = "token-of-the-caller"


@pytest.mark.parametrize(
    ("rest", "query", "target"),
    [
        (b"/v1/videos", b"", b"/base/v1/videos"),
        (b"/v1/a%2Fb/%E4%BD%A0", b"x=%0d%0a&y=..&z=//", b"/base/v1/a%2Fb/%E4%BD%A0?x=%0d%0a&y=..&z=//"),
        (b"", b"", b"/base"),
        (b"/", b"a=1", b"/base/?a=1"),
        (b"/a//b/@c:80/http://d", b"", b"/base/a//b/@c:80/http://d"),
        (b"/v1beta/models/veo:predict", b"", b"/base/v1beta/models/veo:predict"),
        (b"/...", b"", b"/base/..."),
    ],
)
def test_path_and_query_reach_the_provider_byte_by_byte(rest: bytes, query: bytes, target: bytes) -> None:
    assert target_of(rest, query, base_path="/base/") == target


@pytest.mark.parametrize(
    "rest",
    [
        *(b"/..", b"/a/../b", b"/%2e%2e/a", b"/%2E./a", b"/a/..%2fb", b"/a%2f..%2fb", b"/%252e%252e/a", b"/..;x/a"),
        b"/.",
        *(
            b"//evil.example/a",
            b"/\\evil",
            b"/a%5c..%5cb",
            b"/a%00",
            b"/a%0d%0aHost:%20b",
            b"/a%0A",
            b"/a\x80",
            b"/a b",
        ),
    ],
)
def test_a_path_that_may_lead_out_of_the_base_url_is_refused(rest: bytes) -> None:
    with pytest.raises(ValueError, match="the "):
        target_of(rest, b"", base_path="/base")


def test_the_target_is_a_path_when_there_is_nothing_to_append() -> None:
    assert target_of(b"", b"", base_path="") == b"/"


def test_the_callers_keys_cookies_and_connection_headers_are_not_sent() -> None:
    given = [
        *(
            (b"Host", b"gw"),
            (b"Authorization", b"Bearer x"),
            (b"Cookie", b"s=1"),
            (b"X-Api-Key", b"k"),
            (b"X-Key", b"k"),
        ),
        *((b"Connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"Keep-Alive", b"1"), (b"TE", b"trailers")),
        *((b"Genbridge-Label", b"a"), (b"Content-Length", b"3"), (b"X-Own", b"k"), (b"X-Echo", TOKEN.encode())),
        *((b"Expect", b"100-continue"), (b"Transfer-Encoding", b"chunked"), (b"Accept", b"*/*"), (b"X-Two", b"1")),
        *((b"X-Two", b"2"), (b"Accept-Encoding", b"gzip, br;q=0.5, zstd")),
    ]
    kept = [(b"Accept", b"*/*"), (b"X-Two", b"1"), (b"X-Two", b"2")]
    sent = sent_headers(given, key_header="x-own", token=TOKEN, is_read=False)
    assert sent == [*kept, (b"Accept-Encoding", b"gzip, br;q=0.5, zstd")]
    read = sent_headers(given, key_header="x-own", token=TOKEN, is_read=True)
    assert read == [*kept, (b"Accept-Encoding", b"gzip")]
    brotli = sent_headers([(b"Accept-Encoding", b"br")], key_header="x-own", token=TOKEN, is_read=True)
    assert brotli == [(b"Accept-Encoding", b"identity")]


def test_headers_about_the_connection_and_the_origin_are_not_returned() -> None:
    given = [
        *((b"Content-Length", b"3"), (b"Set-Cookie", b"a=b"), (b"Alt-Svc", b"h3"), (b"Genbridge-Watch", b"faked")),
        *((b"Connection", b"X-Hop"), (b"X-Hop", b"1"), (b"Location", b"https://api.example.com/base/x?y")),
        *((b"Link", b"a"), (b"Link", b"b")),
    ]
    returned = returned_headers(given, base_url=BASE, below=BELOW)
    assert returned == [
        *((b"Content-Length", b"3"), (b"Location", b"/gateway/kling/x?y"), (b"Link", b"a"), (b"Link", b"b")),
    ]
    chunked = [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")]
    assert returned_headers(chunked, base_url=BASE, below=BELOW) == []


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://api.example.com/base/v1/x?a=%2F#f", "/gateway/kling/v1/x?a=%2F#f"),
        ("https://API.example.com:443/base", "/gateway/kling"),
        ("/base/x", "/gateway/kling/x"),
        ("//api.example.com/base/x", "/gateway/kling/x"),
        ("/login", "https://api.example.com/login"),
        ("/basement", "https://api.example.com/basement"),
        ("x/y", "x/y"),
        ("?page=2", "?page=2"),
        ("https://cdn.example.com/base/x", "https://cdn.example.com/base/x"),
        ("http://api.example.com/base/x", "http://api.example.com/base/x"),
        ("https://api.example.com@evil.example/base/x", "https://api.example.com@evil.example/base/x"),
        ("https://user@api.example.com/base/x", "https://user@api.example.com/base/x"),
        ("https://[", "https://["),
    ],
)
def test_a_redirect_below_the_base_url_leads_to_the_gateway(location: str, expected: str) -> None:
    assert rewritten_location(location, base_url=BASE, below=BELOW) == expected


@given(st.lists(st.sampled_from([b"sec", b"ret-key", b"secret-key", b"s", b"xsecret", b"-key", b"\n"]), max_size=12))
def test_a_secret_is_masked_wherever_chunks_divide_it(chunks: list[bytes]) -> None:
    secret, mask = b"secret-key", KeyMask([b"secret-key"])
    seen = b"".join(mask.feed(chunk) for chunk in chunks) + mask.rest()
    assert secret not in seen
    assert seen == b"".join(chunks).replace(secret, b"*" * len(secret))


def test_only_a_possible_start_of_a_secret_is_kept_back() -> None:
    mask = KeyMask([b"secret-key"])
    assert mask.feed(b"data: hello\n\n") == b"data: hello\n\n"
    assert mask.feed(b"a se") == b"a "
    assert mask.feed(b"ven") == b"seven"
