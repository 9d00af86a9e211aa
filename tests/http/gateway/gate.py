"""A site with a gateway to a scripted provider."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.http.site import TOKEN, Site
from tests.http.upstream import Arrived, Upstream

KEY: Final = "key-of-the-account-0123456789"
CREATED: Final = {"code": 0, "message": "SUCCEED", "data": {"task_id": "T", "task_status": "submitted"}}
PATH: Final = "/gateway/kling/v1/videos/text2video"


def created(task_id: str) -> bytes:
    return json.dumps({**CREATED, "data": {"task_id": task_id, "task_status": "submitted"}}).encode()


@dataclass
class Gate:
    """A site with accounts at a scripted provider."""

    site: Site
    provider: Upstream

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.site.client.request(method, path, **more)

    @property
    def arrived(self) -> Arrived:
        """The last request through the gateway. Polls of the daemon do not count."""
        return [one for one in self.provider.arrived if not is_poll(one)][-1]

    @property
    def count(self) -> int:
        return sum(not is_poll(one) for one in self.provider.arrived)

    def raw(self, head: bytes, body: bytes = b"", *, seconds: float = 10.0) -> bytes:
        """Send these bytes, and return everything that comes back until the connection closes."""
        port = int(self.site.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as caller:
            caller.sendall(head + body)
            received = b""
            while part := caller.recv(65536):
                received += part
            return received

    def head(self, line: str, *lines: str) -> bytes:
        host = self.site.url.removeprefix("http://")
        given = [line, f"Host: {host}", f"Authorization: Bearer {TOKEN}", "Connection: close", *lines]
        return ("\r\n".join(given) + "\r\n\r\n").encode("latin-1")

    def watched(self, task_id: str, account: str = "kling") -> dict[str, Any] | None:
        answer = self.site.client.get("/api/v1/task", params={"account": account, "id": task_id})
        found: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return found

    def log(self) -> str:
        return self.site.daemon.log.read_text()


def is_poll(arrived: Arrived) -> bool:
    return "genbridge/" in (arrived.header("user-agent") or "")


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert KEY not in answer.text
    return str(answer.json()["detail"])
