"""A browser without scripts: signs in, reads the forms of a page, and sends them."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

import httpx

from tests.http.site import TOKEN, Site


def forms(page: str, action: str) -> list[dict[str, str]]:
    """The fields of every form of a page that goes to this action, and of every button that sends a form there."""
    found = re.findall(rf'<form[^>]*action="/actions/{action}"[^>]*>(.*?)</form>', page, re.DOTALL)
    for owner, field in re.findall(rf'<button form="(\w+)" formaction="/actions/{action}" ([^>]*)>', page):
        found += [form + field for form in re.findall(rf'<form id="{owner}"[^>]*>(.*?)</form>', page, re.DOTALL)]
    return [
        {name: html.unescape(value) for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', form)}
        for form in found
    ]


def question(page: str) -> str | None:
    """The link to the question whether to redeliver everything that the filter shows. None if there is no link."""
    found = re.search(r'href="(/redeliver[?][^"]+)"', page)
    return None if found is None else html.unescape(found[1])


class Browser:
    """A browser that has signed in at a site."""

    def __init__(self, site: Site, token: str = TOKEN) -> None:
        headers = {"Accept": "text/html"}
        self._client = httpx.Client(base_url=site.url, headers=headers, trust_env=False, verify=False, timeout=20)
        answer = self._client.post("/signin", data={"token": token, "next": "/"}, headers={"Origin": "null"})
        assert answer.status_code == 303

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **parameters: str) -> httpx.Response:
        return self._client.get(path, params=parameters or None)

    def send(self, action: str, fields: Mapping[str, Any], **headers: str) -> httpx.Response:
        """Send a form. The answer is not followed."""
        sent = {"Origin": "null", "Sec-Fetch-Site": "same-origin", **headers}
        return self._client.post(f"/actions/{action}", data=dict(fields), headers=sent)

    def field(self) -> str:
        """The signed form field of a new page."""
        found = re.search(r'name="form" value="([^"]+)"', self.get("/add").text)
        assert found is not None
        return found[1]

    def does(self, action: str, **fields: Any) -> httpx.Response:
        """Send a form from a new page."""
        return self.send(action, {"form": self.field(), "back": "/", **fields})

    def said(self, answer: httpx.Response) -> str:
        """What the page says after this answer to a form."""
        assert answer.status_code == 303, answer.text
        return notice(self.get(answer.headers["location"]).text)


def notice(page: str) -> str:
    """What the page says that a form has done. Empty if it says nothing."""
    found = re.search(
        r'<p class="banner[^"]*" role="status"[^>]*>.*?<span dir="auto">(.*?)</span></p>', page, re.DOTALL
    )
    return html.unescape(found[1]) if found else ""


def heading(page: str) -> str:
    """The text of the only `h1`."""
    [found] = re.findall(r"<h1[^>]*>(.*?)</h1>", page, re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", found)).strip()
