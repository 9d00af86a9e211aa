"""The page behind a reverse proxy that removes a path, such as https://example.com/genbridge/."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser

from tests.http.page.browser import tab
from tests.http.site import TOKEN, Site, free_port, running_site
from tests.net.nginx import running_nginx
from tests.world import until

pytestmark = pytest.mark.timeout(240)

BASE: Final = "/own/genbridge"
SERVER: Final = """
    server {{
        listen 127.0.0.1:{port};
        location {base}/ {{ proxy_pass {upstream}/; proxy_set_header Host $http_host; }}
    }}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    folder, port = tmp_path_factory.mktemp("below"), free_port()
    http = {"public_url": f"http://127.0.0.1:{port}{BASE}/"}
    with running_site(folder, http=http) as running:
        with running_nginx(folder, SERVER.format(port=port, base=BASE, upstream=running.url)):
            running.add("live")
            running.add("done", seconds=0)
            until(lambda: bool(running.world.received), seconds=30, what="the webhook")
            yield running, f"http://127.0.0.1:{port}"


def test_the_page_works_below_the_path_of_public_url(browser: Browser, site: tuple[Site, str]) -> None:
    _, origin = site
    with tab(browser, origin) as opened:
        page = opened.page
        assert opened.open(f"{BASE}/tasks?q=done") == 200
        page.fill("input[name=token]", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{origin}{BASE}/tasks?q=done")
        for name in ("Now", "Deliveries", "Health", "Tasks"):
            page.click(f"nav >> text={name}")
            opened.wait_for(f"document.querySelector('nav [aria-current]').textContent.includes('{name}')")
        opened.wait_for("document.querySelector('[data-live]').textContent.includes('Live')")
        page.click("main a.name:has-text('done')")
        page.wait_for_url(f"{origin}{BASE}/task?*")
        page.click("main button:text-is('Watch again')")
        opened.wait_for("document.querySelector('.banner.good')")
        assert urlsplit(page.url).path == f"{BASE}/task"
        assert page.locator(f"[data-copy^='{BASE}/task?']").count() == 1
        page.click("footer >> text=中文")
        opened.wait_for("document.documentElement.lang === 'zh'")
        links = page.eval_on_selector_all("[href], [src], [action]", "all => all.map(one => one.href ?? one.src)")
        assert [link for link in links if str(link).startswith(origin) and BASE not in link] == []
        page.click("footer button:text-is('退出登录')")
        page.wait_for_url(f"{origin}{BASE}/signin")


def test_links_have_no_path_for_those_who_bypass_the_proxy(site: tuple[Site, str]) -> None:
    running, origin = site
    assert running.stranger.get("/tasks").headers["location"] == "/signin?next=%2Ftasks"
    assert BASE not in running.reader.get("/tasks").text
    through = httpx.get(f"{origin}{BASE}/tasks", trust_env=False)
    assert through.headers["location"] == f"{BASE}/signin?next=%2Ftasks"
