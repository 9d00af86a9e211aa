"""What all views have in common: signing in, headers, languages, assets, and pages about problems."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bridge.http.page.asset_files import asset_files
from bridge.http.page.page_routes import NAVIGATION
from bridge.http.page.view import own_path
from tests.http.site import READ_TOKEN, TOKEN, Site, running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("page")) as running:
        yield running


def signed_in(site: Site, token: str = TOKEN) -> dict[str, str]:
    """The headers of a browser that has signed in."""
    answer = site.stranger.post("/signin", data={"token": token, "next": "/"}, headers={"Origin": "null"})
    assert answer.status_code == 303
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0], "Accept": "text/html"}


def test_a_visitor_without_a_session_signs_in_and_returns_to_the_page(site: Site) -> None:
    answer = site.stranger.get("/?lang=zh")
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin?next=%2F%3Flang%3Dzh")
    form = site.stranger.get(answer.headers["location"])
    assert 'name="next" value="/?lang=zh"' in form.text
    answer = site.stranger.post("/signin", data={"token": TOKEN, "next": "/?lang=zh"}, headers={"Origin": site.url})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?lang=zh")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert site.stranger.get("/", headers=signed_in(site)).status_code == 200


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + " x"])
def test_a_wrong_token_gives_no_session(site: Site, token: str) -> None:
    answer = site.stranger.post("/signin", data={"token": token, "next": "/"}, headers={"Origin": site.url})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert "This is not a token of the settings." in answer.text


@pytest.mark.parametrize(
    "value", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJ1c2UiOiJzZXNzaW9uIiwiZXhwIjo5OTk5OTk5OTk5fQ."]
)
def test_a_forged_session_is_rejected(site: Site, value: str) -> None:
    answer = site.stranger.get("/", headers={"Cookie": f"genbridge_session={value}"})
    assert answer.status_code == 303
    assert site.stranger.get("/api/v1/tasks", headers={"Cookie": f"genbridge_session={value}"}).status_code == 401


def test_a_session_may_read_the_api_and_change_nothing_there(site: Site) -> None:
    headers = signed_in(site)
    assert site.stranger.get("/api/v1/tasks", headers=headers).status_code == 200
    assert site.stranger.post("/api/v1/tasks", json="x", headers=headers).status_code == 401


def test_a_session_of_the_read_token_sees_no_forms(site: Site) -> None:
    page = site.stranger.get("/", headers=signed_in(site, READ_TOKEN)).text
    assert re.findall(r'<form[^>]*action="([^"]*)"', page) == ["/tasks", "/actions/signout"]


def test_signing_out_forgets_the_session(site: Site) -> None:
    answer = site.stranger.post("/actions/signout", headers={**signed_in(site), "Origin": "null"})
    assert answer.status_code == 303
    assert 'genbridge_session="";' in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Host": "evil.example"}, 421),
    ],
)
def test_forms_of_other_sites_are_refused(site: Site, headers: dict[str, str], status: int) -> None:
    assert site.stranger.post("/signin", data={"token": TOKEN}, headers=headers).status_code == status


def test_a_link_from_another_site_is_opened_again_with_the_session_cookie(site: Site) -> None:
    answer = site.stranger.get("/signin?next=/tasks", headers={"Sec-Fetch-Site": "cross-site"})
    assert '<meta http-equiv="refresh" content="0; url=/tasks">' in answer.text
    again = site.stranger.get("/signin?next=/tasks", headers={"Sec-Fetch-Site": "same-origin"})
    assert "http-equiv" not in again.text


def test_a_redirect_has_no_body(site: Site) -> None:
    headers = {"Origin": "null", "Accept-Encoding": "gzip"}
    answer = site.stranger.post("/signin", data={"token": TOKEN, "next": "/"}, headers=headers)
    assert (answer.status_code, answer.headers["content-length"]) == (303, "0")
    assert "content-encoding" not in answer.headers


def test_assets_are_compressed_and_cached_forever_under_a_hashed_name(site: Site) -> None:
    page = site.stranger.get("/signin").text
    found = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page)
    assert len(found) == 3
    for url in found:
        answer = site.stranger.get(url, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
        plain = site.stranger.get(url, headers={"Accept-Encoding": "identity"})
        assert plain.content == answer.content
        assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(("name", "most"), [("page.css", 7 * 1024), ("page.js", 8 * 1024)])
def test_style_and_script_are_small(name: str, most: int) -> None:
    content = asset_files()[name].content
    assert len(gzip.compress(content)) <= most
    assert b"/*" not in content


def test_the_language_is_the_browsers_until_another_one_is_chosen(site: Site) -> None:
    def language(**headers: str) -> str:
        [found] = re.findall(r'<html lang="(\w+)"', site.stranger.get("/signin", headers=headers).text)
        return str(found)

    assert language() == "en"
    assert language(**{"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}) == "zh"
    assert language(**{"Accept-Language": "de, en;q=0.5, zh;q=0.2"}) == "en"
    assert language(**{"Accept-Language": "en;q=0.5, zh; q=0.9"}) == "zh"
    assert language(**{"Accept-Language": "zh;q=x,;q=,"}) == "en"
    chosen = site.stranger.get("/signin?lang=zh")
    assert "lang=zh;" in chosen.headers["set-cookie"]
    assert language(Cookie="lang=zh") == "zh"
    assert language(Cookie="lang=xx") == "en"


def test_an_unknown_address_gets_people_a_page_and_programs_a_problem(site: Site) -> None:
    page = site.stranger.get("/nothing", headers=signed_in(site))
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Nothing is here" in page.text
    assert "There is no page at this address." in page.text
    for path, accept in (("/nothing", "*/*"), ("/api/v1/nothing", "text/html")):
        answer = site.client.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer.json()["status"]) == (404, 404)


def test_a_wrong_method_is_answered_with_all_that_the_address_takes(site: Site) -> None:
    answer = site.stranger.put("/signin")
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "POST"})


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/tasks?q=a%2Fb", "/tasks?q=a%2Fb"),
        ("//evil.example", "/"),
        ("//[", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\n/evil.example", "/"),
        ("tasks", "/"),
        ("", "/"),
    ],
)
def test_after_a_form_the_browser_stays_on_this_site(target: str, path: str) -> None:
    assert own_path(target) == path


def test_without_a_token_the_page_is_open_on_this_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("open")
    with running_site(folder, http={"token": None, "read_token": None}) as open_site:
        page = httpx.get(f"{open_site.url}/", trust_env=False)
        assert page.status_code == 200
        assert "Sign out" not in page.text


def test_the_docs_describe_each_view_of_the_navigation() -> None:
    text = (Path(__file__).parents[3] / "docs/page.md").read_text()
    assert [view for view in NAVIGATION if f"| **{view.name.capitalize()}** `{view.path}` |" not in text] == []
