from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.public_addresses import AllowedHosts
from bridge.domain.result_urls import is_private, plain_host, why_refused

OWN = "gateway.example.com"

FINE = [
    "https://a.test/v.mp4",
    "http://a.test/v.mp4",
    "HTTPS://A.Test:8443/v.mp4?sig=a%2Fb&x=1#t=3",
    "https://a.test",
    "https://a.test./v.mp4",
    "https://a_b.cdn.test/v.mp4",
    "https://a.test/it..em/...%2e/v.mp4",
    "https://a.test/v.mp4?next=../x",
    "https://例え.jp/動画.mp4",
    "https://xn--r8jz45g.jp/v.mp4",
    "https://faß.test/v.mp4",
    "https://1234.cdn.test/v.mp4",
    "https://10.cdn.test/v.mp4",
    "https://1.2.3.4.5/",
    "https://8.8.8.8/v.mp4",
    "https://100.63.255.255/v.mp4",
    "https://100.128.0.1/v.mp4",
    "https://172.15.0.1/",
    "https://172.32.0.1/",
    "https://[2606:4700::1111]/v.mp4",
    "https://localhost.example.com/v.mp4",
    "https://a.test/" + "x" * 8000,
]

PRIVATE_HOSTS = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3"),
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.255"),
    *("192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    # other spellings of such addresses, as resolvers and browsers read them
    *("127.1", "127.0.1", "10.1", "192.168.257", "0", "0.0"),
    *("2130706433", "3232235777", "167772161", "2851995648", "4294967295"),
    *("0x08080808", "134744072", "8.8.2056", "8.8.8.010"),  # public, but only attackers spell it so
    *("0x7f000001", "0x7F.0.0.1", "0x7f.1", "0xc0a80101", "0xa9.0xfe.0xa9.0xfe", "0x", "0x0"),
    *("017700000001", "0177.0.0.1", "0177.1", "00000177.0.0.1", "0300.0250.1.1", "010.0.0.1"),
    *("127.0.0.1.", "127.0.0.1..", "LOCALHOST", "localhost."),
    # unicode hosts
    *("①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1"),  # noqa: RUF001
    *("ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "127.0.0\ufe0f.1"),  # noqa: RUF001
    # IPv6
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000:0000::0001]"),
    *("[fe80::1]", "[febf::1]", "[fec0::1]", "[fc00::1]", "[fd12:3456::1]", "[ff02::1]", "[ff0e::1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]", "[::FFFF:100.64.0.1]"),
    *("[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[::ffff:224.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a00:1]", "[64:ff9b::6440:1]", "[64:ff9b:1::1]"),
    *("[2002:7f00:1::]", "[2002:a00:1::1]", "[2002:c0a8:101::]", "[2001:0:1::]", "[2001:db8::1]", "[100::1]"),
    *("[::ffff:8.8.8.8]", "[64:ff9b::808:808]", "[2002:808:808::1]"),  # as for copies: the route to these is unknown
    # names
    *("localhost", "a.localhost", "router.local", "metadata.google.internal", "nas.lan", "nas.home.arpa"),
    *("intranet", "metadata"),
]

HOSTILE = [
    ("", "empty"),
    (" ", "holds control or damaged characters, blanks or backslashes"),
    ("javascript:alert(1)", 'the scheme is "javascript"'),
    ("JavaScript:alert(1)", 'the scheme is "javascript"'),
    ("javascript://a.test/%0aalert(1)", 'the scheme is "javascript"'),
    ("java\nscript:alert(1)", "holds control"),
    ("\tjavascript:alert(1)", "holds control"),
    ("\x01javascript:alert(1)", "holds control"),
    ("vbscript:msgbox", 'the scheme is "vbscript"'),
    ("data:text/html;base64,PHNjcmlwdD4=", 'the scheme is "data"'),
    ("file:///etc/passwd", 'the scheme is "file"'),
    ("ftp://a.test/v.mp4", 'the scheme is "ftp"'),
    ("gopher://a.test/", 'the scheme is "gopher"'),
    ("blob:https://a.test/1", 'the scheme is "blob"'),
    ("s" * 100 + "://a.test/", 'the scheme is "ssssssssssssssssssss"'),
    ("mailto:a@a.test", 'the scheme is "mailto"'),
    ("/v.mp4", "relative"),
    ("v.mp4", "relative"),
    ("//a.test/v.mp4", "relative"),
    ("../v.mp4", "relative"),
    ("?x", "relative"),
    ("http:", "no host"),
    ("http://", "no host"),
    ("http:///v.mp4", "no host"),
    ("http://./v.mp4", "no host"),
    ("http:a.test/v.mp4", "no host"),
    ("https:/a.test/v.mp4", "no host"),
    ("http://:80/", "no host"),
    ("https://user@a.test/", "holds user info"),
    ("https://user:word@a.test/", "holds user info"),
    ("https://@a.test/", "holds user info"),
    ("https://a.test@127.0.0.1/", "holds user info"),
    (f"https://{OWN}@evil.test/", "holds user info"),
    ("https://a.test\\@evil.test/", "holds control"),
    ("https:\\\\a.test\\v.mp4", "holds control"),
    ("https://a.test/../../etc/passwd", "has a .. segment in its path"),
    ("https://a.test/a/..", "has a .. segment in its path"),
    ("https://a.test/%2e%2e/x", "has a .. segment in its path"),
    ("https://a.test/%2E./x", "has a .. segment in its path"),
    ("https://a.test/a%2f..%2fx", "has a .. segment in its path"),
    ("https://a.test/a%5c..%5cx", "has a .. segment in its path"),
    ("https://a.test/v.mp4\r\nX-Evil: 1", "holds control"),
    ("https://a.test/\x00", "holds control"),
    ("https://a.test/\x7f", "holds control"),
    ("https://a.test/v w.mp4", "holds control"),
    ("https://a.test/\u00a0", "holds control"),
    ("https://a.test/\u2028", "holds control"),
    ("https://a.test/\u202egp4.exe", "holds control"),
    ("https://loc\u00adalhost/", "holds control"),
    ("https://local\u200bhost/", "holds control"),
    ("https://a.test/\ud800", "holds control"),
    ("https://a.test/v.mp4\ufffd", "holds control or damaged"),
    ("https://a.test/" + "x" * 70_000, "70015 characters long"),
    ("https://" + "a" * 300 + ".test/", "not a URL"),
    ("https://127.0.0.1" + "\ufe0f" * 300 + "/", "not a URL"),
    ("https://127%2e0%2e0%2e1/", "not a URL"),
    ("https://%6cocalhost/", "not a URL"),
    ("https://a.test:port/", "not a URL"),
    ("https://a.test:70000/", "not a URL"),
    ("https://[::1/", "not a URL"),
    ("https://[zz::1]/", "not a URL"),
    ("https://[fe80::1%25eth0]/", "not a URL"),
    ("https://[2606:4700::1111%25eth0]/", "not a URL"),
    ("https://[2606:4700::1111]evil.test/", "not a URL"),
    ("https://[2606:4700::1111]:80x/", "not a URL"),
    ("https://a.test:８０/", "not a URL"),  # noqa: RUF001
    ("https://a.test\u2100.evil.test/", "not a URL"),  # its compatibility form contains a slash
    ("https://a..\u00e9.test/", "not a URL"),
    ("https://a,b.test/", "not a URL"),
    ("https://<script>/", "not a URL"),
]


@pytest.mark.parametrize("url", FINE, ids=lambda url: url[:40])
def test_an_ordinary_url_is_passed_on(url: str) -> None:
    assert why_refused(url, own_host=OWN) is None


@pytest.mark.parametrize(("url", "reason"), HOSTILE, ids=lambda text: ascii(text)[:40])
def test_a_hostile_url_is_refused_with_the_reason(url: str, reason: str) -> None:
    assert str(why_refused(url, own_host=OWN)).startswith(reason)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("host", PRIVATE_HOSTS, ids=ascii)
@pytest.mark.parametrize("port", ["", ":8080"])
def test_no_notation_of_a_private_host_is_passed_on(host: str, port: str) -> None:
    assert why_refused(f"http://{host}{port}/v.mp4", own_host=OWN) == "points into a private network"


@pytest.mark.parametrize(
    ("url", "own_host"),
    [
        ("http://192.168.1.5:3000/v.mp4", "192.168.1.5"),
        ("http://127.0.0.1:8642/v.mp4", "127.0.0.1"),
        ("http://LOCALHOST/v.mp4", "localhost"),
        ("http://gateway/v.mp4", "Gateway."),
        ("http://[::1]:3000/v.mp4", "::1"),
    ],
)
def test_the_accounts_own_host_may_be_private(url: str, own_host: str) -> None:
    assert why_refused(url, own_host=own_host) is None
    assert why_refused(url, own_host=OWN) == "points into a private network"


def test_the_accounts_own_host_allows_no_other_private_host() -> None:
    assert why_refused("http://192.168.1.6/v.mp4", own_host="192.168.1.5") == "points into a private network"
    assert why_refused("http://user@192.168.1.5/", own_host="192.168.1.5") == "holds user info"
    assert why_refused("ftp://192.168.1.5/", own_host="192.168.1.5") == 'the scheme is "ftp"'
    assert why_refused("http:///v.mp4", own_host="") == "no host"


@pytest.mark.parametrize(
    "host", ["-1.0.0.1", "+127.0.0.1", "1_2.0.0.1", "256.0.0.1", "1.2.3.256", "08.0.0.1", "a.0x7g"]
)
def test_text_that_only_resembles_an_address_is_a_name(host: str) -> None:
    assert not is_private(host)


@pytest.mark.parametrize(
    ("host", "plain"),
    [("A.Test.", "a.test"), ("127。0。0。1", "127.0.0.1"), ("0:0::1", "::1"), ("例え.jp", "xn--r8jz45g.jp"), ("", "")],
)
def test_a_host_is_spelled_as_resolvers_see_it(host: str, plain: str) -> None:
    assert plain_host(host) == plain


URLS = st.one_of(
    st.text(),
    st.text(max_size=30).map("http://{}/".format),
    st.text(alphabet="0123456789abcdefx.:[]%@_-/\\", max_size=30).map("http://{}".format),
    st.text(alphabet="0123456789abcdef:.", max_size=30).map("http://[{}]/".format),
)


@given(URLS, st.text(max_size=20))
def test_no_text_makes_the_check_fail(url: str, own_host: str) -> None:
    reason = why_refused(url, own_host=own_host)
    assert reason is None or reason
    assert reason is not None or url.lower().startswith(("http://", "https://"))


PARTS_OF_URLS = [
    "10.0.0.1",
    "cdn.test",
    "localhost",
    "a..b",
    "127.1",
    "/",
    "..",
    ".",
    "-",
    "~",
    "%2e",
    "?",
    "#",
    "@",
    ":",
    "\\",
    "é",
]


@given(
    st.lists(st.sampled_from(PARTS_OF_URLS), min_size=1, max_size=8).map("".join), st.sampled_from([OWN, "10.0.0.1"])
)
def test_a_plain_url_is_judged_as_if_it_had_been_taken_apart(rest: str, own_host: str) -> None:
    taken_apart = why_refused(f"HTTPS://{rest}", own_host=own_host)  # in capitals it is not plain
    assert why_refused(f"https://{rest}", own_host=own_host) == taken_apart


@given(st.ip_addresses())
def test_no_address_that_is_not_global_is_passed_on(address: object) -> None:
    host = f"[{address}]" if ":" in str(address) else str(address)
    if not getattr(address, "is_global", False):
        assert why_refused(f"https://{host}/", own_host=OWN) == "points into a private network"


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("http://192.168.1.5/a.mp4", True),
        ("http://192.168.2.5:9000/a.mp4?x=1", True),
        ("http://nas.lan/a.mp4", True),
        ("http://NAS.lan./a.mp4", True),
        ("http://192.168.3.5/a.mp4", False),
        ("http://other.lan/a.mp4", False),
        ("http://0xc0a80105/a.mp4", False),
        ("http://user@192.168.1.5/a.mp4", False),
        ("ftp://192.168.1.5/a.mp4", False),
    ],
)
def test_private_hosts_that_the_operator_allows_are_safe(url: str, is_safe: bool) -> None:
    network = ipaddress.ip_network("192.168.2.0/24")
    allowed = AllowedHosts(hosts=frozenset({"192.168.1.5", "nas.lan"}), networks=(network,))

    assert (why_refused(url, own_host="api.example.com", allowed=allowed) is None) == is_safe
    assert why_refused(url, own_host="api.example.com") is not None


def test_a_connection_is_only_made_to_public_and_allowed_addresses() -> None:
    allowed = AllowedHosts(hosts=frozenset({"nas.lan"}), networks=(ipaddress.ip_network("10.1.0.0/16"),))
    assert allowed.refusal("nas.lan", "192.168.1.5") is None
    assert allowed.refusal("cdn.test", "10.1.2.3") is None
    assert allowed.refusal("cdn.test", "1.1.1.1") is None
    assert allowed.refusal("cdn.test", "10.2.2.3") == "a private network"
    assert allowed.refusal("cdn.test", "fe80::1%eth0") == "a link-local address"
    assert allowed.refusal("cdn.test", "no address") == "not an IP address"
    assert allowed.refusal("cdn.test", "4000::1") == "a reserved address"
    assert allowed.refusal("cdn.test", "2600::5efe:102:304") == "an IPv4 address in IPv6"
