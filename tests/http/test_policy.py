"""Every route has the strict policy, with every method and in every refusal."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final, cast
from unittest.mock import AsyncMock, MagicMock

import httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route
from structlog.testing import capture_logs

from bridge.config.http_settings import Http
from bridge.domain.store_key import KeyPurpose, result_link
from bridge.errors import StoreError
from bridge.http.access import AccessRules
from bridge.http.page.asset_files import asset_files
from bridge.http.page.page_routes import NAVIGATION, VIEWS
from bridge.http.problem_details import HttpProblem
from bridge.http.services import Services
from bridge.http.web_app import site_routes, web_app
from bridge.store import open_command_store
from tests.fakes import FakeClock
from tests.http.site import TOKEN, Site, running_site

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PREVIEWS: Final = "https://cdn.example.com"
PAGE, PROGRAM = {"Accept": "text/html"}, {"Accept": "application/json"}
FOR_ANSWERS: Final = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
DIRECTIVES: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": f"'self' {PREVIEWS}",
    "media-src": f"'self' {PREVIEWS}",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}
PROBLEM_KEYS: Final = {"type", "title", "status", "detail", "errors"}
RULES: Final = AccessRules(
    hosts=frozenset({"127.0.0.1"}),
    accepts_addresses=False,
    accepts_any_host=False,
    origins=frozenset(),
    token=None,
    read_token=None,
    previews=(PREVIEWS,),
)


class Broken:
    """Services where every call fails."""

    clock = FakeClock()

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("secret words")


class WithoutStore(Broken):
    """Services whose store cannot be read."""

    app, rings, finished, settings = MagicMock(), MagicMock(), MagicMock(), MagicMock()
    needs = MagicMock(last=None, get=AsyncMock(return_value=None))

    async def read(self, *args: object, **more: object) -> None:
        raise StoreError("disk I/O error")

    ask = read


def path_of(route: BaseRoute) -> str:
    if isinstance(route, Mount):
        return f"{route.path}/kling/v1/videos"
    assert isinstance(route, Route)
    return re.sub(r"\{[^}]+\}", "x", route.path)


ROUTES: Final = site_routes(cast(Services, Broken()))
PATHS: Final = list(dict.fromkeys(path_of(route) for route in ROUTES))
PROGRAMS: Final = [path for path in PATHS if path.startswith(("/api/", "/gateway/", "/callbacks/", "/openapi"))]


def is_strict(headers: Mapping[str, str]) -> bool:
    """Whether these headers are the strict policy: the browser runs, embeds and stores nothing from elsewhere."""
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    return policy == DIRECTIVES and {name: headers.get(name) for name in FOR_ANSWERS} == FOR_ANSWERS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    http = {"previews": [PREVIEWS], "gateway": True}
    folder = tmp_path_factory.mktemp("policy")
    (folder / "copies").mkdir()
    with running_site(folder, http=http, archive={"to": "copies"}) as running:
        yield running


def head_of(client: httpx.Client, method: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
    """The answer, without waiting for the end of a stream."""
    with client.stream(method, path, headers=dict(headers)) as answer:
        return answer


def test_the_list_of_routes_is_the_applications_own() -> None:
    assert {"/metrics", "/healthz", *(view.path for view in VIEWS)} <= set(PATHS)
    assert {"/results/x", "/assets/x", "/gateway/kling/v1/videos", "/openapi.json", "/actions/add"} <= set(PATHS)
    assert len(PATHS) > 35


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("method", METHODS)
def test_every_route_answers_every_method_with_the_strict_policy(site: Site, method: str) -> None:
    lax = []
    for path in PATHS:
        for client in (site.stranger, site.reader, site.client):
            for accepted in (PAGE, PROGRAM):
                is_passed_on = path.startswith("/gateway/") and client is site.client
                answer = head_of(client, method, path, accepted)
                if not is_passed_on and not is_strict(answer.headers):
                    lax.append((method, path, answer.status_code, dict(answer.headers)))
    assert lax == []


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_every_route_refuses_other_hosts_and_origins_with_the_strict_policy(
    site: Site, headers: dict[str, str]
) -> None:
    for path in PATHS:
        answer = head_of(site.client, "GET", path, headers)
        assert answer.status_code == (421 if "Host" in headers else 403), path
        assert is_strict(answer.headers), path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.com"}, 421),
        ({"Host": "127.0.0.1.evil.example.com"}, 421),
        ({"Host": "127.0.0.1@evil.example.com"}, 421),
        ({"Host": "192.0.2.1"}, 421),
        ({"Host": "localhost:abc"}, 421),
        ({"Host": "localhost:65536"}, 421),
        ({"Host": "localhost:-1"}, 421),
        ({"Host": "localhost?x"}, 421),
        ({"Host": "127.0.0.1:1, evil.example.com"}, 421),
        ({"Host": "[::1]x"}, 421),
        ({"Host": "::1"}, 421),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "LOCALHOST.:"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://[invalid"}, 403),
    ],
)
def test_other_hosts_and_origins_are_refused(site: Site, headers: dict[str, str], status: int) -> None:
    answer = site.client.get("/healthz", headers=headers)
    assert answer.status_code == status
    assert site.client.get("/healthz", headers={"Origin": site.url}).status_code == 200


@pytest.mark.parametrize(
    ("named", "host", "status"), [("evil.example.com", "localhost", 421), ("localhost:1", "a", 200)]
)
def test_the_host_in_a_whole_url_counts(site: Site, named: str, host: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])), timeout=10) as caller:
        caller.sendall(f"GET http://{named}/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert caller.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/metrics", 421), ("/", 421)])
def test_load_balancers_may_probe_health_without_a_host(site: Site, path: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])), timeout=10) as caller:
        caller.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert caller.recv(65536).partition(b" ")[2].startswith(f"{status} ".encode())


def test_a_request_without_a_host_is_refused_with_the_reason(site: Site) -> None:
    answer = site.client.get("/healthz", headers={"Host": ""})
    assert (answer.status_code, "no Host header" in answer.json()["detail"]) == (421, True)


@pytest.mark.parametrize("path", PROGRAMS)
def test_programs_get_every_refusal_as_a_problem_document(site: Site, path: str) -> None:
    """Also if a browser asks for HTML, because there is no page at such an address."""
    wanted = [("GET", {"Host": "evil.example"}, 421), ("GET", {"Origin": "https://evil.example"}, 403)]
    if not path.startswith("/gateway/"):
        wanted.append(("DELETE", {}, 405))
    for method, headers, status in wanted:
        answer = site.stranger.request(method, path, headers={**PAGE, **headers})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json().keys() == PROBLEM_KEYS
        assert answer.json()["status"] == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/task?account=kling&id=unknown", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/results/nothing.mp4", 404),
        ("GET", "/assets/nothing.css", 404),
        ("GET", "/gateway/nothing/x", 404),
        ("PUT", "/", 405),
        ("GET", "/actions/add", 405),
        ("PUT", "/api/v1/tasks", 405),
        ("PUT", "/assets/page.css", 405),
        ("TRACE", "/gateway/kling/x", 501),
        ("GET", "/tasks?since=never", 422),
        ("GET", "/api/v1/tasks?limit=x", 422),
    ],
)
@pytest.mark.parametrize("accepted", [PAGE, PROGRAM], ids=["page", "program"])
def test_every_refusal_has_the_strict_policy(
    site: Site, method: str, path: str, status: int, accepted: dict[str, str]
) -> None:
    answer = site.client.request(method, path, headers=accepted)
    assert answer.status_code == status
    assert is_strict(answer.headers)
    is_view = path.startswith(("/task", "/tasks?"))
    is_page = is_view or (accepted is PAGE and not path.startswith(("/api/", "/gateway/", "/results/")))
    assert answer.headers["content-type"].startswith("text/html" if is_page else "application/problem+json")


@pytest.mark.parametrize(
    ("path", "size"), [("/api/v1/tasks", (16 << 20) + 1), ("/actions/test", 70_000), ("/signin", 70_000)]
)
def test_a_body_that_is_too_large_is_refused_with_the_strict_policy(site: Site, path: str, size: int) -> None:
    answer = site.client.post(path, content=b"x" * size, headers={"Origin": "null"} if "api" not in path else {})
    assert answer.status_code == 413
    assert is_strict(answer.headers)


def test_an_international_name_is_accepted_as_browsers_send_it() -> None:
    rules = AccessRules.of(Http(hosts=("猫.example",), public_url="https://Bücher.example:8443/x"))
    for host in ("xn--z7x.example", "xn--bcher-kva.example:8443"):
        rules.check_host({"host": host})
    rules.check_origin({"host": "internal", "origin": "https://xn--bcher-kva.example:8443"}, "/api/v1/tasks")


def test_a_server_on_every_address_accepts_each_of_them() -> None:
    rules = AccessRules.of(Http(listen="[::]:8642", token="t" * 32))
    for host in ("192.0.2.1:8642", "[2001:DB8::1]:8642", "[fe80::1%eth0]", "[::ffff:192.0.2.1]"):
        rules.check_host({"host": host})
    for host in ("2001:db8::1", "[localhost]", "[::1", "1.2.3.4.5"):
        with pytest.raises(HttpProblem):
            rules.check_host({"host": host})


def test_assets_have_the_strict_policy_and_are_kept(site: Site) -> None:
    for asset in asset_files().values():
        answer = site.stranger.get(asset.url)
        assert answer.status_code == 200
        assert is_strict({**answer.headers, "cache-control": "no-store"})
        assert "immutable" in answer.headers["cache-control"]


def test_a_copy_runs_nothing_and_is_kept_for_an_hour(site: Site) -> None:
    (site.folder / "copies/draw.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
    with closing(open_command_store(site.folder / "state.db", create=False, group_access=False)) as store:
        key = store.ensure_key(KeyPurpose.RESULTS, now=0.0)
    answer = site.stranger.get(result_link(key, "draw.svg", expires_s=4_000_000_000))
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"


def test_an_answer_of_a_provider_passes_the_gateway_with_its_own_headers(site: Site) -> None:
    own = {"Cache-Control": "max-age=60", "Content-Type": "application/json"}
    site.world.fault = lambda task_id: (200, b'{"code": 0}', own)
    try:
        answer = site.client.get("/gateway/kling/v1/videos/text2video/any")
    finally:
        site.world.fault = lambda task_id: None
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "max-age=60"
    assert "content-security-policy" not in answer.headers


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NOT HTTP\r\n\r\n",
        b"POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nno size\r\n" % TOKEN.encode(),
    ],
)
def test_a_request_that_is_not_http_is_refused_with_a_strict_policy(site: Site, request_bytes: bytes) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request_bytes)
        head = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("HTTP/1.1 400 ")
    found = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    assert found["content-security-policy"] == "default-src 'none'"
    assert {name: found.get(name) for name in FOR_ANSWERS} == FOR_ANSWERS


async def test_every_bug_is_answered_with_the_strict_policy_and_says_nothing() -> None:
    app = web_app(cast(Services, Broken()), RULES)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    bugs = 0
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", verify=False) as client:
        for path in PATHS:
            for accepted in (PAGE, PROGRAM):
                with capture_logs():
                    answer = await client.get(path, headers=accepted)
                bugs += answer.status_code == 500
                assert is_strict(answer.headers), path
                assert "secret words" not in answer.text
                assert not answer.headers["content-type"].startswith("text/plain"), path
    assert bugs > 30


@pytest.mark.parametrize("path", [view.path for view in NAVIGATION])
async def test_a_page_says_that_the_store_cannot_be_read(path: str) -> None:
    transport = httpx.ASGITransport(web_app(cast(Services, WithoutStore()), RULES))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", verify=False) as client:
        answer = await client.get(path, headers=PAGE)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "disk I/O error" in answer.text
